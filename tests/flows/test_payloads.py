"""One event, seen differently: each subscription gets its own shape, and a replay the one of then or of today."""

import json
from typing import Any

import pytest

from producers import Publisher
from tests.flows.conftest import Organization
from tests.flows.recorder import Recorder

pytestmark = [pytest.mark.flow, pytest.mark.kafka, pytest.mark.postgres, pytest.mark.timeout(120)]

PERSON = {"id": "user_123", "email": "user@example.com", "name": "John Doe"}


async def sent_again(
    organization: Organization, recorder: Recorder, subscription_id: str, payload: str, *, number: int
) -> Any:
    """Replay what a subscription got; return the request that comes of it, the `number`th to it."""
    body = {"subscription_id": subscription_id, "state": "success", "payload": payload}
    replay = await organization.post("/replays", body, status=202)
    assert replay["payload"] == payload
    await recorder.until("first", lambda requests: len(requests) == number, within_s=60)
    done = await organization.until(f"/replays/{replay['id']}", lambda shown: shown["state"] == "completed")
    assert done["succeeded"] == 1
    return recorder.requests_to("first")[number - 1]


async def test_each_gets_its_own_shape_and_a_replay_that_of_then_or_of_today(
    organization: Organization, recorder: Recorder, publisher: Publisher
) -> None:
    first = await organization.subscribe(recorder.path("first"), "user.created", payload={"shape": "thin"})
    second = await organization.subscribe(
        recorder.path("other"), "user.created", payload={"shape": "delivery", "mask": ["personal"]}
    )
    receipt = publisher.publish(type="user.created", organization_id=organization.id, data=PERSON)
    [thin] = await recorder.until("first", lambda requests: len(requests) == 1, within_s=60)
    [other] = await recorder.until("other", lambda requests: len(requests) == 1, within_s=60)
    assert list(json.loads(thin.body)) == ["id", "type", "created_at", "organization_id", "link"]
    assert json.loads(thin.body)["link"] == f"/api/v1/events/{receipt.event_id}"
    seen = json.loads(other.body)
    assert (seen["id"][:4], seen["event"]) == ("dlv_", "user.created")
    assert (seen["data"]["id"], seen["data"]["email"]) == ("user_123", "***")

    listed = await organization.until("/deliveries", lambda page: page["data"], subscription_id=first["id"])
    at = f"/deliveries/{listed['data'][0]['id']}"
    delivery = await organization.until(at, lambda shown: shown["state"] == "success" and shown["attempts"])
    [attempt] = delivery["attempts"]
    others = await organization.until("/deliveries", lambda page: page["data"], subscription_id=second["id"])
    assert others["data"][0]["id"] == seen["id"]
    assert (delivery["transformation_version"], attempt["transformation_version"]) == (1, 1)
    assert attempt["request"]["body"].encode() == thin.body

    changed = await organization.api.patch(
        f"/api/v1/subscriptions/{first['id']}", json={"payload": {"shape": "timestamp"}}
    )
    assert changed.json()["transformation_version"] == 2
    original = await sent_again(organization, recorder, first["id"], "original", number=2)
    assert (original.webhook_id, original.body) == (thin.webhook_id, thin.body)
    current = await sent_again(organization, recorder, first["id"], "current", number=3)
    assert current.webhook_id == thin.webhook_id
    assert json.loads(current.body) == {
        "event": "user.created",
        "timestamp": seen["created_at"],
        "data": PERSON,
        "organization_id": organization.id,
    }
    shown = await organization.until(at, lambda shown: len(shown["attempts"]) == 3, within_s=60)
    assert [each["transformation_version"] for each in shown["attempts"]] == [1, 1, 2]
    assert [each["request"]["body"].encode() for each in shown["attempts"]] == [
        thin.body, original.body, current.body
    ]  # fmt: skip
