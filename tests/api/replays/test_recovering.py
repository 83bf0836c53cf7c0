"""What a subscription missed is sent after all: `POST …/recover`, on the real PostgreSQL."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from api.replays.choosing import choice_of, chosen_after
from api.replays.tables import ReplayRow
from schemas.error_kinds import ErrorKind
from tests.api.problem import pointers_of, problem_of
from tests.api.replays.logged import Log, log_of
from tests.api.subscriptions.making import ELSEWHERE, UNKNOWN

pytestmark = pytest.mark.postgres

SINCE = (datetime.now(UTC) - timedelta(hours=1)).isoformat()


@pytest_asyncio.fixture
async def log(api: httpx.AsyncClient, shared_url: str) -> AsyncIterator[Log]:
    async with log_of(shared_url, api.headers["Hookline-Organization"]) as log:
        yield log


def path(subscription_id: str) -> str:
    return f"/api/v1/subscriptions/{subscription_id}/recover"


async def test_what_failed_or_was_held_is_sent_again(api: httpx.AsyncClient, log: Log) -> None:
    it, other = await log.subscription(), await log.subscription()
    missed = [
        await log.delivery(it),
        await log.delivery(it, state="held", error_kind=ErrorKind.DISABLED),
        await log.delivery(it, state="held", error_kind=ErrorKind.HELD_TOO_LONG),
    ]
    for state in ("success", "pending", "retrying"):
        await log.delivery(it, state=state)
    await log.delivery(other)
    dry = await api.post(path(it), json={"since": SINCE, "dry_run": True})
    assert (dry.status_code, dry.json()) == (200, {"count": 3})
    response = await api.post(path(it), json={"since": SINCE, "rate_per_s": 20})
    body: dict[str, Any] = response.json()
    assert response.status_code == 202, body
    assert response.headers["location"] == f"/api/v1/replays/{body['id']}"
    assert (await api.get(response.headers["location"])).json() == body
    assert (body["filter"]["subscription_id"], body["filter"]["state"]) == (it, "undelivered")
    assert (body["rate_per_s"], body["is_retry"]) == (20, False)
    async with log.transaction() as db:
        row = await db.get_one(ReplayRow, body["id"])
        assert {each.id for each in await chosen_after(db, choice_of(row), after="", limit=10)} == set(missed)


async def test_only_what_happened_between_is_taken(api: httpx.AsyncClient, log: Log) -> None:
    it = await log.subscription()
    await log.delivery(it)
    for asked in (
        {"since": (datetime.now(UTC) + timedelta(hours=1)).isoformat()},
        {"since": SINCE, "until": (datetime.now(UTC) - timedelta(minutes=30)).isoformat()},
    ):
        response = await api.post(path(it), json={**asked, "dry_run": True})
        assert response.json() == {"count": 0}


async def test_asked_twice_with_one_key_it_is_one_replay(api: httpx.AsyncClient, log: Log) -> None:
    it = await log.subscription()
    key = {"Idempotency-Key": "again"}
    first, second = [await api.post(path(it), json={"since": SINCE}, headers=key) for _ in range(2)]
    assert first.json()["id"] == second.json()["id"]


async def test_a_disabled_subscription_is_enabled_first(api: httpx.AsyncClient, log: Log) -> None:
    it = await log.subscription(enabled=False)
    await log.delivery(it, state="held")
    problem = problem_of(await api.post(path(it), json={"since": SINCE}), 409)
    assert "enable it first" in str(problem["detail"])
    assert (await api.post(path(it), json={"since": SINCE, "dry_run": True})).json() == {"count": 1}


async def test_what_cannot_be_asked_is_refused_with_why(api: httpx.AsyncClient, log: Log) -> None:
    it = await log.subscription()
    assert pointers_of(await api.post(path(it), json={})) == ["/since"]
    assert pointers_of(await api.post(path(it), json={"since": SINCE, "until": SINCE})) == ["/until"]
    assert pointers_of(await api.post(path(it), json={"since": SINCE, "rate_per_s": 1e6})) == ["/rate_per_s"]
    problem_of(await api.post(path(UNKNOWN), json={"since": SINCE}), 404)
    problem_of(await api.post(path(it), json={"since": SINCE}, headers=ELSEWHERE), 404)
