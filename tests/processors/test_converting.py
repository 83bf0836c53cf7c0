"""A JSON CloudEvent on its topic becomes an event of ours, once, or is quarantined as it came."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from processors.converting import STAGE, Converter, converted, turn_of
from processors.intake import Taken
from producers.handover import LoopProducer
from schemas.catalogue import Catalogue, EventType
from schemas.cloudevents.attributes import CloudEvent
from schemas.cloudevents.headers import to_kafka
from schemas.cloudevents.json_format import structured
from schemas.codec import decode
from schemas.errors import InvalidInput
from schemas.ids import OrganizationId, SubscriptionId, delivery_id_of, is_time_ordered, made_at
from schemas.records import Event, Position
from schemas.topics import CLOUDEVENTS, EVENTS, QUARANTINE
from tests.flows.conftest import records_on

NOW = datetime(2026, 11, 21, 5, 0, tzinfo=UTC)
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def cloud(**more: Any) -> CloudEvent:
    given: dict[str, Any] = {
        "id": "a-1", "source": "/billing", "type": "user.created", "subject": "user_1", "time": NOW,
        "data": {"id": "user_1", "password": "hunter2"}, **more,
    }  # fmt: skip
    given["extensions"] = {"organizationid": "org_1", **given.get("extensions", {})}
    return CloudEvent(**given)


def taken(
    event: CloudEvent | bytes | None, *, binary: bool = False, offset: int = 41, at: datetime = NOW, **more: Any
) -> Taken:
    headers, value = to_kafka(event) if isinstance(event, CloudEvent) and binary else ([], None)
    if isinstance(event, CloudEvent) and not binary:
        value = structured(event)
    elif not isinstance(event, CloudEvent):
        value = event
    given: dict[str, Any] = {"key": b"k", "headers": headers, "value": value, **more}
    position = Position(topic=CLOUDEVENTS, partition=3, offset=offset)
    return Taken(position=position, timestamp_s=at.timestamp(), **given)


@pytest.mark.parametrize("binary", [True, False])
def test_either_mode_makes_the_same_event_of_ours(binary: bool) -> None:
    record = converted(taken(cloud(extensions={"traceparent": TRACE, "zone": "eu"}), binary=binary))
    event = decode(Event, record.value)
    assert (record.topic, record.key, record.value) == (EVENTS, b"user_1", converted(taken(cloud(
        extensions={"traceparent": TRACE, "zone": "eu"}))).value)  # fmt: skip
    assert (event.source_id, event.source, event.created_at, event.organization_id) == ("a-1", "/billing", NOW, "org_1")
    assert (event.data, event.metadata) == (b'{"id":"user_1"}', b'{"zone":"eu"}')
    headers = dict(record.headers)
    assert headers["ce_source"] == b"/billing"
    assert headers["ce_id"] == event.id.encode()
    assert headers["traceparent"] == TRACE.encode()
    assert headers["hookline_organization"] == b"org_1"


def test_a_record_that_is_sent_twice_is_one_delivery() -> None:
    events = [
        decode(Event, converted(taken(cloud(), offset=offset, at=at)).value)
        for offset, at in ((1, NOW), (9, NOW + timedelta(hours=30)))
    ]
    assert events[0] == events[1]
    assert made_at(events[0].id) == NOW
    ids = {delivery_id_of(event.id, SubscriptionId("sub_1"), appended_at=NOW) for event in events}
    assert len(ids) == 1


def test_one_without_a_time_is_of_the_day_and_moment_at_which_the_broker_had_it() -> None:
    first, second, third = (
        decode(Event, converted(taken(cloud(time=None), at=at)).value)
        for at in (NOW, NOW + timedelta(hours=18), NOW + timedelta(hours=20))
    )
    assert first.id == second.id != third.id
    assert (first.created_at, made_at(first.id)) == (NOW, NOW.replace(hour=0))


@pytest.mark.parametrize(
    ("subject", "extensions", "key", "expected"),
    [
        ("user_1", {"partitionkey": "account_1"}, b"k", b"account_1"),
        ("user_1", {}, b"k", b"user_1"),
        (None, {}, b"k", b"k"),
        (None, {}, None, b"user_1"),  # the field that orders events of this type
        (None, {}, b"\xff", b"user_1"),
        (None, {}, b"x" * 256, b"user_1"),
        (None, {}, b"a\x00", b"user_1"),
    ],
)
def test_the_key_is_the_partition_key_else_the_subject_else_the_records_else_what_orders_its_type(
    subject: str | None, extensions: dict[str, str], key: bytes | None, expected: bytes
) -> None:
    record = converted(taken(cloud(subject=subject, extensions=extensions), key=key))
    event = decode(Event, record.value)
    assert (record.key, event.key) == (expected, expected.decode())


def test_an_event_of_a_type_without_an_order_has_no_key_and_its_id_decides_the_partition() -> None:
    record = converted(taken(cloud(type="hookline.test", subject=None, data={}), key=None))
    event = decode(Event, record.value)
    assert (record.key, event.key) == (event.id.encode(), None)


def test_the_trace_of_the_record_goes_before_that_of_the_event() -> None:
    other = TRACE.replace("4bf9", "ffff")
    event = cloud(extensions={"traceparent": TRACE})
    record = converted(taken(event, headers=[("traceparent", other.encode())]))
    assert dict(record.headers)["traceparent"] == other.encode()


def test_organizations_take_turns_where_headers_say_whose_it_is() -> None:
    one, two = (taken(cloud(extensions={"organizationid": name}), binary=True) for name in ("org_1", "org_2"))
    assert turn_of(one) != turn_of(two)
    assert turn_of(taken(cloud())) == turn_of(taken(b"{"))


headers = st.lists(
    st.tuples(st.sampled_from(["ce_id", "ce_specversion", "ce_x", "content-type", "traceparent", "y"]), st.binary())
)


@given(st.none() | st.binary(), headers, st.none() | st.binary(), st.floats(-1e3, 1e15))
def test_whatever_comes_is_converted_or_invalid_input(
    value: bytes | None, headers: list[tuple[str, bytes]], key: bytes | None, timestamp_s: float
) -> None:
    position = Position(topic=CLOUDEVENTS, partition=0, offset=1)
    try:
        converted(Taken(position=position, key=key, value=value, headers=headers, timestamp_s=timestamp_s))
    except InvalidInput:
        return


@pytest.mark.parametrize("timestamp_s", [-0.001, 0.0, 253_402_300_799.999, 9.3e15])
def test_a_timestamp_that_is_none_ends_no_worker(timestamp_s: float) -> None:
    event = taken(cloud(time=None))
    moved = Taken(event.position, event.key, event.value, event.headers, timestamp_s)
    assert is_time_ordered(decode(Event, converted(moved).value).id, "evt")


@pytest.mark.kafka
async def test_what_does_not_hold_is_quarantined_byte_for_byte_and_the_rest_published(
    topics: str, producer: LoopProducer
) -> None:
    run = uuid4().hex
    good = cloud(subject=run, time=datetime.now(UTC))
    bad: dict[str, tuple[bytes | None, str]] = {
        "tombstone": (None, "not JSON"),
        "text": (b"hello", "not JSON"),
        "a type that nobody knows": (structured(cloud(type="no.such")), "/type"),
        "hookline's own": (structured(cloud(type="subscription.disabled")), "/type"),
        "nobody's": (structured(cloud(extensions={"organizationid": ""})), "/organizationid"),
        "data that does not fit": (structured(cloud(data={"id": 5})), "/data/id"),
        "a lone surrogate": (structured(cloud(id="surrogate")).replace(b'"surrogate"', b'"\\ud800"'), "/id"),
        "too large": (structured(cloud(type="hookline.test", data={"x": "x" * 300_000})), "bytes of JSON"),
    }
    converter = Converter(producer)
    for name, (value, _) in bad.items():
        await converter.convert(taken(value, key=f"{run}/{name}".encode(), headers=[("mine", b"kept")]))
    await converter.convert(taken(good, binary=True, at=datetime.fromtimestamp(time.time(), UTC)))

    def ours(record: Message) -> bool:
        return (record.key() or b"").startswith(run.encode())

    quarantined = await records_on(topics, QUARANTINE, ours, count=len(bad))
    assert len(quarantined) == len(bad)
    for record in quarantined:
        value, reason = bad[(record.key() or b"").decode().partition("/")[2]]
        why: dict[str, Any] = dict(record.headers() or [])
        assert record.value() == value
        assert (why["mine"], why["__connect.errors.stage"]) == (b"kept", STAGE.encode())
        assert reason in why["__connect.errors.exception.message"].decode()
        assert b"hunter2" not in why["__connect.errors.exception.message"]
    (published,) = await records_on(topics, EVENTS, ours, count=1)
    assert decode(Event, published.value()).source_id == "a-1"


def test_what_an_organization_defined_is_taken_from_the_workers_catalogue() -> None:

    known = Catalogue()
    known.put(
        EventType(
            name="order.paid", category="own", description="d", schema={"type": "record", "name": "r", "fields": []},
            example={}, open_ended=True, organization_id=OrganizationId("org_1"),
        )
    )  # fmt: skip
    own = taken(cloud(type="order.paid", data={"n": 1}))
    assert decode(Event, converted(own, catalogue=known).value).type == "order.paid"
    with pytest.raises(InvalidInput, match="unknown event type"):
        converted(own)
