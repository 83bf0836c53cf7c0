"""Replays of the log over REST: what is refused, what a dry run says, pausing; sent by test_log_replay.py's runner."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from api.replays import estimating
from producers.settings import KafkaSettings
from schemas.topics import EVENTS
from tests.api.conftest import client_of, settings_of
from tests.api.problem import pointers_of, problem_of
from tests.api.replays.log_events import EventLog, Published
from tests.api.replays.logged import Log, log_of

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]

PATH = "/api/v1/replays"
SINCE = "2026-11-20T10:00:00Z"


@pytest_asyncio.fixture
async def api(shared_url: str, kafka_with_events: KafkaSettings) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(settings_of(shared_url), kafka_with_events) as client:
        client.headers["Hookline-Organization"] = f"org_{uuid4().hex}"
        yield client


@pytest_asyncio.fixture
async def log(api: httpx.AsyncClient, shared_url: str) -> AsyncIterator[Log]:
    async with log_of(shared_url, api.headers["Hookline-Organization"]) as log:
        yield log


@pytest.fixture
def events(bootstrap: str, log: Log) -> EventLog:
    """The topic of all tests, and an organization of this one's own."""
    return EventLog(bootstrap, EVENTS, log)


async def dry_run(api: httpx.AsyncClient, **asked: Any) -> dict[str, Any]:
    response = await api.post(PATH, json={"source": "log", "dry_run": True, **asked})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def ends_of(published: Sequence[Published]) -> dict[str, int]:
    """Return for each partition the first offset after what was published, as the API takes it."""
    return {str(each.partition): each.offset + 1 for each in sorted(published, key=lambda each: each.offset)}


@pytest.mark.parametrize(
    ("asked", "pointers"),
    [
        ({"source": "log"}, [""]),
        ({"source": "log", "since": SINCE, "offsets": {"from": {"0": 1}}}, [""]),
        ({"source": "log", "offsets": {}}, ["/offsets"]),
        ({"source": "log", "offsets": {"from": {"0": 5}, "to": {"0": 5}}}, ["/offsets/to/0"]),
        ({"source": "log", "offsets": {"from": {"99": 5}, "to": {"98": 5}}}, ["/offsets/from/99", "/offsets/to/98"]),
        ({"source": "log", "offsets": {"from": {"0": 1}}, "until": SINCE}, ["/until"]),
        ({"source": "log", "offsets": {"from": {"zero": 1}}}, ["/offsets/from"]),
        ({"source": "log", "offsets": {"from": {"0": -1}}}, ["/offsets/from/0"]),
        ({"source": "log", "since": SINCE, "state": "failed"}, ["/state"]),
        ({"source": "log", "since": SINCE, "until": SINCE, "subscription_id": "sub_1"}, ["/subscription_id", "/until"]),
        ({"state": "failed", "offsets": {"from": {"0": 1}}, "filters": []}, ["/filters", "/offsets"]),
        ({"source": "log", "since": SINCE, "filters": [{"exact": {"subject": 1}}]}, ["/filters/0/exact/subject"]),
        ({"source": "tape", "since": SINCE}, ["/source"]),
    ],
)
async def test_what_does_not_hold_is_said_with_a_pointer(
    api: httpx.AsyncClient, asked: dict[str, Any], pointers: list[str]
) -> None:
    assert sorted(pointers_of(await api.post(PATH, json=asked))) == pointers


async def test_without_kafka_nothing_is_begun(shared_url: str) -> None:
    async with client_of(settings_of(shared_url)) as api:
        problem_of(await api.post(PATH, json={"source": "log", "since": SINCE}), 503)


async def test_a_dry_run_says_how_much_it_is(api: httpx.AsyncClient, log: Log, events: EventLog) -> None:
    since = datetime.now(UTC) - timedelta(seconds=2)
    published = [*await events.publish(20), *await events.publish(5, type="user.deleted")]
    wants_all, _, disabled = await log.subscription(), await log.subscription(), await log.subscription(enabled=False)
    await log.run("UPDATE subscriptions SET event_types = '{user.created}' WHERE id = :id", id=disabled)
    found = await dry_run(api, since=since.isoformat(), rate_per_s=10)
    size = found.pop("size_bytes")
    assert found == {
        "count": 50,
        "held": 20,
        "events": 25,
        "seconds": 5.0,
        "by_type": [
            {"type": "user.created", "events": 20, "count": 40},
            {"type": "user.deleted", "events": 5, "count": 10},
        ],
        "read_from": {"kafka": 25, "stored": 0},
        "is_estimate": False,
    }
    assert size == 2 * sum(len(events.body_of(each)) for each in published)
    one = await dry_run(api, since=since.isoformat(), subscription_id=wants_all, event_types=["user.deleted"])
    assert (one["count"], one["events"], one["held"]) == (5, 5, 0)
    between = await dry_run(api, offsets={"to": ends_of(published)}, subscription_id=wants_all)
    assert between["count"] == 25
    later = await dry_run(api, offsets={"from": ends_of(published)}, subscription_id=wants_all)
    assert later["count"] == 0
    assert (await api.get(PATH)).json()["data"] == []


async def test_a_dry_run_that_looks_at_a_sample_says_so(
    api: httpx.AsyncClient, log: Log, events: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimating, "MOST_SAMPLED", 5)
    since = datetime.now(UTC) - timedelta(seconds=2)
    await events.publish(90, key="one")
    await log.subscription()
    found = await dry_run(api, since=since.isoformat())
    assert (found["events"], found["count"], found["is_estimate"]) == (90, 90, True)
    monkeypatch.setattr(estimating, "MOST_COUNTED", 40)
    found = await dry_run(api, since=since.isoformat())
    assert found["is_estimate"]
    assert found["events"] == pytest.approx(90, rel=0.2)


async def test_a_replay_pauses_and_goes_on(api: httpx.AsyncClient, log: Log) -> None:
    started = await api.post(PATH, json={"source": "log", "since": "2026-11-20T10:00:00Z", "event_types": ["user.*"]})
    assert started.status_code == 202, started.text
    body = started.json()
    assert (body["source"], body["state"], body["log"]["read"]) == ("log", "pending", 0)
    path = f"{PATH}/{body['id']}"
    paused = (await api.post(f"{path}/pause")).json()
    assert (paused["state"], paused["paused_at"] is not None) == ("paused", True)
    problem_of(await api.post(f"{path}/pause"), 409)
    resumed = (await api.post(f"{path}/resume")).json()
    assert (resumed["state"], resumed["paused_at"]) == ("pending", None)
    problem_of(await api.post(f"{path}/resume"), 409)
    await log.run("UPDATE replays SET state = 'running', started_at = now() WHERE id = :id", id=body["id"])
    await api.post(f"{path}/pause")
    assert (await api.post(f"{path}/resume")).json()["state"] == "running"
    await api.post(f"{path}/pause")
    assert (await api.post(f"{path}/cancel")).json()["state"] == "cancelled"
    problem_of(await api.post(f"{path}/resume"), 409)
    problem_of(await api.post(f"{PATH}/rpl_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b/pause"), 404)
