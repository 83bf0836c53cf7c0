"""The way of an event: published by any Kafka client, delivered signed, retried, given up, quarantined."""

import io
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import avro.io
import avro.schema
import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka import Message, Producer
from standardwebhooks import Webhook

import schemas
from compose.stack import Stack
from producers import Publisher
from schemas.codec import decode
from schemas.headers import quarantine_headers
from schemas.ids import new_event_id
from schemas.records import Attempt, AttemptState, DeadLetter, Position
from schemas.topics import ATTEMPTS, DEAD_LETTERS, EVENTS, QUARANTINE
from tests.flows.conftest import ATTEMPTS as MOST_ATTEMPTS
from tests.flows.conftest import Organization, records_on
from tests.flows.recorder import Recorder, always, fails
from tests.machine import SLOW_MACHINE_S

pytestmark = [pytest.mark.flow, pytest.mark.kafka, pytest.mark.postgres]

# What README tells clients to write. (Python's `avro` leaves {"type": "long"} in the canonical form of a logical type,
# which the specification shortens to "long": it cannot be asked for this one.)
EVENT_HEADER = bytes.fromhex("c30105f2cd8b430a0565")
EVENT_SCHEMA = avro.schema.parse((Path(schemas.__file__).parent / "avro" / "Event.avsc").read_text())


def encoded_by_another_client(event: dict[str, Any]) -> bytes:
    """Return an event's bytes as the Apache `avro` library writes them: none of our code but the schema."""
    out = io.BytesIO()
    avro.io.DatumWriter(EVENT_SCHEMA).write(event, avro.io.BinaryEncoder(out))
    return EVENT_HEADER + out.getvalue()


def has(count: int) -> Any:
    return lambda requests: len(requests) >= count


async def test_an_event_of_another_kafka_client_arrives_signed(
    stack: Stack, organization: Organization, recorder: Recorder
) -> None:
    created = await organization.subscribe(recorder.path("here"), "user.created")
    event_id = new_event_id()
    value = encoded_by_another_client(
        {
            "id": event_id,
            "type": "user.created",
            "organization_id": organization.id,
            "created_at": datetime.now(UTC),
            "data": json.dumps({"id": "user_1", "password": "hunter2"}).encode(),
            "key": None,
            "previous": None,
            "metadata": None,
            "source_id": None,
            "source": None,
        }
    )
    async with AIOKafkaProducer(bootstrap_servers=stack.bootstrap_servers) as producer:
        await producer.send_and_wait(EVENTS, value, key=b"user_1")

    (request,) = await recorder.until("here", has(1), within_s=60)

    verified = Webhook(created["secret"]).verify(request.body, request.headers)
    assert request.webhook_id == verified["id"] == event_id
    assert list(verified) == ["id", "type", "created_at", "organization_id", "data", "previous", "metadata"]
    assert verified["data"] == {"id": "user_1"}  # the password did not leave
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("Hookline/")


async def test_only_who_wants_it_and_is_of_the_organization_gets_it(
    organization: Organization, recorder: Recorder, publisher: Publisher
) -> None:
    await organization.subscribe(recorder.path("wants"), "role.*")
    await organization.subscribe(recorder.path("wants-other"), "user.*")
    await publisher.publish(type="role.created", organization_id=organization.id, data={"id": "r"})
    await publisher.publish(type="role.created", organization_id=f"{organization.id}x", data={"id": "r"})
    await recorder.until("wants", has(1), within_s=60)
    await publisher.publish(type="role.deleted", organization_id=organization.id, data={"id": "r"})
    requests = await recorder.until("wants", has(2), within_s=60)
    assert [json.loads(request.body)["type"] for request in requests] == ["role.created", "role.deleted"]
    assert recorder.requests_to("wants-other") == []


@pytest.mark.alone
async def test_what_fails_is_tried_again_never_early_and_hardly_late(
    organization: Organization, recorder: Recorder, publisher: Publisher
) -> None:
    created = await organization.subscribe(recorder.path("flaky", fails(3)), "user.*")
    await publisher.publish(type="user.locked", organization_id=organization.id, data={"id": "u"})
    requests = await recorder.until("flaky", has(4), within_s=60)

    gaps = [later.at - earlier.at for earlier, later in pairwise(requests)]
    late = sorted(gap - wait for gap, wait in zip(gaps, (1.0, 1.0, 2.0), strict=True))
    assert late[0] >= 0, gaps
    assert late[1] <= 1, gaps  # how late it may be; one of them may be what the machine stood still for
    assert late[2] <= SLOW_MACHINE_S, gaps
    assert len({request.body for request in requests}) == 1
    assert len({request.webhook_id for request in requests}) == 1
    assert len({request.headers["webhook-timestamp"] for request in requests}) > 1
    for request in requests:
        Webhook(created["secret"]).verify(request.body, request.headers)


async def test_what_always_fails_becomes_a_dead_letter_with_its_history(
    stack: Stack, organization: Organization, recorder: Recorder, publisher: Publisher
) -> None:
    created = await organization.subscribe(recorder.path("broken", always(500)), "user.*")
    event_id = await publisher.publish(type="user.deleted", organization_id=organization.id, data={"id": "u"})
    await recorder.until("broken", has(MOST_ATTEMPTS), within_s=60)

    (letter,) = await _dead_letters_of(stack, created["id"])
    assert (letter.delivery.event_id, letter.status, letter.error_kind) == (event_id, 500, "http")
    assert [past.attempt for past in letter.delivery.history] == [1, 2, 3, 4]
    assert {past.status for past in letter.delivery.history} == {500}
    assert letter.delivery.body == recorder.requests_to("broken")[0].body

    states = [attempt.state for attempt in await _attempts_of(stack, created["id"], count=MOST_ATTEMPTS)]
    assert states == [AttemptState.RETRYING] * 3 + [AttemptState.FAILED]


async def test_gone_is_final(
    stack: Stack, organization: Organization, recorder: Recorder, publisher: Publisher
) -> None:
    created = await organization.subscribe(recorder.path("gone", always(410)), "user.*")
    await publisher.publish(type="user.created", organization_id=organization.id, data={"id": "u"})
    await recorder.until("gone", has(1), within_s=60)
    assert [letter.status for letter in await _dead_letters_of(stack, created["id"])] == [410]
    assert len(recorder.requests_to("gone")) == 1


@pytest.mark.alone
async def test_changes_are_in_force_within_two_seconds(
    organization: Organization, recorder: Recorder, publisher: Publisher
) -> None:
    took: list[float] = []

    async def in_force() -> None:
        began = time.monotonic()
        await organization.in_force()
        took.append(time.monotonic() - began)

    created = await organization.post(
        "/subscriptions", {"url": recorder.path("old"), "event_types": ["user.*"]}, status=201
    )
    await in_force()
    await publisher.publish(type="user.created", organization_id=organization.id, data={"id": "1"})
    await recorder.until("old", has(1), within_s=60)

    path = f"/api/v1/subscriptions/{created['id']}"
    answer = await organization.api.patch(path, json={"url": recorder.path("new")})
    assert answer.status_code == 200, answer.text
    await in_force()
    await publisher.publish(type="user.created", organization_id=organization.id, data={"id": "2"})
    await recorder.until("new", has(1), within_s=60)

    await organization.subscribe(recorder.path("witness"), "user.*")
    assert (await organization.api.delete(path)).status_code == 204
    await in_force()
    await publisher.publish(type="user.created", organization_id=organization.id, data={"id": "3"})
    await recorder.until("witness", has(1), within_s=60)
    assert (len(recorder.requests_to("old")), len(recorder.requests_to("new"))) == (1, 1)
    # What is promised from the API's answer to every worker; one of them may be what the machine stood still for.
    assert sorted(took)[1] < 2, took


async def test_a_disabled_subscription_gets_nothing_and_its_events_are_held(
    stack: Stack, organization: Organization, recorder: Recorder, publisher: Publisher
) -> None:
    created = await organization.subscribe(recorder.path("off"), "user.*", enabled=False)
    await organization.subscribe(recorder.path("on"), "user.*")
    event_id = await publisher.publish(type="user.created", organization_id=organization.id, data={"id": "1"})
    await recorder.until("on", has(1), within_s=60)
    attempts = await _attempts_of(stack, created["id"], count=1)
    assert [(attempt.state, attempt.event_id) for attempt in attempts] == [(AttemptState.HELD, event_id)]
    assert attempts[0].event_position.topic == EVENTS
    assert recorder.requests_to("off") == []


async def test_what_nobody_can_read_is_quarantined_untouched_and_stops_nothing(
    stack: Stack, organization: Organization, recorder: Recorder, publisher: Publisher
) -> None:
    await organization.subscribe(recorder.path("good"), "user.*")
    marks = [f"poison-{organization.id}-{number}".encode() for number in range(50)]
    raw = Producer({"bootstrap.servers": stack.bootstrap_servers})
    for mark in marks:
        raw.produce(EVENTS, key=mark, value=mark, headers=[("mine", b"kept")])
        publisher.publish(type="user.created", organization_id=organization.id, data={"id": mark.decode()})
    assert raw.flush(30) == 0
    await recorder.until("good", has(50), within_s=60)

    found = await records_on(
        stack.bootstrap_servers, QUARANTINE, lambda record: record.key() in marks, count=len(marks)
    )
    assert {message.key(): message.value() for message in found} == {mark: mark for mark in marks}
    names = {
        name
        for name, _ in quarantine_headers(Position(topic=EVENTS, partition=0, offset=0), error=ValueError(), stage="")
    }
    for message in found:
        headers = dict(message.headers() or [])
        assert headers["mine"] == b"kept"
        assert names <= set(headers)


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
async def test_every_compression_codec_is_read(
    codec: str, stack: Stack, organization: Organization, recorder: Recorder
) -> None:
    await organization.subscribe(recorder.path("here"), "user.*")
    raw = Producer({"bootstrap.servers": stack.bootstrap_servers, "compression.type": codec, "linger.ms": 50})
    sent = set()
    for _ in range(20):  # one batch, large enough that a codec pays: a client sends it plain otherwise
        event_id = new_event_id()
        sent.add(event_id)
        value = encoded_by_another_client(
            {
                "id": event_id,
                "type": "user.created",
                "organization_id": organization.id,
                "created_at": datetime.now(UTC),
                "data": json.dumps({"id": "x" * 2000}).encode(),
            }
            | dict.fromkeys(("key", "previous", "metadata", "source_id", "source"))
        )
        raw.produce(EVENTS, key=b"one-partition", value=value)
    assert raw.flush(30) == 0
    requests = await recorder.until("here", has(20), within_s=60)
    assert {request.webhook_id for request in requests} == sent


async def _dead_letters_of(stack: Stack, subscription_id: str) -> list[DeadLetter]:
    records = await records_on(stack.bootstrap_servers, DEAD_LETTERS, _keyed(subscription_id), count=1)
    return [decode(DeadLetter, record.value()) for record in records]


async def _attempts_of(stack: Stack, subscription_id: str, *, count: int) -> list[Attempt]:
    records = await records_on(stack.bootstrap_servers, ATTEMPTS, _keyed(subscription_id), count=count)
    return [decode(Attempt, record.value()) for record in records]


def _keyed(subscription_id: str) -> Callable[[Message], bool]:
    return lambda record: record.key() == subscription_id.encode()
