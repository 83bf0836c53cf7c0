"""One delivery again, over REST: when it may be, and never twice at once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.api.problem import problem_of
from tests.api.replays.logged import Log, log_of

pytestmark = pytest.mark.postgres

UNKNOWN = "dlv_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"


@pytest_asyncio.fixture
async def log(api: httpx.AsyncClient, shared_url: str) -> AsyncIterator[Log]:
    async with log_of(shared_url, api.headers["Hookline-Organization"]) as log:
        yield log


def path_of(delivery_id: str) -> str:
    return f"/api/v1/deliveries/{delivery_id}/retry"


def due_in(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "fields",
    [{"state": "failed"}, {"state": "held"}, {"state": "success"}, {"state": "retrying", "due_at": due_in(3600)}],
    ids=lambda fields: str(fields["state"]),
)
async def test_a_delivery_is_sent_again_as_a_replay_of_one(
    api: httpx.AsyncClient, log: Log, fields: dict[str, Any]
) -> None:
    subscription_id = await log.subscription()
    delivery_id = await log.delivery(subscription_id, **fields)
    response = await api.post(path_of(delivery_id))
    assert response.status_code == 202, response.text
    replay_id = response.json()["replay_id"]
    assert response.json() == {"delivery_id": delivery_id, "replay_id": replay_id}
    assert response.headers["location"] == f"/api/v1/replays/{replay_id}"
    replay = (await api.get(response.headers["location"])).json()
    assert (replay["is_retry"], replay["state"], replay["total"]) == (True, "pending", 1)
    assert replay["filter"]["subscription_id"] == subscription_id
    assert await log.items(replay_id) == {delivery_id: ("queued", None)}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"state": "pending"}, "being sent now"),
        ({"state": "retrying", "due_at": due_in(-60)}, "being sent now"),
        ({"is_test": True}, "test"),
    ],
)
async def test_what_is_on_its_way_is_refused(
    api: httpx.AsyncClient, log: Log, fields: dict[str, Any], why: str
) -> None:
    delivery_id = await log.delivery(await log.subscription(), **fields)
    assert why in str(problem_of(await api.post(path_of(delivery_id)), 409)["detail"])


async def test_a_disabled_subscription_has_to_be_enabled_first(api: httpx.AsyncClient, log: Log) -> None:
    delivery_id = await log.delivery(await log.subscription(enabled=False))
    assert "enable it first" in str(problem_of(await api.post(path_of(delivery_id)), 409)["detail"])


async def test_a_deleted_subscription_receives_nothing_more(api: httpx.AsyncClient, log: Log) -> None:
    subscription_id = await log.subscription()
    delivery_id = await log.delivery(subscription_id)
    assert (await api.delete(f"/api/v1/subscriptions/{subscription_id}")).status_code == 204
    assert "deleted" in str(problem_of(await api.post(path_of(delivery_id)), 409)["detail"])


@pytest.mark.parametrize("fields", [{"state": "failed"}, {"state": "retrying", "due_at": due_in(3600)}])
async def test_of_twenty_at_once_one_sends(api: httpx.AsyncClient, log: Log, fields: dict[str, Any]) -> None:
    delivery_id = await log.delivery(await log.subscription(), **fields)
    answers = await asyncio.gather(*(api.post(path_of(delivery_id)) for _ in range(20)))
    assert Counter(answer.status_code for answer in answers) == {202: 1, 409: 19}
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert "already" in str(problem_of(refused, 409)["detail"])
    rows = await log.run("SELECT replay_id FROM replay_items WHERE delivery_id = :id", id=delivery_id)
    assert len(rows) == 1
    replays = (await api.get("/api/v1/replays")).json()["data"]
    assert [replay["id"] for replay in replays] == [rows[0]["replay_id"]]  # none that was refused left a job


async def test_a_round_that_waits_is_taken_over_by_one_of_twenty(api: httpx.AsyncClient, log: Log) -> None:
    earlier = await log.replay()
    subscription_id = await log.subscription()
    delivery_id = await log.delivery(subscription_id, state="retrying", due_at=due_in(3600), round=earlier)
    await log.run(
        "INSERT INTO replay_items (replay_id, delivery_id, subscription_id, event_id, state, sent_at)"
        " VALUES (:replay, :delivery, :subscription, 'evt_1', 'sent', now())",
        replay=earlier,
        delivery=delivery_id,
        subscription=subscription_id,
    )
    answers = await asyncio.gather(*(api.post(path_of(delivery_id)) for _ in range(20)))
    assert Counter(answer.status_code for answer in answers) == {202: 1, 409: 19}
    [later] = [answer.json()["replay_id"] for answer in answers if answer.status_code == 202]
    assert await log.items(earlier) == {delivery_id: ("cancelled", f"{later} sends it instead")}
    assert await log.items(later) == {delivery_id: ("queued", None)}


async def test_a_delivery_that_a_replay_has_yet_to_send_is_refused(api: httpx.AsyncClient, log: Log) -> None:
    delivery_id = await log.delivery(await log.subscription())
    await log.run(
        "INSERT INTO replay_items (replay_id, delivery_id, subscription_id, event_id, state)"
        " VALUES (:replay, :delivery, 'sub_1', 'evt_1', 'queued')",
        replay=await log.replay(),
        delivery=delivery_id,
    )
    assert "already" in str(problem_of(await api.post(path_of(delivery_id)), 409)["detail"])


@pytest.mark.parametrize("delivery_id", [UNKNOWN, "dlv_x", "x", "%00"])
async def test_what_is_not_there_is_said_to_be_none(api: httpx.AsyncClient, delivery_id: str) -> None:
    problem_of(await api.post(path_of(delivery_id)), 404)


async def test_another_organizations_delivery_is_none(api: httpx.AsyncClient, log: Log) -> None:
    delivery_id = await log.delivery(await log.subscription())
    api.headers["Hookline-Organization"] = "org_other"
    problem_of(await api.post(path_of(delivery_id)), 404)
