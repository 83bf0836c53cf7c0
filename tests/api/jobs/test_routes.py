"""Long jobs in one view: what replays are called there, who sees them, in pages."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from api.replays.tables import ReplayRow
from schemas.ids import new_replay_id
from tests.api.problem import problem_of
from tests.api.replays.logged import Log, log_of

pytestmark = pytest.mark.postgres

PATH = "/api/v1/jobs"
NOW = datetime.now(UTC).replace(microsecond=0)
COUNTS = {"total": 8, "sent": 6, "succeeded": 3, "failed": 1, "held": 0, "skipped": 1, "cancelled": 1}


@pytest_asyncio.fixture
async def log(api: httpx.AsyncClient, shared_url: str) -> AsyncIterator[Log]:
    async with log_of(shared_url, api.headers["Hookline-Organization"]) as log:
        yield log


async def a_replay(log: Log, **fields: Any) -> str:
    given = {
        "id": new_replay_id(),
        "organization_id": log.organization_id,
        "is_retry": False,
        "state": "running",
        "rate_per_s": 10.0,
        "created_at": NOW,
        "started_at": NOW,
        **COUNTS,
    }
    row = ReplayRow(**{**given, **fields})
    async with log.transaction() as db:
        db.add(row)
    return str(given["id"] if "id" not in fields else fields["id"])


@pytest.mark.parametrize(
    ("fields", "state", "progress"),
    [
        ({}, "running", (6, 8, 75.0, "deliveries")),
        ({"state": "finishing"}, "running", (6, 8, 75.0, "deliveries")),
        ({"state": "paused"}, "paused", (6, 8, 75.0, "deliveries")),
        ({"state": "pending", "started_at": None}, "pending", (6, None, None, "deliveries")),
        ({"state": "completed", "total": 0, "succeeded": 0, "failed": 0, "skipped": 0, "cancelled": 0}, "completed",
         (0, 0, 100.0, "deliveries")),
        ({"source": "log", "log_read": 250, "log_total": 1000}, "running", (250, 1000, 25.0, "offsets")),
        ({"source": "log", "log_read": 250, "log_total": 1000, "state": "completed", "error": "why"}, "failed",
         (250, 1000, 25.0, "offsets")),
        ({"state": "cancelled"}, "cancelled", (6, 8, 75.0, "deliveries")),
    ],
)  # fmt: skip
async def test_a_replay_is_shown_as_a_job(
    api: httpx.AsyncClient, log: Log, fields: dict[str, Any], state: str, progress: tuple[Any, ...]
) -> None:
    job_id = await a_replay(log, **fields)
    body = (await api.get(f"{PATH}/{job_id}")).json()
    assert (body["kind"], body["state"], body["href"]) == ("replay", state, f"/api/v1/replays/{job_id}")
    assert tuple(body["progress"].values()) == progress
    assert body["error"] == fields.get("error")
    assert (await api.get(PATH)).json()["data"] == [body]
    assert [each["id"] for each in (await api.get(PATH, params={"state": state})).json()["data"]] == [job_id]
    other = "pending" if state != "pending" else "running"
    assert (await api.get(PATH, params={"state": other, "kind": "replay"})).json()["data"] == []


async def test_pages_follow_each_other_newest_first_and_retries_are_no_jobs(api: httpx.AsyncClient, log: Log) -> None:
    made = [await a_replay(log, created_at=NOW - timedelta(minutes=number // 2)) for number in range(5)]
    await a_replay(log, is_retry=True)
    seen: list[dict[str, Any]] = []
    cursor = None
    while cursor is not None or not seen:
        page = (await api.get(PATH, params={"limit": 2, **({"cursor": cursor} if cursor else {})})).json()
        seen += page["data"]
        cursor = page["next_cursor"]
    assert sorted(each["id"] for each in seen) == sorted(made)
    places = [(each["created_at"], each["id"]) for each in seen]
    assert places == sorted(places, reverse=True)


async def test_another_organizations_job_is_not_there(api: httpx.AsyncClient, log: Log, shared_url: str) -> None:
    async with log_of(shared_url) as theirs:
        job_id = await a_replay(theirs)
    problem_of(await api.get(f"{PATH}/{job_id}"), 404)
    problem_of(await api.get(f"{PATH}/job_1"), 404)
    problem_of(await api.get(PATH, params={"kind": "sweep"}), 422)
