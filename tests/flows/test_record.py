"""What the log says of what happened: over REST, a moment after it did."""

import asyncio
import json
import time
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from uuid import uuid4

import httpx
import pytest
from confluent_kafka import Producer
from standardwebhooks import Webhook, WebhookVerificationError

from compose.stack import Stack
from schemas.codec import encode
from schemas.ids import EventId, OrganizationId, new_event_id
from schemas.records import Event
from schemas.topics import EVENTS
from tests.flows.conftest import ATTEMPTS, Organization
from tests.flows.recorder import Recorder, always, fails

pytestmark = [pytest.mark.flow, pytest.mark.kafka, pytest.mark.postgres]


def ended(state: str) -> Any:
    return lambda page: bool(page["data"]) and all(delivery["state"] == state for delivery in page["data"])


async def test_a_delivery_is_in_the_log_with_each_attempt_and_nothing_secret(
    organization: Organization, recorder: Recorder
) -> None:
    created = await organization.subscribe(
        recorder.path("flaky", fails(2)), "user.*", headers={"X-Api-Key": "canary-of-a-header"}
    )
    published = await organization.post(
        "/events", {"type": "user.created", "data": {"id": "u1"}, "key": "u1"}, status=202
    )
    await recorder.until("flaky", lambda requests: len(requests) == 3, within_s=60)
    page = await organization.until("/deliveries", ended("success"), subscription_id=created["id"])

    (delivery,) = page["data"]
    assert (delivery["event_id"], delivery["attempt_count"], delivery["status"]) == (published["id"], 3, 204)
    detail = await organization.get(f"/deliveries/{delivery['id']}")
    attempts = detail["attempts"]
    assert [(attempt["attempt"], attempt["state"], attempt["response"]["status"]) for attempt in attempts] == [
        (1, "retrying", 503),
        (2, "retrying", 503),
        (3, "success", 204),
    ]
    sent = recorder.requests_to("flaky")
    for attempt, request in zip(attempts, sent, strict=True):
        assert attempt["request"]["body"].encode() == request.body
        assert attempt["request"]["headers"]["webhook-timestamp"] == request.headers["webhook-timestamp"]
        assert attempt["address"].startswith("127.0.0.1:")
    for earlier, later in pairwise(attempts):
        assert earlier["next_attempt_at"] == later["due_at"]
    assert "canary" not in json.dumps(detail)
    assert sent[0].headers["webhook-signature"] not in json.dumps(detail)

    event = await organization.get(f"/events/{published['id']}")
    assert [(each["delivery_id"], each["state"]) for each in event["deliveries"]] == [(delivery["id"], "success")]
    assert event["data"] == {"id": "u1"}
    stats = await organization.get("/stats")
    assert (stats["subscriptions"], stats["deliveries"], stats["failures"], stats["dead"]) == (1, 1, 2, 0)
    assert stats["success_rate"] == 1.0
    assert stats["days"][-1]["success"] + stats["days"][-2]["success"] == 1


async def test_another_organization_finds_nothing_of_it(
    stack: Stack, organization: Organization, recorder: Recorder
) -> None:
    created = await organization.subscribe(recorder.path("here"), "user.*")
    event = await organization.post("/events", {"type": "user.created", "data": {"id": "u"}}, status=202)
    page = await organization.until("/deliveries", ended("success"))
    delivery = page["data"][0]["id"]
    replay = await organization.post("/replays", {"subscription_id": created["id"]}, status=202)
    one = f"/api/v1/subscriptions/{created['id']}"
    paths = [
        *(("GET", path) for path in (one, f"{one}/deliveries", f"{one}/stats", f"/api/v1/events/{event['id']}")),
        *(("GET", path) for path in (f"/api/v1/deliveries/{delivery}", f"/api/v1/replays/{replay['id']}")),
        ("GET", f"/api/v1/replays/{replay['id']}/items"),
        *(("POST", f"{one}/{action}") for action in ("test", "enable", "disable", "rotate-secret")),
        ("POST", f"/api/v1/deliveries/{delivery}/retry"),
        ("POST", f"/api/v1/replays/{replay['id']}/cancel"),
        ("DELETE", one),
    ]
    headers = {
        "Authorization": f"Bearer {stack.admin_token}",
        "Hookline-Organization": f"org_{uuid4().hex[:12]}",
    }
    async with httpx.AsyncClient(base_url=stack.api_url, headers=headers, trust_env=False) as other:
        found = {f"{method} {path}": (await other.request(method, path)).status_code for method, path in paths}
        assert found == dict.fromkeys(found, 404)
        for listing in ("subscriptions", "deliveries", "events", "replays"):
            assert (await other.get(f"/api/v1/{listing}")).json()["data"] == []
        bulk = {"action": "delete", "ids": [created["id"]]}
        assert (await other.post("/api/v1/subscriptions/bulk", json=bulk)).json()["results"][0]["ok"] is False
    assert (await organization.api.get(one)).status_code == 200


async def test_a_test_send_answers_what_the_receiver_said_also_while_it_is_disabled(
    organization: Organization, recorder: Recorder
) -> None:
    created = await organization.subscribe(recorder.path("teapot", always(418)), "user.*", enabled=False)
    said = await organization.post(f"/subscriptions/{created['id']}/test", status=200)
    assert (said["response"]["status"], said["state"]) == (418, "failed")
    (request,) = recorder.requests_to("teapot")
    verified = Webhook(created["secret"]).verify(request.body, request.headers)
    assert verified["type"] == "hookline.test"
    shown = await organization.get(f"/deliveries/{said['delivery_id']}")
    assert (shown["is_test"], shown["attempt_count"]) == (True, 1)
    assert (await organization.get("/stats"))["deliveries"] == 0


async def test_a_rotated_secret_signs_beside_the_old_one_until_the_overlap_ends(
    organization: Organization, recorder: Recorder
) -> None:
    created = await organization.subscribe(recorder.path("here"), "user.*")
    rotated = await organization.post(f"/subscriptions/{created['id']}/rotate-secret", {"overlap": "8s"}, status=200)
    ends_at = time.monotonic() + 8.0
    await organization.in_force()
    await organization.post("/events", {"type": "user.created", "data": {"id": "1"}}, status=202)
    (during,) = await recorder.until("here", lambda requests: len(requests) == 1, within_s=30)
    for secret in (created["secret"], rotated["secret"]):
        Webhook(secret).verify(during.body, during.headers)
    await asyncio.sleep(ends_at - time.monotonic())  # the overlap itself
    await organization.post("/events", {"type": "user.created", "data": {"id": "2"}}, status=202)
    after = (await recorder.until("here", lambda requests: len(requests) == 2, within_s=30))[1]
    Webhook(rotated["secret"]).verify(after.body, after.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(created["secret"]).verify(after.body, after.headers)


async def test_410_disables_at_once_and_what_it_misses_is_held_until_it_is_replayed(
    organization: Organization, recorder: Recorder
) -> None:
    answers = iter([410])
    created = await organization.subscribe(recorder.path("moved", lambda _: next(answers, 204)), "user.*")
    await organization.post("/events", {"type": "user.created", "data": {"id": "1"}}, status=202)
    path = f"/subscriptions/{created['id']}"
    disabled = await organization.until(path, lambda found: found["state"] == "disabled")
    assert disabled["disabled_reason"] == "gone"
    assert disabled["disabled_at"] is not None
    await organization.in_force()
    missed = await organization.post("/events", {"type": "user.created", "data": {"id": "2"}}, status=202)
    held = await organization.until("/deliveries", lambda page: bool(page["data"]), state="held")
    assert [delivery["event_id"] for delivery in held["data"]] == [missed["id"]]

    await organization.post(f"{path}/enable", status=200)
    await organization.in_force()
    replay = await organization.post("/replays", {"subscription_id": created["id"], "state": "held"}, status=202)
    done = await organization.until(f"/replays/{replay['id']}", lambda found: found["state"] == "completed")
    assert (done["total"], done["succeeded"]) == (1, 1)
    (_, request) = recorder.requests_to("moved")
    assert (request.webhook_id, request.headers["hookline-replay"]) == (missed["id"], replay["id"])


async def test_ids_of_wrong_clocks_are_delivered_and_found(
    stack: Stack, organization: Organization, recorder: Recorder
) -> None:
    """An event id of 1970 or 2999 is filed under the broker's time: the projection goes on, and the list shows it."""
    await organization.subscribe(recorder.path("here"), "user.*")
    normal = new_event_id()
    ids = [f"evt_{year_ms:012x}{normal[16:]}" for year_ms in (0, 32_472_144_000_000)]
    for event_id in ids:
        publish_as_another_client(stack, organization.id, event_id)
    await recorder.until("here", lambda requests: len(requests) == len(ids), within_s=30)
    page = await organization.until("/deliveries", lambda page: len(page["data"]) == len(ids))
    assert {delivery["event_id"] for delivery in page["data"]} == set(ids)
    for event_id in ids:
        assert (await organization.get(f"/events/{event_id}"))["deliveries"][0]["state"] in {"pending", "success"}


@pytest.mark.slow
async def test_a_dead_delivery_is_retried_by_hand_and_never_twice_at_once(
    organization: Organization, recorder: Recorder
) -> None:
    await organization.subscribe(recorder.path("mended", always(500)), "user.*", timeout_s=2)
    await organization.post("/events", {"type": "user.created", "data": {"id": "1"}}, status=202)
    page = await organization.until("/deliveries", ended("failed"), within_s=60)
    path = f"/deliveries/{page['data'][0]['id']}"
    recorder.hang("mended")
    answers = await asyncio.gather(*(organization.api.post(f"/api/v1{path}/retry") for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 9
    await recorder.until("mended", lambda requests: len(requests) > ATTEMPTS, within_s=30)
    assert (await organization.api.post(f"/api/v1{path}/retry")).status_code == 409, "it is being sent just now"
    recorder.mend("mended")
    found = await organization.until(path, lambda delivery: delivery["state"] == "success")
    replay_id = next(answer.json()["replay_id"] for answer in answers if answer.status_code == 202)
    assert found["round"] == replay_id
    assert [(attempt["round"], attempt["attempt"], attempt["error_kind"]) for attempt in found["attempts"]] == [
        *(("0", number, "http") for number in range(1, ATTEMPTS + 1)),
        (replay_id, 1, "timeout"),
        (replay_id, 2, None),
    ]
    assert len({request.body for request in recorder.requests_to("mended")}) == 1


async def test_a_retry_by_hand_takes_over_from_the_one_that_waits(
    organization: Organization, recorder: Recorder
) -> None:
    # It waits for 10 s, and by hand it can be retried for 9: what is due within a second goes out by itself.
    created = await organization.subscribe(recorder.path("flaky", fails(1), Retry_After="10"), "user.*")
    events = [
        (await organization.post("/events", {"type": "user.created", "data": {"id": f"{n}"}}, status=202))["id"]
        for n in range(2)
    ]

    def both_wait(page: Any) -> bool:
        return [(each["state"], each["attempt_count"]) for each in page["data"]] == [("retrying", 1)] * 2

    page = await organization.until("/deliveries", both_wait, subscription_id=created["id"])
    [first] = [delivery["id"] for delivery in page["data"] if delivery["event_id"] == events[0]]
    await organization.post(f"/deliveries/{first}/retry", status=202)

    def arrived(event_id: str, count: int) -> Any:
        return lambda requests: sum(request.webhook_id == event_id for request in requests) >= count

    await recorder.until("flaky", arrived(events[0], 2), within_s=60)
    # The other one waited in the same partition of the same tier, behind the first: when it is here, the first was due.
    requests = await recorder.until("flaky", arrived(events[1], 2), within_s=30)
    await organization.until("/deliveries", ended("success"), subscription_id=created["id"])
    tries = [request.webhook_id for request in requests]
    assert {event_id: tries.count(event_id) for event_id in events} == dict.fromkeys(events, 2)
    by_hand, due = (max(each.at for each in requests if each.webhook_id == event_id) for event_id in events)
    assert by_hand < due, "it was not sent by hand, but when it was due"


def publish_as_another_client(stack: Stack, organization_id: str, event_id: str) -> None:
    """Put an event with an id of our choice on the topic: our Publisher makes its own."""
    event = Event(
        id=EventId(event_id),
        type="user.created",
        organization_id=OrganizationId(organization_id),
        created_at=datetime.now(UTC),
        data=b'{"id": "u"}',
    )
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    producer.produce(EVENTS, key=event_id.encode(), value=encode(event))
    assert producer.flush(30) == 0
