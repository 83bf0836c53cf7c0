"""The quarantine over REST: what is in it, and that what is put back is what came."""

import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
import pytest_asyncio
from sqlalchemy import insert

from api.quarantine.tables import QuarantineRow
from producers.outbox import headers_as_json
from schemas.headers import quarantine_headers
from schemas.ids import quarantine_id_of
from schemas.records import Position
from tests.api.logged import Log
from tests.api.problem import problem_of

pytestmark = pytest.mark.postgres

PATH = "/api/v1/quarantine"
OWN = [("ce_type", b"user.created"), ("odd", b"\xff")]
WHY = quarantine_headers(Position(topic="t", partition=1, offset=2), error=ValueError("unreadable"), stage="route")


class Quarantine:
    """Writes records into the quarantine, and reads what was put back on their topic."""

    def __init__(self, log: Log, url: str) -> None:
        self.topic = f"topic.{uuid4().hex}"  # the quarantine is everybody's: a topic of this test's own
        self._log = log
        self._url = url
        self._offset = 0

    async def add(self, **fields: Any) -> str:
        self._offset += 1
        at = datetime.now(UTC)
        topic = fields.get("topic", self.topic)
        identifier = quarantine_id_of(f"{topic}{uuid4()}", 1, self._offset, at)
        row = {
            "id": identifier,
            "at": at,
            "topic": topic,
            "partition": 1,
            "offset": self._offset,
            "stage": "route",
            "error_class": "ValueError",
            "error": "unreadable",
            "key": b"key",
            "value": b"\xc3\x01value",
            "headers": headers_as_json([*OWN, *WHY]),
            "retried_at": None,
        }
        async with self._log.engine.begin() as db:
            await db.execute(insert(QuarantineRow).values(**{**row, **fields}))
        return identifier

    async def put_back(self) -> list[tuple[object, ...]]:
        db = await asyncpg.connect(self._url)
        try:
            rows = await db.fetch("SELECT key, value, headers FROM outbox WHERE topic = $1 ORDER BY id", self.topic)
        finally:
            await db.close()
        return [tuple(row) for row in rows]


@pytest_asyncio.fixture
async def quarantine(log: Log, shared_url: str) -> AsyncIterator[Quarantine]:
    yield Quarantine(log, shared_url)


async def test_a_record_is_shown_as_it_came(api: httpx.AsyncClient, quarantine: Quarantine) -> None:
    identifier = await quarantine.add(value=b"\xff" * 10_241)
    body = (await api.get(f"{PATH}/{identifier}")).json()
    assert (body["topic"], body["partition"], body["offset"], body["stage"]) == (quarantine.topic, 1, 1, "route")
    assert body["key"] == {"data": "a2V5", "encoding": "base64", "truncated": False, "bytes": 3}
    shown = base64.b64encode(b"\xff" * 10_240).decode()
    assert body["value"] == {"data": shown, "encoding": "base64", "truncated": True, "bytes": 10_241}
    assert body["headers"][:2] == [{"name": "ce_type", "value": "user.created"}, {"name": "odd", "value": "\\xff"}]
    assert body["retried_at"] is None


async def test_filters_and_pages(api: httpx.AsyncClient, quarantine: Quarantine) -> None:
    made = [await quarantine.add(stage=stage) for stage in ("route", "deliver", "deliver")]
    await api.post(f"{PATH}/{made[0]}/retry")

    async def listed(**parameters: Any) -> list[str]:
        page = await api.get(PATH, params={"topic": quarantine.topic, **parameters})
        return [body["id"] for body in page.json()["data"]]

    assert sorted(await listed()) == sorted(made)
    assert sorted(await listed(stage="deliver")) == sorted(made[1:])
    assert await listed(retried="true") == made[:1]
    assert sorted(await listed(retried="false")) == sorted(made[1:])
    first = (await api.get(PATH, params={"topic": quarantine.topic, "limit": 2})).json()
    rest = await listed(limit=2, cursor=first["next_cursor"])
    assert [body["id"] for body in first["data"]] + rest == sorted(made, reverse=True)


@pytest.mark.parametrize("key", [b"key", None])
async def test_what_is_put_back_is_what_came(api: httpx.AsyncClient, quarantine: Quarantine, key: bytes | None) -> None:
    identifier = await quarantine.add(key=key)
    answer = await api.post(f"{PATH}/{identifier}/retry")
    assert answer.status_code == 200
    retried_at = datetime.fromisoformat(answer.json()["retried_at"])
    assert abs((datetime.now(UTC) - retried_at).total_seconds()) < 60
    assert (await api.get(f"{PATH}/{identifier}")).json()["retried_at"] == answer.json()["retried_at"]
    own = '[["ce_type", "dXNlci5jcmVhdGVk"], ["odd", "/w=="]]'
    assert await quarantine.put_back() == [(key, b"\xc3\x01value", own)]


async def test_it_is_put_back_once_unless_asked_again(api: httpx.AsyncClient, quarantine: Quarantine) -> None:
    identifier = await quarantine.add()
    assert (await api.post(f"{PATH}/{identifier}/retry")).status_code == 200
    problem_of(await api.post(f"{PATH}/{identifier}/retry"), 409)
    assert len(await quarantine.put_back()) == 1
    assert (await api.post(f"{PATH}/{identifier}/retry", params={"again": "true"})).status_code == 200
    assert len(await quarantine.put_back()) == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"topic": ""},  # nothing said where it came from
        {"topic": "hookline.subscriptions"},  # compacted: it would undo what was written since
        {"topic": "hookline.rounds"},
        {"headers": headers_as_json([("hookline_left_out_bytes", b"9999999"), *WHY])},
        {"key": None, "value": None},
    ],
)
async def test_what_cannot_be_put_back_is_left_alone(
    api: httpx.AsyncClient, quarantine: Quarantine, fields: dict[str, Any]
) -> None:
    identifier = await quarantine.add(**fields)
    problem_of(await api.post(f"{PATH}/{identifier}/retry"), 409)
    assert (await api.get(f"{PATH}/{identifier}")).json()["retried_at"] is None


async def test_what_is_not_there(api: httpx.AsyncClient) -> None:
    unknown = "qtn_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"
    for identifier in (unknown, "nonsense"):
        problem_of(await api.get(f"{PATH}/{identifier}"), 404)
        problem_of(await api.post(f"{PATH}/{identifier}/retry"), 404)
