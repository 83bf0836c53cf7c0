"""A subscription's filters, from REST to the receiver: only what they take, and the owner sees how they fail."""

import json

import pytest

from producers import Publisher
from schemas.filters.expressions import is_available
from tests.flows.conftest import Organization
from tests.flows.recorder import Recorder
from tests.flows.test_way_of_an_event import has

pytestmark = [
    pytest.mark.slow,
    pytest.mark.flow,
    pytest.mark.kafka,
    pytest.mark.postgres,
    pytest.mark.skipif(not is_available(), reason="cel-expr-python has no wheel for this machine"),
]


async def test_only_what_filters_take_arrives_and_a_failing_one_is_shown(
    organization: Organization, recorder: Recorder, publisher: Publisher
) -> None:
    chosen: list[object] = [{"exact": {"subject": "u1"}}, {"cel": "data.name.startsWith('A')"}]
    wants = await organization.subscribe(recorder.path("wants"), "user.*", filters=chosen)
    fails = await organization.subscribe(recorder.path("fails"), "user.*", filters=[{"cel": "data.absent == 1"}])
    assert (await organization.get(f"/subscriptions/{wants['id']}"))["filters"] == chosen

    for key, name in (("u1", "Bob"), ("u2", "Alice"), ("u1", "Anna"), ("u1", "Carol"), ("u1", "Adam")):
        await publisher.publish(
            type="user.created", organization_id=organization.id, key=key, data={"id": key, "name": name}
        )
    requests = await recorder.until("wants", has(2), within_s=30)
    assert [json.loads(request.body)["data"]["name"] for request in requests] == ["Anna", "Adam"]
    assert recorder.requests_to("fails") == []

    shown = await organization.until(
        f"/subscriptions/{fails['id']}", lambda body: body["filter_errors"]["count"] == 5, within_s=60
    )
    errors = shown["filter_errors"]
    assert errors["last_error"] == 'Key not found in map : "absent"'
    assert errors["since_version"] == 1
    event = await organization.get(f"/events/{errors['last_event_id']}")
    assert event["data"]["name"] == "Adam"
    assert [owed["subscription_id"] for owed in event["deliveries"]] == [wants["id"]]
    assert (await organization.get(f"/subscriptions/{wants['id']}"))["filter_errors"]["count"] == 0
