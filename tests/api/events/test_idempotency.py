"""One id of a publisher's is one event: repeated, at once, after a failure, for 7 days."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
import pytest_asyncio
import structlog
from confluent_kafka import Consumer

from api.events.posting import fingerprint_of
from producers.settings import KafkaSettings
from schemas.envelope import new_event
from schemas.ids import made_at
from tests.api.conftest import NO_DATABASE_URL, client_of, settings_of
from tests.api.events.reading import next_of
from tests.api.problem import problem_of

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]
PATH = "/api/v1/events"
BODY: dict[str, Any] = {"type": "user.created", "data": {"id": "user_123", "name": "Ann"}, "id": "signup-1"}


@pytest_asyncio.fixture
async def database(shared_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(shared_url)
    yield connection
    await connection.close()


async def post(api: httpx.AsyncClient, body: dict[str, Any]) -> str:
    response = await api.post(PATH, json=body)
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


@pytest.mark.parametrize(
    "repeat",
    [
        BODY,
        {"id": "signup-1", "data": {"name": "Ann", "id": "user_123"}, "type": "user.created"},  # in another order
        {**BODY, "key": None, "previous": None, "metadata": None},
    ],
)
async def test_a_repeat_is_the_same_event_and_not_published_again(
    posting_api: httpx.AsyncClient, events: Consumer, repeat: dict[str, Any]
) -> None:
    event_id = await post(posting_api, BODY)
    assert next_of(events)[0].id == event_id
    assert await post(posting_api, repeat) == event_id
    marker = await post(posting_api, {"type": "hookline.test", "data": {}})
    assert next_of(events)[0].id == marker


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "user.deleted", "data": {"id": "user_123"}},
        {"data": {"id": "user_124"}},
        {"key": "k"},
        {"previous": {}},
        {"metadata": {}},
    ],
)
async def test_another_event_under_an_id_is_refused(posting_api: httpx.AsyncClient, fields: dict[str, Any]) -> None:
    await post(posting_api, BODY)
    document = problem_of(await posting_api.post(PATH, json={**BODY, **fields}), 409)
    assert "id" in str(document["detail"])


async def test_what_redaction_removes_makes_no_other_event(posting_api: httpx.AsyncClient) -> None:
    first = await post(posting_api, {**BODY, "metadata": {"password": "one"}})
    assert await post(posting_api, {**BODY, "metadata": {"password": "two"}}) == first


async def test_an_id_is_one_organizations_own(posting_api: httpx.AsyncClient) -> None:
    first = await post(posting_api, BODY)
    posting_api.headers["Hookline-Organization"] = f"org_{uuid4().hex}"
    assert await post(posting_api, {**BODY, "key": "another"}) != first


async def test_twenty_at_once_are_one_event(posting_api: httpx.AsyncClient, events: Consumer) -> None:
    ids = await asyncio.gather(*(post(posting_api, BODY) for _ in range(20)))
    assert len(set(ids)) == 1
    marker = await post(posting_api, {"type": "hookline.test", "data": {}})
    assert [next_of(events)[0].id for _ in range(2)] == [ids[0], marker]


async def test_two_processes_at_once_agree_on_the_id(
    posting_api: httpx.AsyncClient, shared_url: str, kafka_with_events: KafkaSettings
) -> None:
    async with client_of(settings_of(shared_url), kafka_with_events) as other:
        other.headers["Hookline-Organization"] = posting_api.headers["Hookline-Organization"]
        bodies = [{**BODY, "id": str(number)} for number in range(20)]
        ids = await asyncio.gather(*(post(api, body) for body in bodies for api in (posting_api, other)))
    assert ids[::2] == ids[1::2]
    assert len(set(ids)) == 20


async def test_after_a_503_the_repeat_is_published_under_the_claimed_id(
    posting_api: httpx.AsyncClient, api: httpx.AsyncClient, events: Consumer, database: asyncpg.Connection
) -> None:
    api.headers["Hookline-Organization"] = organization_id = posting_api.headers["Hookline-Organization"]
    problem_of(await api.post(PATH, json=BODY), 503)  # it has no Kafka
    claim = await database.fetchrow("SELECT * FROM event_claims WHERE organization_id = $1", organization_id)
    assert claim is not None
    assert claim["produced_at"] is None
    assert await post(posting_api, BODY) == claim["event_id"]
    event, _ = next_of(events)
    assert (event.id, event.created_at) == (claim["event_id"], claim["created_at"])
    assert await database.fetchval("SELECT produced_at FROM event_claims WHERE organization_id = $1", organization_id)


@pytest.mark.parametrize(("days", "is_new"), [(6.9, False), (7.1, True)])
async def test_an_id_names_its_event_for_seven_days(
    posting_api: httpx.AsyncClient, database: asyncpg.Connection, days: float, is_new: bool
) -> None:
    first = await post(posting_api, BODY)
    await database.execute(
        "UPDATE event_claims SET created_at = $1 WHERE event_id = $2", datetime.now(UTC) - timedelta(days=days), first
    )
    other = {**BODY, "key": "another"}
    if not is_new:
        problem_of(await posting_api.post(PATH, json=other), 409)
        assert await post(posting_api, BODY) == first
        return
    second = await post(posting_api, other)
    assert second != first
    assert datetime.now(UTC) - made_at(second) < timedelta(minutes=1)
    assert await post(posting_api, other) == second


async def test_without_the_database_an_id_is_503_and_no_id_is_202(
    kafka_with_events: KafkaSettings, events: Consumer
) -> None:
    async with client_of(settings_of(NO_DATABASE_URL), kafka_with_events) as api:
        problem_of(await api.post(PATH, json=BODY), 503)
        unnamed = {name: value for name, value in BODY.items() if name != "id"}
        event_id = await post(api, unnamed)
    assert next_of(events)[0].id == event_id


async def test_a_claim_that_cannot_be_marked_is_still_202(
    posting_api: httpx.AsyncClient, database: asyncpg.Connection, events: Consumer
) -> None:
    await database.execute(
        """CREATE FUNCTION unmarked() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN IF NEW.produced_at IS NOT NULL THEN RAISE 'no'; END IF; RETURN NEW; END $$;
           CREATE TRIGGER unmarked BEFORE UPDATE ON event_claims FOR EACH ROW EXECUTE FUNCTION unmarked()"""
    )
    try:
        with structlog.testing.capture_logs() as logs:
            event_id = await post(posting_api, BODY)
        assert "event.not_marked" in {log["event"] for log in logs}
        assert await post(posting_api, BODY) == event_id
    finally:
        await database.execute("DROP TRIGGER unmarked ON event_claims; DROP FUNCTION unmarked()")
    assert [next_of(events)[0].id for _ in range(2)] == [event_id, event_id]


def test_a_fingerprint_is_of_what_an_event_says() -> None:
    said = {"type": "hookline.test", "organization_id": "org_1", "data": {"a": 1, "b": [1, 2]}}
    one, two = new_event(**said), new_event(**{**said, "data": {"b": [1, 2], "a": 1}})  # type: ignore[arg-type]
    assert fingerprint_of(one) == fingerprint_of(two)
    other = new_event(**{**said, "data": {"a": 1, "b": [2, 1]}})  # type: ignore[arg-type]
    assert fingerprint_of(one) != fingerprint_of(other)
