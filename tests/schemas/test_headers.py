"""What stands in Kafka headers."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import UnreadableRecord
from schemas.headers import (
    FINISHED,
    delivery_headers,
    event_headers,
    finished_header,
    is_traceparent,
    microseconds_of,
    quarantine_headers,
    read_finished,
    read_writer,
    writer_header,
)
from schemas.records import Delivery, Event, Position
from tests.schemas.drawn import moments, plain

EVENT: Event = replace(plain(Event), type="user.created", key=None, source=None)
DELIVERY: Delivery = replace(plain(Delivery), attempt=2, schedule_version="abc", traceparent=None)
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"  # W3C Trace Context's own example


def test_an_event_carries_cloudevents_attributes() -> None:
    """Kafka protocol binding 1.0.2, 3.2.4."""
    assert event_headers(EVENT, source="/billing") == [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"x"),
        ("ce_type", b"user.created"),
        ("ce_source", b"/billing"),
        ("ce_time", b"2026-11-21T00:00:00+00:00"),
        ("hookline_organization", b"x"),
    ]


def test_an_event_that_has_a_source_of_its_own_says_that() -> None:
    assert ("ce_source", b"/orders") in event_headers(replace(EVENT, source="/orders"), source="/billing")


def test_an_events_key_is_its_subject_and_its_trace_goes_along() -> None:
    headers = event_headers(replace(EVENT, key="ü1"), source="/", traceparent=TRACEPARENT)
    assert headers[-2:] == [("ce_subject", "ü1".encode()), ("traceparent", TRACEPARENT.encode())]


def test_a_delivery_says_when_it_is_due() -> None:
    expected = [
        ("hookline_due_at", b"1795219200000000"),
        ("hookline_attempt", b"2"),
        ("hookline_schedule_version", b"abc"),
    ]
    plainest = replace(DELIVERY, key=None, is_test=False)
    assert delivery_headers(plainest) == expected
    more = delivery_headers(replace(plainest, key="k", is_test=True, traceparent=TRACEPARENT))
    assert more == [
        *expected,
        ("hookline_key", b"k"),  # what a lane asks for without decoding the value
        ("hookline_test", b"1"),
        ("traceparent", TRACEPARENT.encode()),
    ]


def test_a_quarantined_record_says_why_as_kafka_connect_does() -> None:
    source = Position(topic="hookline.events", partition=3, offset=42)
    assert quarantine_headers(source, error=UnreadableRecord("not a whole Event"), stage="route") == [
        ("__connect.errors.topic", b"hookline.events"),
        ("__connect.errors.partition", b"3"),
        ("__connect.errors.offset", b"42"),
        ("__connect.errors.stage", b"route"),
        ("__connect.errors.exception.class.name", b"UnreadableRecord"),
        ("__connect.errors.exception.message", b"not a whole Event"),
    ]


def test_an_error_whose_text_is_no_utf8_is_still_told() -> None:
    headers = quarantine_headers(Position(topic="t", partition=0, offset=0), error=ValueError("\ud800"), stage="s")
    assert headers[-1][1] == rb"\ud800"


@given(moments)
def test_microseconds_are_exact_in_every_year(moment: datetime) -> None:
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds_of(moment)) == moment


@given(st.from_regex(r"[a-zA-Z0-9._-]{1,50}", fullmatch=True), st.integers(0), st.integers(0), st.text())
def test_what_was_finished_is_read_back(topic: str, partition: int, offset: int, done: str) -> None:
    done = done.encode(errors="replace").decode()
    name, value = finished_header(Position(topic=topic, partition=partition, offset=offset), done)
    assert name == FINISHED
    assert read_finished(value) == (topic, partition, offset, done)


@given(st.binary())
def test_another_value_raises_a_value_error_and_nothing_else(value: bytes) -> None:
    try:
        found = read_finished(value)
    except ValueError:
        return
    assert len(found) == 4


@pytest.mark.parametrize("value", [b"", b"t|0|1", b"t|x|1|d", b"t|0||d", b"\xff|0|1|d"])
def test_is_nothing_finished(value: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - what the function says it raises
        read_finished(value)


@pytest.mark.parametrize(
    ("text", "may_travel"),
    [
        (TRACEPARENT, True),
        (TRACEPARENT.replace("00-4", "cc-4"), True),  # a later version's
        (TRACEPARENT.upper(), False),
        (TRACEPARENT + "\r\nx: y", False),
        (TRACEPARENT + "\n", False),
        (TRACEPARENT[:-1], False),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", False),
        (f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01", False),
        ("", False),
        ("\ud800", False),
    ],
)
def test_what_may_travel_as_traceparent(text: str, may_travel: bool) -> None:
    assert is_traceparent(text) == may_travel


@given(st.integers(0, 1 << 60), st.text(st.characters(exclude_categories=["Cs"])))
def test_who_wrote_a_cursor_is_read_back(epoch: int, writer: str) -> None:
    assert read_writer(writer_header(epoch, writer)[1]) == (epoch, writer)


@pytest.mark.parametrize("value", [b"", b"1", b"x|w", b"\xff|w"])
def test_names_no_writer(value: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - what the function says it raises
        read_writer(value)
