"""A service that knows nothing of ours writes JSON CloudEvents with its own Kafka client, and they are delivered."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Message, Producer
from standardwebhooks import Webhook

from compose.stack import Stack
from schemas.topics import CLOUDEVENTS, QUARANTINE
from tests.flows.conftest import Organization, records_on
from tests.flows.recorder import Recorder, Request
from tests.flows.test_way_of_an_event import has

pytestmark = [pytest.mark.slow, pytest.mark.flow, pytest.mark.kafka, pytest.mark.postgres]

STRUCTURED = [("content-type", b"application/cloudevents+json")]


def write(producer: Producer, value: bytes, *, key: str, headers: list[tuple[str, bytes]]) -> None:
    producer.produce(CLOUDEVENTS, value=value, key=key, headers=[*headers])


def event_of(organization: Organization, **fields: object) -> dict[str, Any]:
    return {
        "specversion": "1.0", "id": "signup-1", "source": "/accounts", "type": "user.created", "subject": "user_1",
        "time": datetime.now(UTC).isoformat(), "organizationid": organization.id,
        "data": {"id": "user_1", "password": "hunter2"}, **fields,
    }  # fmt: skip


def binary(event: dict[str, Any]) -> tuple[bytes, list[tuple[str, bytes]]]:
    headers = [(f"ce_{name}", str(value).encode()) for name, value in event.items() if name != "data"]
    return json.dumps(event["data"]).encode(), [*headers, ("content-type", b"application/json")]


def both(requests: list[Request]) -> bool:
    return len({each.webhook_id for each in requests}) == 2


async def test_both_modes_arrive_signed_twice_sent_is_one_delivery_and_bad_ones_are_quarantined(
    stack: Stack, organization: Organization, recorder: Recorder
) -> None:
    created = await organization.subscribe(recorder.path("here"), "user.*")
    run = uuid4().hex
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    first = event_of(organization)
    bad = json.dumps(event_of(organization, data={"id": 5})).encode()
    write(producer, json.dumps(first).encode(), key="user_1", headers=STRUCTURED)
    write(producer, json.dumps(first).encode(), key="user_1", headers=STRUCTURED)  # its report was lost, say
    write(producer, bad, key=run, headers=[*STRUCTURED, ("mine", b"kept")])
    value, headers = binary(event_of(organization, id="locked-1", type="user.locked", zone="Köln"))
    write(producer, value, key="user_1", headers=headers)
    assert await asyncio.to_thread(producer.flush, 10) == 0

    requests = await recorder.until("here", both, within_s=60)

    verified = [Webhook(created["secret"]).verify(request.body, request.headers) for request in requests]
    by_type = {body["type"]: (body, request.webhook_id) for body, request in zip(verified, requests, strict=True)}
    body, event_id = by_type["user.created"]
    assert (body["id"], body["data"], body["organization_id"]) == (event_id, {"id": "user_1"}, organization.id)
    assert by_type["user.locked"][0]["metadata"] == {"zone": "Köln"}
    again = [request.webhook_id for request in requests if json.loads(request.body)["type"] == "user.created"]
    assert set(again) == {event_id}  # what was sent twice may arrive twice, and has one id
    deliveries = await organization.until("/deliveries", has_data(2), event_type="user.created")
    assert {each["event_id"] for each in deliveries["data"]} <= {event_id, by_type["user.locked"][1]}

    def ours(record: Message) -> bool:
        return record.key() == run.encode()

    (quarantined,) = await records_on(stack.bootstrap_servers, QUARANTINE, ours, count=1)
    why: dict[str, Any] = dict(quarantined.headers() or [])
    assert quarantined.value() == bad
    assert why["mine"] == b"kept"
    assert b"/data/id" in why["__connect.errors.exception.message"]


def has_data(most: int) -> Any:
    return lambda page: 1 <= len(page["data"]) <= most


async def test_a_curl_of_a_cloud_event_is_delivered_under_the_id_that_was_answered(
    organization: Organization, recorder: Recorder
) -> None:
    await organization.subscribe(recorder.path("http"), "user.*")
    given = event_of(organization)
    content = {"Content-Type": "application/cloudevents+json"}
    answer = await organization.api.post("/api/v1/events", content=json.dumps(given), headers=content)
    lines = "".join(json.dumps({**given, "id": name}) + "\n" for name in ("signup-1", "signup-2"))
    ndjson = {"Content-Type": "application/x-ndjson"}
    streamed = await organization.api.post("/api/v1/events/stream", content=lines, headers=ndjson)
    results = [json.loads(line) for line in streamed.text.splitlines()]
    assert results[0]["id"] == answer.json()["id"]
    assert results[2]["summary"]["published"] == 2
    requests = await recorder.until("http", has(2), within_s=30)
    assert {request.webhook_id for request in requests} == {results[0]["id"], results[1]["id"]}
