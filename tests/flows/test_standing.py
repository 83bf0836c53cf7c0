"""A subscription fails, is disabled and recovers; another one is told of it, and it gets all in the end."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.flows.conftest import Organization
from tests.flows.recorder import Recorder, Request, always

pytestmark = [pytest.mark.flow, pytest.mark.kafka, pytest.mark.postgres, pytest.mark.timeout(120)]

EVENTS = 10  # as many as must be given up


async def publish(organization: Organization, count: int) -> list[str]:
    """Publish events and return their ids."""
    event = {"type": "user.created", "data": {"id": "u"}}
    return [(await organization.post("/events", event, status=202))["id"] for _ in range(count)]


def told(requests: list[Request]) -> list[Any]:
    return [json.loads(request.body) for request in requests]


@pytest.mark.slow
async def test_another_subscription_is_told_of_one_that_fails_is_disabled_and_recovers(
    organization: Organization, recorder: Recorder
) -> None:
    began = datetime.now(UTC)
    broken = await organization.subscribe(recorder.path("broken", always(500)) + "?key=hidden", "*")
    await organization.subscribe(recorder.path("watching"), "subscription.*")
    at = f"/subscriptions/{broken['id']}"
    failed = await publish(organization, EVENTS)
    seen = await recorder.until("watching", lambda requests: len(requests) == 2, within_s=30)
    warned, disabled = sorted(told(seen), key=lambda event: str(event["id"]))
    assert (warned["type"], warned["data"]["given_up"]) == ("subscription.failing", EVENTS // 2)
    assert (disabled["type"], disabled["data"]["reason"]) == ("subscription.disabled", "exhausted")
    assert {event["data"]["subscription_id"] for event in (warned, disabled)} == {broken["id"]}
    assert "hidden" not in json.dumps([warned, disabled])

    await organization.until(at, lambda body: body["state"] == "disabled")
    await organization.in_force()
    held = await publish(organization, 1)
    lag = await organization.until(f"{at}/lag", lambda lag: lag["held"]["count"] == 1)
    assert (lag["count"], lag["where"], lag["behind"]) == (0, [], None)

    recorder.mend("broken")
    before = len(recorder.requests_to("broken"))
    await organization.post(f"{at}/enable", status=200)
    await organization.in_force()
    since = (began - timedelta(minutes=1)).isoformat()
    assert await organization.post(f"{at}/recover", {"since": since, "dry_run": True}, status=200) == {
        "count": EVENTS + 1
    }
    replay = await organization.post(f"{at}/recover", {"since": since}, status=202)
    done = await organization.until(f"/replays/{replay['id']}", lambda body: body["state"] == "completed", within_s=60)
    assert (done["succeeded"], done["total"]) == (EVENTS + 1, EVENTS + 1)
    arrived = recorder.requests_to("broken")[before:]
    assert {request.webhook_id for request in arrived} == {*failed, *held}  # and nothing that is said of itself

    seen = await recorder.until("watching", lambda requests: len(requests) == 3, within_s=60)
    recovered = told(seen)[-1]
    assert (recovered["type"], recovered["data"]["subscription_id"]) == ("subscription.recovered", broken["id"])
    page = await organization.until("/events", lambda page: bool(page["data"]), type="subscription.recovered")
    assert [event["id"] for event in page["data"]] == [recovered["id"]]
    assert all("subscription" not in json.loads(request.body)["type"] for request in recorder.requests_to("broken"))
