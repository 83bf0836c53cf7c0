"""Replays over REST, on the real PostgreSQL; what sends them is in test_running.py."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio

from api.replays.tables import NOTIFIED
from tests.api.conftest import client_of, settings_of
from tests.api.problem import pointers_of, problem_of
from tests.api.replays.logged import Log, log_of

pytestmark = pytest.mark.postgres

PATH = "/api/v1/replays"
UNKNOWN = "rpl_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"
UNKNOWN_SUBSCRIPTION = "sub_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"


@pytest_asyncio.fixture
async def log(api: httpx.AsyncClient, shared_url: str) -> AsyncIterator[Log]:
    async with log_of(shared_url, api.headers["Hookline-Organization"]) as log:
        yield log


async def started(api: httpx.AsyncClient, **fields: object) -> dict[str, Any]:
    response = await api.post(PATH, json={"state": "failed", **fields})
    assert response.status_code == 202, response.text
    body: dict[str, Any] = response.json()
    return body


async def test_a_dry_run_counts_and_leaves_nothing(api: httpx.AsyncClient, log: Log) -> None:
    subscription_id = await log.subscription()
    await log.deliveries(subscription_id, 3)
    await log.delivery(subscription_id, state="success")
    response = await api.post(PATH, json={"subscription_id": subscription_id, "state": "failed", "dry_run": True})
    assert (response.status_code, response.json()) == (200, {"count": 3})
    response = await api.post(PATH, json={"subscription_id": subscription_id, "dry_run": True})
    assert response.json() == {"count": 4}
    assert (await api.get(PATH)).json()["data"] == []


async def test_a_replay_is_accepted_with_what_was_asked_for(api: httpx.AsyncClient, log: Log) -> None:
    subscription_id = await log.subscription()
    asked = {
        "subscription_id": subscription_id,
        "event_types": ["user.*"],
        "state": "held",
        "since": "2026-11-20T10:00:00+01:00",
        "until": "2026-11-20T10:00:00.5Z",
        "rate_per_s": 20,
    }
    response = await api.post(PATH, json=asked)
    assert response.status_code == 202, response.text
    body = response.json()
    assert response.headers["location"] == f"{PATH}/{body['id']}"
    assert abs((datetime.now(UTC) - datetime.fromisoformat(body["created_at"])).total_seconds()) < 60
    assert body == {
        "id": body["id"],
        "state": "pending",
        "source": "deliveries",
        "is_retry": False,
        "filter": {
            "subscription_id": subscription_id,
            "event_types": ["user.*"],
            "state": "held",
            "since": "2026-11-20T09:00:00Z",
            "until": "2026-11-20T10:00:00.500000Z",
            "offsets": None,
            "filters": None,
        },
        "rate_per_s": 20.0,
        "payload": "original",
        **dict.fromkeys(("total", "sent", "succeeded", "failed", "held", "skipped", "cancelled"), 0),
        "created_at": body["created_at"],
        "started_at": None,
        "paused_at": None,
        "finished_at": None,
        "log": None,
        "error": None,
    }
    assert (await api.get(response.headers["location"])).json() == body


async def test_the_runner_is_woken(api: httpx.AsyncClient, shared_url: str) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    db = await asyncpg.connect(shared_url)
    await db.add_listener(NOTIFIED, lambda *given: heard.put_nowait(given[3]))
    body = await started(api)
    assert await asyncio.wait_for(heard.get(), 5) == body["id"]
    await api.post(f"{PATH}/{body['id']}/cancel")
    assert await asyncio.wait_for(heard.get(), 5) == body["id"]
    await db.close()


async def test_without_a_rate_the_settings_rate_is_taken(shared_url: str) -> None:
    async with client_of(settings_of(shared_url, replays_per_s=7.5)) as api:
        api.headers["Hookline-Organization"] = "org_rate"
        assert (await started(api))["rate_per_s"] == 7.5


@pytest.mark.parametrize(
    ("fields", "pointers"),
    [
        ({}, [""]),  # 90 days of everything
        ({"event_types": ["user.created"]}, [""]),
        ({"until": "2026-11-20T10:00:00Z"}, [""]),
        ({"state": "pending"}, ["/state"]),
        ({"state": "retrying"}, ["/state"]),
        ({"state": 1}, ["/state"]),
        ({"state": "failed", "event_types": ["nope"]}, ["/event_types/0"]),
        ({"state": "failed", "event_types": []}, ["/event_types"]),
        ({"state": "failed", "event_types": "user.created"}, ["/event_types"]),
        ({"subscription_id": UNKNOWN_SUBSCRIPTION}, ["/subscription_id"]),
        ({"subscription_id": "x"}, ["/subscription_id"]),
        ({"subscription_id": "x" * 101}, ["/subscription_id"]),
        ({"subscription_id": "sub_\x00"}, ["/subscription_id"]),
        ({"since": "2026-11-20T10:00:00"}, ["/since"]),  # no zone
        ({"since": "2026-11-20"}, ["/since"]),
        ({"since": "yesterday"}, ["/since"]),
        ({"since": 1_700_000_000}, ["/since"]),
        ({"since": "2026-02-30T10:00:00Z"}, ["/since"]),
        ({"since": "0001-01-01T00:00:00+14:00"}, ["/since"]),  # before year 1 in UTC
        ({"since": "9999-12-31T23:59:59-14:00"}, ["/since"]),
        ({"since": "2026-11-20T10:00:00Z", "until": "2026-11-20T11:00:00+01:00"}, ["/until"]),  # the same moment
        ({"state": "failed", "rate_per_s": 0}, ["/rate_per_s"]),
        ({"state": "failed", "rate_per_s": -1}, ["/rate_per_s"]),
        ({"state": "failed", "rate_per_s": "10"}, ["/rate_per_s"]),
        ({"state": "failed", "rate_per_s": 1000.5}, ["/rate_per_s"]),
        ({"state": "failed", "dry_run": "yes"}, ["/dry_run"]),
        ({"state": "failed", "typo": 1}, ["/typo"]),
        ({"state": "failed", "rate_per_s": 2000, "subscription_id": "x"}, ["/rate_per_s", "/subscription_id"]),
    ],
)
@pytest.mark.parametrize("dry_run", [True, False])
async def test_what_does_not_hold_is_said_where(
    api: httpx.AsyncClient, fields: dict[str, object], pointers: list[str], dry_run: bool
) -> None:
    assert pointers_of(await api.post(PATH, json={"dry_run": dry_run, **fields})) == pointers
    assert (await api.get(PATH)).json()["data"] == []


@pytest.mark.parametrize("since", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-11-20t10:00:00.123456789z"])
async def test_times_at_the_ends_of_the_calendar_are_times(api: httpx.AsyncClient, since: str) -> None:
    assert (await api.post(PATH, json={"since": since, "dry_run": True})).json() == {"count": 0}
    assert (await api.post(PATH, json={"since": since})).status_code == 202


async def test_another_organizations_subscription_is_none(api: httpx.AsyncClient, log: Log) -> None:
    subscription_id = await log.subscription()
    api.headers["Hookline-Organization"] = "org_other"
    assert pointers_of(await api.post(PATH, json={"subscription_id": subscription_id})) == ["/subscription_id"]


async def test_so_many_replays_send_at_once_and_no_more(shared_url: str, api: httpx.AsyncClient) -> None:
    organization = {"Hookline-Organization": api.headers["Hookline-Organization"]}
    async with client_of(settings_of(shared_url, most_replays_at_once=3)) as limited:
        limited.headers.update(organization)
        asked = [limited.post(PATH, json={"state": "failed"}) for _ in range(8)]
        answers = await asyncio.gather(*asked)
        assert sorted(answer.status_code for answer in answers) == [202] * 3 + [409] * 5
        refused = next(answer for answer in answers if answer.status_code == 409)
        assert "3 replays" in str(problem_of(refused, 409)["detail"])
        accepted = next(answer for answer in answers if answer.status_code == 202)
        await limited.post(f"{PATH}/{accepted.json()['id']}/cancel")
        assert (await limited.post(PATH, json={"state": "failed"})).status_code == 202
        limited.headers["Hookline-Organization"] = "org_with_none_of_them"
        assert (await limited.post(PATH, json={"state": "failed"})).status_code == 202


async def test_replays_are_listed_newest_first_page_by_page(api: httpx.AsyncClient) -> None:
    ids = [(await started(api))["id"] for _ in range(5)]
    found, cursor = [], None
    while True:
        page = (await api.get(PATH, params={"limit": 2, **({} if cursor is None else {"cursor": cursor})})).json()
        found += [each["id"] for each in page["data"]]
        cursor = page["next_cursor"]
        if not page["has_more"]:
            break
    assert found == ids[::-1]


async def with_items(log: Log, replay_id: str, states: list[str]) -> list[str]:
    """Give a replay items as the runner would have, all but the queued ones of a minute ago."""
    ids = await log.deliveries(await log.subscription(), len(states))
    for delivery_id, state in zip(ids, states, strict=True):
        await log.run(
            "INSERT INTO replay_items (replay_id, delivery_id, subscription_id, event_id, state, sent_at)"
            " VALUES (:replay, :delivery, 'sub_1', 'evt_1', CAST(:state AS text),"
            " CASE WHEN CAST(:state AS text) NOT IN ('queued', 'skipped') THEN now() END)",
            replay=replay_id,
            delivery=delivery_id,
            state=state,
        )
    return ids


async def test_items_are_listed_by_state_page_by_page(api: httpx.AsyncClient, log: Log) -> None:
    replay_id = (await started(api))["id"]
    ids = await with_items(log, replay_id, ["queued", "sent", "skipped", "sent", "sent"])
    page = (await api.get(f"{PATH}/{replay_id}/items", params={"limit": 4})).json()
    assert [item["delivery_id"] for item in page["data"]] == ids[:4]
    assert page["data"][0] == {
        "delivery_id": ids[0],
        "subscription_id": "sub_1",
        "event_id": "evt_1",
        "state": "queued",
        "detail": None,
        "sent_at": None,
        "finished_at": None,
    }
    page = (await api.get(f"{PATH}/{replay_id}/items", params={"cursor": page["next_cursor"]})).json()
    assert [item["delivery_id"] for item in page["data"]] == ids[4:]
    page = (await api.get(f"{PATH}/{replay_id}/items", params={"state": "sent", "limit": 2})).json()
    assert [item["delivery_id"] for item in page["data"]] == [ids[1], ids[3]]
    assert page["has_more"]


async def test_a_cancelled_replay_keeps_what_went_out(api: httpx.AsyncClient, log: Log) -> None:
    replay_id = (await started(api))["id"]
    ids = await with_items(log, replay_id, ["queued", "sent", "succeeded", "skipped", "queued"])
    response = await api.post(f"{PATH}/{replay_id}/cancel")
    assert response.status_code == 200
    body = response.json()
    assert (body["state"], body["total"], body["sent"], body["succeeded"]) == ("cancelled", 5, 2, 1)
    assert (body["skipped"], body["cancelled"], body["finished_at"]) == (1, 2, None)
    states = [state for state, _ in (await log.items(replay_id)).values()]
    assert states == ["cancelled", "sent", "succeeded", "skipped", "cancelled"]
    assert (await api.get(f"{PATH}/{replay_id}")).json() == body
    assert len(ids) == 5


@pytest.mark.parametrize("state", ["completed", "cancelled"])
async def test_what_has_ended_is_not_cancelled(api: httpx.AsyncClient, log: Log, state: str) -> None:
    replay_id = (await started(api))["id"]
    await log.run("UPDATE replays SET state = :state WHERE id = :id", state=state, id=replay_id)
    assert state in str(problem_of(await api.post(f"{PATH}/{replay_id}/cancel"), 409)["detail"])


@pytest.mark.parametrize("replay_id", [UNKNOWN, "rpl_x", "x", "%00", "rpl_" + "0" * 32])
async def test_what_is_not_there_is_said_to_be_none(api: httpx.AsyncClient, replay_id: str) -> None:
    for method, path in (("GET", ""), ("GET", "/items"), ("POST", "/cancel")):
        problem_of(await api.request(method, f"{PATH}/{replay_id}{path}"), 404)


async def test_another_organizations_replay_is_none(api: httpx.AsyncClient) -> None:
    replay_id = (await started(api))["id"]
    api.headers["Hookline-Organization"] = "org_other"
    for method, path in (("GET", ""), ("GET", "/items"), ("POST", "/cancel")):
        problem_of(await api.request(method, f"{PATH}/{replay_id}{path}"), 404)
    assert replay_id not in (await api.get(PATH)).text
