"""From an event to what is owed."""

import json
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from processors.event_types import EventChecks
from processors.index import SubscriptionIndex
from processors.intake import Taken
from processors.quarantining import LEFT_OUT, MOST_BYTES
from processors.routing import STAGE, Router, checked_event, deliveries_of, organization_of
from producers.handover import LoopProducer
from schemas.codec import UnreadableRecord, decode, encode
from schemas.envelope import body_of
from schemas.errors import InvalidInput
from schemas.headers import event_headers
from schemas.ids import EventId, OrganizationId, delivery_id_of, is_time_ordered, made_at
from schemas.records import NEVER_SHAPED, Attempt, AttemptState, Delivery, Event, Position, Subscription
from schemas.topics import ATTEMPTS, DELIVER, EVENTS, QUARANTINE
from tests.flows.conftest import records_on
from tests.processors import made
from tests.processors.test_event_types import Topic

AT = Position(topic=EVENTS, partition=3, offset=41)
NOW = datetime(2026, 11, 21, 5, 0, tzinfo=UTC)
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def routed(event: Event, *subscriptions: Subscription) -> tuple[tuple[Delivery, ...], tuple[Attempt, ...]]:
    owed = deliveries_of(event, subscriptions, position=AT, schedule_version="s1", now=NOW, traceparent=TRACE)
    return owed.deliveries, owed.held


def taken(
    value: bytes | None,
    *,
    key: bytes = b"k",
    headers: list[tuple[str, bytes]] | None = None,
    appended_at: float | None = None,
) -> Taken:
    timestamp_s = time.time() if appended_at is None else appended_at
    return Taken(position=AT, key=key, value=value, headers=headers or [], timestamp_s=timestamp_s)


def event_of(moment: datetime) -> Event:
    """Return an event whose id was made by a clock that showed this moment."""
    time_ms = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    fresh = made.event()
    return replace(fresh, id=EventId(f"evt_{time_ms:012x}{fresh.id[-20:]}"))


def test_an_events_turn_is_its_organizations_by_header_or_by_value() -> None:
    event = made.event(organization=OrganizationId("org_7"))
    ours = taken(b"not decoded", headers=event_headers(event, source="/"))
    assert organization_of(ours) == organization_of(taken(encode(event))) == b"org_7"
    assert organization_of(taken(b"unreadable")) == organization_of(taken(None)) == b""


def test_each_subscription_is_owed_one_delivery_of_the_same_bytes() -> None:
    event = made.event(data=b'{"id":"u1","password":"x"}')
    first, second = made.subscription(version=7), made.subscription()
    deliveries, held = routed(event, first, second)
    assert [each.subscription_id for each in deliveries] == [first.id, second.id]
    assert [each.id for each in deliveries] == [delivery_id_of(event.id, each.id) for each in (first, second)]
    assert len({each.body for each in deliveries}) == 1
    assert json.loads(deliveries[0].body)["data"] == {"id": "u1"}
    one = deliveries[0]
    assert (one.subscription_version, one.attempt, one.round, one.due_at) == (7, 1, "0", NOW)
    assert (one.event_position, one.sequence, one.key, one.schedule_version) == (AT, 41, "u1", "s1")
    assert one.traceparent == TRACE
    assert held == ()


def test_a_disabled_subscription_is_owed_a_held_outcome_without_a_body() -> None:
    event = made.event()
    off = made.subscription(enabled=False, disabled_reason="gone")
    deliveries, (held,) = routed(event, off)
    assert deliveries == ()
    assert (held.state, held.error_kind, held.error) == (AttemptState.HELD, "disabled", "gone")
    assert (held.delivery_id, held.event_position, held.source) == (delivery_id_of(event.id, off.id), AT, None)
    assert (held.response_body, held.body_bytes) == (None, 0)


def test_an_event_that_nobody_wants_owes_nothing() -> None:
    assert routed(made.event(data=b"not even JSON")) == ((), ())


@pytest.mark.parametrize("name", ["failing", "disabled", "recovered", "something_later"])
def test_what_is_said_of_a_subscription_is_never_owed_to_itself(name: str) -> None:
    it, off, other = made.subscription(), made.subscription(enabled=False), made.subscription()
    for subject in (it, off):
        told = made.event(event_type=f"subscription.{name}", data=json.dumps({"subscription_id": subject.id}).encode())
        deliveries, held = routed(told, it, off, other)
        owed = {each.subscription_id for each in deliveries} | {each.subscription_id for each in held}
        assert owed == {it.id, off.id, other.id} - {subject.id}
        assert routed(told, subject) == ((), ())  # and so there is no loop


def test_another_type_may_name_any_subscription() -> None:
    it = made.subscription()
    deliveries, _ = routed(
        made.event(event_type="user.created", data=json.dumps({"subscription_id": it.id}).encode()), it
    )
    assert [each.subscription_id for each in deliveries] == [it.id]


@pytest.mark.parametrize("data", [b'{"subscription_id":1}', b'{"subscription_id":["x"]}', b"{}"])
def test_what_names_no_subscription_goes_to_all(data: bytes) -> None:
    it = made.subscription()
    assert len(routed(made.event(event_type="subscription.failing", data=data), it)[0]) == 1


@given(st.integers(0, 3), st.integers(0, 3))
def test_routing_twice_owes_the_same(enabled: int, disabled: int) -> None:
    event = made.event()
    wanting = [made.subscription() for _ in range(enabled)] + [
        made.subscription(enabled=False) for _ in range(disabled)
    ]
    first, again = routed(event, *wanting), routed(event, *wanting)
    assert first[0] == again[0]
    assert [each.delivery_id for each in first[1]] == [each.delivery_id for each in again[1]]
    assert (len(first[0]), len(first[1])) == (enabled, disabled)


@pytest.mark.parametrize("data", [b"", b"nul", b"[1]", b'"x"', b"\xff", b'{"a":'])
def test_data_that_is_no_json_object_is_nobodys_body(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        routed(made.event(data=data), made.subscription())
    with pytest.raises(InvalidInput):
        routed(made.event(event_type="subscription.failing", data=data), made.subscription())


@pytest.mark.parametrize(
    ("odd", "pointer"),
    [
        (replace(made.event(), id=EventId("evt_1")), "/id"),
        (replace(made.event(), id=EventId("sub_01a1fc38d17377ac82c8362c2492791a")), "/id"),
        (replace(made.event(), id=EventId("evt_01A1FC38D17377AC82C8362C2492791A")), "/id"),
        (made.event(organization=OrganizationId("")), "/organization_id"),
        (made.event(organization=OrganizationId("a b")), "/organization_id"),
    ],
)
def test_another_clients_ids_are_checked(odd: Event, pointer: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        checked_event(encode(odd))
    assert caught.value.pointer == pointer


@pytest.mark.kafka
async def test_what_is_owed_is_on_kafka_when_routing_returns(bootstrap: str, producer: LoopProducer) -> None:
    index = SubscriptionIndex()
    wants, off, other = made.subscription(), made.subscription(enabled=False), made.subscription(wants=("role.*",))
    foreign = made.subscription(organization=OrganizationId("org_2"))
    for each in (wants, off, other, foreign):
        index.put(each)
    event = made.event()
    await Router(index, producer, schedule_version="s1", failures=made.Noted()).route(
        taken(encode(event), headers=[("x", b"y"), ("traceparent", TRACE.encode())])
    )
    keys = {each.id.encode() for each in (wants, off, other, foreign)}

    def ours(record: Message) -> bool:
        return record.key() in keys

    (delivered,) = await records_on(bootstrap, DELIVER, ours, count=1)
    delivery = decode(Delivery, delivered.value())
    assert (delivery.subscription_id, delivery.event_id, delivery.traceparent) == (wants.id, event.id, TRACE)
    assert dict(delivered.headers() or [])["hookline_attempt"] == b"1"
    (held,) = await records_on(bootstrap, ATTEMPTS, ours, count=1)
    assert decode(Attempt, held.value()).subscription_id == off.id


LAST = datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)
CLOCKS = {
    "right": (NOW - timedelta(seconds=1), NOW, NOW - timedelta(seconds=1)),
    "waited in an outbox for 6 days": (NOW - timedelta(days=6), NOW, NOW - timedelta(days=6)),
    "waited for 8 days": (NOW - timedelta(days=8), NOW, NOW),
    "of 1970": (datetime(1970, 1, 1, tzinfo=UTC), NOW, NOW),
    "of 2999": (datetime(2999, 12, 31, tzinfo=UTC), NOW, NOW),
    "the last that an id can have": (LAST, NOW, NOW),
}


@pytest.mark.kafka
@pytest.mark.parametrize(("made_then", "appended", "filed"), CLOCKS.values(), ids=CLOCKS)
async def test_whatever_a_publishers_clock_says_its_event_is_delivered_and_filed_near_its_append(
    *, made_then: datetime, appended: datetime, filed: datetime, bootstrap: str, producer: LoopProducer
) -> None:
    index, wants, off = SubscriptionIndex(), made.subscription(), made.subscription(enabled=False)
    index.put(wants)
    index.put(off)
    event = event_of(made_then)
    router = Router(index, producer, schedule_version="s1", failures=made.Noted())
    await router.route(taken(encode(event), appended_at=appended.timestamp()))
    (record,) = await records_on(bootstrap, DELIVER, lambda record: record.key() == wants.id.encode(), count=1)
    delivery = decode(Delivery, record.value())
    assert (delivery.event_id, made_at(delivery.id)) == (event.id, filed)
    (held,) = await records_on(bootstrap, ATTEMPTS, lambda record: record.key() == off.id.encode(), count=1)
    assert made_at(decode(Attempt, held.value()).delivery_id) == filed


@pytest.mark.kafka
@pytest.mark.parametrize("made_then", [NOW, datetime(1970, 1, 1, tzinfo=UTC), LAST])
@pytest.mark.parametrize("timestamp_s", [-0.001, 0.0, 253_402_300_799.999, 1_831_000_000_000.0, 9.3e15])
async def test_a_timestamp_that_is_none_ends_no_worker(
    timestamp_s: float, made_then: datetime, bootstrap: str, producer: LoopProducer
) -> None:
    """A topic that the broker does not stamp has what clients wrote: -1 ms for nothing, the year 60000."""
    index, wants = SubscriptionIndex(), made.subscription()
    index.put(wants)
    await Router(index, producer, schedule_version="s1", failures=made.Noted()).route(
        taken(encode(event_of(made_then)), appended_at=timestamp_s)
    )
    (record,) = await records_on(bootstrap, DELIVER, lambda record: record.key() == wants.id.encode(), count=1)
    assert is_time_ordered(decode(Delivery, record.value()).id, "dlv")


@pytest.mark.kafka
@pytest.mark.parametrize("trace", [b"", b"\r\nX-Evil: 1", b"\xff" * 55, TRACE.upper().encode()])
async def test_another_clients_odd_traceparent_goes_no_further(
    trace: bytes, bootstrap: str, producer: LoopProducer
) -> None:
    index, wants = SubscriptionIndex(), made.subscription()
    index.put(wants)
    event = taken(encode(made.event()), headers=[("traceparent", trace)])
    await Router(index, producer, schedule_version="s1", failures=made.Noted()).route(event)
    (record,) = await records_on(bootstrap, DELIVER, lambda record: record.key() == wants.id.encode(), count=1)
    assert decode(Delivery, record.value()).traceparent is None


@pytest.mark.kafka
async def test_what_nobody_can_read_is_quarantined_byte_for_byte(bootstrap: str, producer: LoopProducer) -> None:
    index = SubscriptionIndex()
    index.put(made.subscription())
    bad = {
        b"tombstone": None,
        b"text": b"hello",
        b"short": encode(made.event())[:-3],
        b"other-schema": encode(made.delivery()),
        b"bad-id": encode(replace(made.event(), id=EventId("evt_1"))),
        b"bad-data": encode(made.event(data=b"[]")),
    }
    keys = {name + b"-" + made.event().id.encode(): value for name, value in bad.items()}
    router = Router(index, producer, schedule_version="s1", failures=made.Noted())
    for key, value in keys.items():
        await router.route(taken(value, key=key, headers=[("mine", b"kept")]))
    found = await records_on(bootstrap, QUARANTINE, lambda record: record.key() in keys, count=len(keys))
    assert {record.key(): record.value() for record in found} == keys
    for record in found:
        headers = dict(record.headers() or [])
        assert headers["mine"] == b"kept"
        assert headers["__connect.errors.stage"] == STAGE.encode()
        assert headers["__connect.errors.offset"] == b"41"
        assert headers["__connect.errors.exception.message"]


@pytest.mark.kafka
async def test_what_breaks_its_types_schema_is_quarantined_and_what_fits_is_delivered(
    bootstrap: str, producer: LoopProducer
) -> None:
    index, wants, topic = SubscriptionIndex(), made.subscription(wants=("*",)), Topic()
    index.put(wants)
    checks = EventChecks(topic.catalogue, topic.caught_up_at_once)
    router = Router(index, producer, schedule_version="s1", failures=made.Noted(), checks=checks)
    fits, breaks = made.event(), made.event(data=b'{"id": "u1", "no such field": 1}')
    unknown = replace(made.event(), type="nobody.defined")
    for event in (fits, breaks, unknown):
        await router.route(taken(encode(event), key=event.id.encode()))
    wrong = [event.id.encode() for event in (breaks, unknown)]
    found = await records_on(bootstrap, QUARANTINE, lambda record: record.key() in wrong, count=2)
    said = {record.key(): str(dict(record.headers() or [])["__connect.errors.exception.message"]) for record in found}
    assert "/data/no such field" in said[wrong[0]]
    assert "unknown event type" in said[wrong[1]]
    (record,) = await records_on(bootstrap, DELIVER, lambda record: record.key() == wants.id.encode(), count=1)
    assert decode(Delivery, record.value()).event_id == fits.id


LARGE = {
    "grows": encode(made.event(data=b'{"a":[' + b",".join([b"9e15"] * 200_000) + b"]}")),  # to 18 digits each
    "too large for its topic": encode(made.event(data=b'{"a":"' + b"x" * (2 << 20) + b'"}')),
    "a long key": encode(replace(made.event(), key="k" * (1 << 21))),
    "a long key, which is in a header too": encode(replace(made.event(), key="k" * ((1 << 20) - 500), data=b"{}")),
    "a long name, which its error quotes": encode(made.event(data=b'{"' + b"~" * (1 << 20) + b'":1}')),
    "unreadable": b"x" * (2 << 20),
}


@pytest.mark.kafka
@pytest.mark.parametrize("value", LARGE.values(), ids=LARGE)
async def test_what_is_too_large_for_a_topic_is_quarantined_and_ends_no_worker(
    value: bytes, bootstrap: str, producer: LoopProducer
) -> None:
    index, wants, topic = SubscriptionIndex(), made.subscription(), Topic()
    index.put(wants)
    offset = int(wants.id[-12:], 16)  # this record's own
    at = replace(AT, offset=offset)
    checks = EventChecks(topic.catalogue, topic.caught_up_at_once) if b"~" in value else None  # else it is not asked
    await Router(index, producer, schedule_version="s1", failures=made.Noted(), checks=checks).route(
        replace(taken(value), position=at)
    )

    def ours(record: Message) -> bool:
        return ("__connect.errors.offset", str(offset).encode()) in (record.headers() or [])

    (record,) = await records_on(bootstrap, QUARANTINE, ours, count=1)
    headers = dict(record.headers() or [])
    if len(value) > MOST_BYTES:
        assert (record.value(), headers[LEFT_OUT]) == (None, str(len(value) + 1).encode())
    else:
        assert record.value() == value


@given(st.binary(max_size=200) | st.builds(lambda data: encode(made.event(data=data)), st.binary(max_size=200)))
def test_any_bytes_are_an_event_or_are_refused_in_our_own_words(value: bytes) -> None:
    with suppress(UnreadableRecord, InvalidInput):  # any other error would end every worker that reads it
        routed(checked_event(value), made.subscription())


@pytest.mark.parametrize("depth", [100, 253, 254, 255, 300, 1000, 1024, 1025, 100_000])
def test_nesting_of_any_depth_is_a_body_or_is_refused(depth: int) -> None:
    with suppress(InvalidInput):
        routed(made.event(data=b'{"a":' + b"[" * depth + b"]" * depth + b"}"), made.subscription())


def test_each_subscription_is_owed_its_own_shape_and_says_which_version_it_was() -> None:
    event = made.event(data=b'{"id":"u1","email":"a@example.com"}')
    thin = replace(made.subscription(), payload='{"shape":"thin"}', transformation_version=3)
    masked = replace(made.subscription(), payload='{"mask":["personal"]}', transformation_version=1)
    off = replace(made.subscription(enabled=False), payload='{"shape":"thin"}', transformation_version=3)
    deliveries, (held,) = routed(event, thin, masked, made.subscription(), off)
    assert [each.transformation_version for each in deliveries] == [3, 1, 0]
    assert json.loads(deliveries[0].body)["link"] == f"/api/v1/events/{event.id}"
    assert json.loads(deliveries[1].body)["data"] == {"id": "u1", "email": "***"}
    assert deliveries[2].body == body_of(event)
    assert held.transformation_version == NEVER_SHAPED  # nothing was made, so nothing is to be made again


@pytest.mark.parametrize("payload", ['{"shape":"thin"}', '{"include":["data.id"]}', None])
def test_what_no_body_can_be_made_of_is_nobodys_whatever_the_shape(payload: str | None) -> None:
    with pytest.raises(InvalidInput):
        routed(made.event(data=b"[]"), replace(made.subscription(), payload=payload))


@pytest.mark.parametrize("payload", ['{"shape":"of a newer release"}', '{"later":1}', "no JSON"])
def test_a_payload_of_a_newer_release_holds_its_own_deliveries_and_no_others(payload: str) -> None:
    newer, off = (replace(made.subscription(enabled=on), payload=payload) for on in (True, False))
    other = made.subscription()
    deliveries, held = routed(made.event(), newer, other, off)
    assert [each.subscription_id for each in deliveries] == [other.id]
    told = [(each.subscription_id, each.state, each.error_kind) for each in held]
    assert told == [(newer.id, AttemptState.HELD, "unsendable"), (off.id, AttemptState.HELD, "disabled")]
    assert "replay" in str(held[0].error)
