"""Ids: what they look like, and what can be read from them."""

import hashlib
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.ids import (
    FILED_AFTER,
    FILED_BEFORE,
    EventId,
    SubscriptionId,
    append_time_of,
    delivery_id_of,
    event_id_of,
    filed_at,
    is_organization_id,
    is_time_ordered,
    made_at,
    new_attempt_id,
    new_event_id,
    new_replay_id,
    new_subscription_id,
    quarantine_id_of,
)
from schemas.records import FIRST_ROUND
from tests.schemas.drawn import moments

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 21, 12, 0, 0, 123_000, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
LAST_MS = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()) * 1000 + 999


@st.composite
def event_ids(draw: st.DrawFn) -> EventId:
    """Return any event id whose time a datetime can hold."""
    time_ms, random = draw(st.integers(0, LAST_MS)), draw(st.integers(0, (1 << 74) - 1))
    value = time_ms << 80 | 7 << 76 | (random >> 62) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    return EventId(f"evt_{value:032x}")


subscription_ids = st.uuids(version=4).map(lambda found: SubscriptionId(f"sub_{found.hex}"))


@pytest.mark.parametrize(
    ("new_id", "prefix"),
    [(new_event_id, "evt"), (new_attempt_id, "att"), (new_subscription_id, "sub"), (new_replay_id, "rpl")],
)
def test_a_new_id_is_a_uuid7_of_now(new_id: Callable[[], str], prefix: str) -> None:
    made = new_id()
    assert is_time_ordered(made, prefix)
    assert uuid.UUID(made.removeprefix(f"{prefix}_")).version == 7
    assert abs(datetime.now(UTC) - made_at(made)) < timedelta(seconds=1)


def test_new_ids_rise() -> None:
    made = [new_event_id() for _ in range(10_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_a_later_replay_is_a_greater_round_and_the_first_sending_is_before_all() -> None:
    rounds = [FIRST_ROUND, *(new_replay_id() for _ in range(1000))]
    assert rounds == sorted(rounds, key=str.encode)


@given(event_ids(), subscription_ids)
def test_a_delivery_id_is_a_uuid7_of_the_events_time(event_id: EventId, subscription_id: SubscriptionId) -> None:
    derived = delivery_id_of(event_id, subscription_id)
    assert is_time_ordered(derived, "dlv")
    found = uuid.UUID(derived.removeprefix("dlv_"))
    assert (found.version, found.variant) == (7, uuid.RFC_4122)
    assert made_at(derived) == made_at(event_id)


@given(event_ids(), subscription_ids, subscription_ids)
def test_a_delivery_id_is_the_same_for_the_same_two_only(
    event_id: EventId, one: SubscriptionId, other: SubscriptionId
) -> None:
    assert delivery_id_of(event_id, one) == delivery_id_of(event_id, one)
    assert (delivery_id_of(event_id, one) == delivery_id_of(event_id, other)) == (one == other)


def test_a_delivery_id_never_changes_between_releases() -> None:
    """Its 74 free bits are the start of SHA-256 over both ids: computed here another way."""
    event_id, subscription_id = EventId("evt_019aa5e1c8007000800000000000002a"), SubscriptionId("sub_1")
    bits = f"{int(hashlib.sha256(b'evt_019aa5e1c8007000800000000000002a/sub_1').hexdigest(), 16):0256b}"
    expected = f"{0x019AA5E1C800:048b}" + "0111" + bits[:12] + "10" + bits[12:74]
    assert delivery_id_of(event_id, subscription_id) == f"dlv_{int(expected, 2):032x}"


@given(st.integers(0, LAST_MS))
def test_the_time_is_read_to_the_millisecond(time_ms: int) -> None:
    expected = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)
    assert made_at(f"evt_{time_ms:012x}70008000000000000000") == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "evt_",
        "evt_019aa5e1c800700080000000000000",
        "evt_019aa5e1c8007000800000000000002a0",
        "evt_019AA5E1C8007000800000000000002A",  # lower case only: one id has one spelling
        "evt_019aa5e1-c800-7000-8000-00000000002a",
        "evt_019aa5e1c8004000800000000000002a",  # version 4
        "evt_019aa5e1c8007000c00000000000002a",  # another variant
        "evt_019aa5e1c8007000800000000000002a\n",
        "dlv_019aa5e1c8007000800000000000002a",
        "019aa5e1c8007000800000000000002a",
        "evt_evt_019aa5e1c8007000800000000000002a",
        "evt_e677d21fdc007000800000000000002a",  # the year 10000, which no datetime holds
        "evt_ffffffffffff7000800000000000002a",
    ],
)
def test_is_no_event_id(text: str) -> None:
    assert not is_time_ordered(text, "evt")


@given(event_ids())
@example(EventId(f"evt_{LAST_MS:012x}7000800000000000002a"))
def test_every_event_id_is_one_and_has_a_time(event_id: EventId) -> None:
    assert is_time_ordered(event_id, "evt")
    made_at(event_id)


def event_of(moment: datetime) -> EventId:
    return EventId(f"evt_{(moment - EPOCH) // MILLISECOND:012x}7000800000000000002a")


@pytest.mark.parametrize(
    ("made", "filed"),
    [
        (NOW, NOW),
        (NOW - timedelta(days=6), NOW - timedelta(days=6)),  # it waited in an outbox
        (NOW - FILED_BEFORE, NOW - FILED_BEFORE),
        (NOW - FILED_BEFORE - MILLISECOND, NOW),
        (NOW + FILED_AFTER, NOW + FILED_AFTER),
        (NOW + FILED_AFTER + MILLISECOND, NOW),
        (EPOCH, NOW),
        (datetime(2999, 1, 1, tzinfo=UTC), NOW),
        (datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC), NOW),
    ],
)
def test_an_event_is_filed_under_its_own_time_unless_the_clock_was_wrong(made: datetime, filed: datetime) -> None:
    assert filed_at(event_of(made), NOW) == filed


@given(event_ids(), st.integers(-(1 << 63), (1 << 63) - 1))
@example(EventId(f"evt_{LAST_MS:012x}7000800000000000002a"), LAST_MS)
@example(EventId("evt_00000000000070008000000000000000"), 0)
def test_whatever_the_clocks_said_there_is_a_time_near_the_append(event_id: EventId, timestamp_ms: int) -> None:
    appended = append_time_of(timestamp_ms)
    filed = filed_at(event_id, appended)
    assert filed in {appended, made_at(event_id)}
    assert -FILED_BEFORE <= filed - appended <= FILED_AFTER


@given(event_ids(), subscription_ids, st.integers(0, LAST_MS))
def test_a_delivery_falls_on_the_day_under_which_its_event_is_filed(
    event_id: EventId, subscription_id: SubscriptionId, timestamp_ms: int
) -> None:
    appended = append_time_of(timestamp_ms)
    derived = delivery_id_of(event_id, subscription_id, appended_at=appended)
    assert is_time_ordered(derived, "dlv")
    assert made_at(derived) == filed_at(event_id, appended)
    assert derived[-20:] == delivery_id_of(event_id, subscription_id)[-20:]  # the hash is of the ids alone


@pytest.mark.parametrize(
    ("timestamp_ms", "appended"),
    [
        (-1, EPOCH),  # Kafka's "none"
        (0, EPOCH),
        (1_795_262_400_123, NOW),
        (LAST_MS, EPOCH + LAST_MS * MILLISECOND),
        (LAST_MS + 1, EPOCH + LAST_MS * MILLISECOND),
        (1_831_000_000_000_000, EPOCH + LAST_MS * MILLISECOND),  # the year 60000
    ],
)
def test_a_timestamp_that_no_datetime_holds_becomes_the_nearest_that_one_does(
    timestamp_ms: int, appended: datetime
) -> None:
    assert append_time_of(timestamp_ms) == appended


@given(moments)
def test_a_quarantine_id_is_a_uuid7_of_the_time_it_was_written(moment: datetime) -> None:
    derived = quarantine_id_of("hookline.quarantine", 3, 41, moment)
    assert is_time_ordered(derived, "qtn")
    assert timedelta(0) <= max(moment, EPOCH) - made_at(derived) < MILLISECOND
    assert derived == quarantine_id_of("hookline.quarantine", 3, 41, moment)


def test_two_places_in_the_log_have_two_quarantine_ids() -> None:
    places = [(topic, partition, offset) for topic in ("a", "b") for partition in (1, 11) for offset in (1, 11, 111)]
    assert len({quarantine_id_of(*place, NOW) for place in places}) == len(places)


@pytest.mark.parametrize("text", ["org_789", "1", "a" * 100, "A.b-c:d_e", "acme.example"])
def test_names_an_organization(text: str) -> None:
    assert is_organization_id(text)


@pytest.mark.parametrize("text", ["", "a" * 101, "_a", ".", "-a", "a b", "a\n", "a/b", "ü", "a\x00", "a|b", "a,b"])
def test_names_no_organization(text: str) -> None:
    assert not is_organization_id(text)


def test_an_event_that_is_read_twice_has_one_id() -> None:
    said = NOW - timedelta(hours=1)
    found = event_id_of("org_1", "/billing", "a-1", said_at=said, appended_at=NOW)
    assert is_time_ordered(found, "evt")
    assert made_at(found) == said
    assert event_id_of("org_1", "/billing", "a-1", said_at=said, appended_at=NOW + timedelta(hours=9)) == found
    others = [("org_2", "/billing", "a-1"), ("org_1", "/other", "a-1"), ("org_1", "/billing", "a-2")]
    assert len({found, *(event_id_of(*other, said_at=said, appended_at=NOW) for other in others)}) == 4


@pytest.mark.parametrize("said_at", [None, NOW - timedelta(days=4), NOW + timedelta(days=3)])
def test_an_event_without_a_usable_time_has_one_id_a_day(said_at: datetime | None) -> None:
    midnight = datetime(2026, 11, 21, tzinfo=UTC)
    found, last, next_day = (
        event_id_of("org_1", "/billing", "a-1", said_at=said_at, appended_at=at)
        for at in (NOW, midnight + timedelta(days=1) - MILLISECOND, midnight + timedelta(days=1))
    )
    assert made_at(found) == midnight
    assert last == found
    assert next_day != found


@given(moments.filter(lambda at: datetime(1970, 2, 1, tzinfo=UTC) < at < datetime(9999, 1, 1, tzinfo=UTC)))
def test_a_worker_that_was_away_for_days_files_it_under_the_same_delivery(appended_at: datetime) -> None:
    event_id = event_id_of("org_1", "/", "1", said_at=appended_at - timedelta(days=3), appended_at=appended_at)
    read = (appended_at, appended_at + timedelta(days=3, hours=23))
    assert len({delivery_id_of(event_id, SubscriptionId("sub_1"), appended_at=at) for at in read}) == 1
