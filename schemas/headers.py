"""Kafka headers: CloudEvents 1.0 attributes, trace context, when a record is due, and why it was quarantined.

And those of a webhook's request that are neither HTTP's nor its signature's (schemas/signing.py).
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

import orjson

from schemas.records import Delivery, Event, Position

Headers = list[tuple[str, bytes]]

TRACEPARENT: Final = "traceparent"  # W3C Trace Context
ORGANIZATION: Final = "hookline_organization"
_SPECVERSION: Final = ("ce_specversion", b"1.0")
DUE_AT: Final = (
    "hookline_due_at"  # microseconds since 1970; never the record's timestamp: Kafka refuses one an hour ahead
)
ATTEMPT: Final = "hookline_attempt"
SCHEDULE_VERSION: Final = "hookline_schedule_version"
FINISHED: Final = "hookline_finished"
ORDERING_KEY: Final = "hookline_key"  # of a delivery: its event's key, so that it is known without decoding
TEST: Final = "hookline_test"  # of a delivery: somebody tries the endpoint
WRITER: Final = "hookline_writer"  # of a record on hookline.behind: by whose claim it was written
REPLAY_HEADER: Final = "hookline-replay"  # of a request: the replay's id, when this is no delivery's first sending
SEQUENCE_HEADER: Final = "hookline-sequence"  # of a request: what orders the deliveries of one key; gaps are normal

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_LONGEST_ERROR: Final = 1000  # characters: a pointer quotes names of the record, which may fill all of it
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def event_headers(event: Event, *, source: str, traceparent: str | None = None) -> Headers:
    """Return the CloudEvents 1.0 attributes of an event (Kafka protocol binding 1.0.2, 3.2.4: `ce_` and UTF-8).

    `source` stands in for an event's own. And whose it is, so that organizations take turns in routing before anybody
    decodes it.
    """
    of_type, of_source, of_organization = _constant(event.type, event.source or source, event.organization_id)
    headers = [
        _SPECVERSION,
        ("ce_id", event.id.encode()),
        of_type,
        of_source,
        ("ce_time", orjson.dumps(event.created_at)[1:-1]),  # as isoformat() writes it, in a third of its time
        of_organization,
    ]
    if event.key is not None:
        headers.append(("ce_subject", event.key.encode()))
    if traceparent is not None:
        headers.append((TRACEPARENT, traceparent.encode()))
    return headers


@lru_cache(maxsize=10_000)
def _constant(name: str, source: str, organization_id: str) -> tuple[tuple[str, bytes], ...]:
    """Return the headers that a service's events of a type have in common."""
    return ("ce_type", name.encode()), ("ce_source", source.encode()), (ORGANIZATION, organization_id.encode())


def delivery_headers(delivery: Delivery) -> Headers:
    """Return what a mover or an operator with a console consumer wants to see without decoding the value."""
    headers = [
        (DUE_AT, str(microseconds_of(delivery.due_at)).encode()),
        (ATTEMPT, str(delivery.attempt).encode()),
        (SCHEDULE_VERSION, delivery.schedule_version.encode()),
    ]
    if delivery.key is not None:
        headers.append((ORDERING_KEY, delivery.key.encode()))
    if delivery.is_test:
        headers.append((TEST, b"1"))
    if delivery.traceparent is not None:
        headers.append((TRACEPARENT, delivery.traceparent.encode()))
    return headers


def quarantine_headers(source: Position, *, error: Exception, stage: str) -> Headers:
    """Return why a record was quarantined, under the names of Kafka Connect's dead-letter queues (KIP-298)."""
    return [
        ("__connect.errors.topic", source.topic.encode()),
        ("__connect.errors.partition", str(source.partition).encode()),
        ("__connect.errors.offset", str(source.offset).encode()),
        ("__connect.errors.stage", stage.encode()),
        ("__connect.errors.exception.class.name", type(error).__name__.encode()),
        ("__connect.errors.exception.message", str(error)[:_LONGEST_ERROR].encode(errors="backslashreplace")),
    ]


def microseconds_of(moment: datetime) -> int:
    """Return whole microseconds since 1970 of an aware datetime, without a float's rounding."""
    return (moment - _EPOCH) // _MICROSECOND


def is_traceparent(text: str) -> bool:
    """Return whether `text` may travel as `traceparent` (W3C Trace Context 1, 3.2): 55 characters, ids not all zero."""
    return _TRACEPARENT.fullmatch(text) is not None


def traceparent_in(headers: Headers) -> str | None:
    """Return a record's traceparent; None when it has none that may travel, for another client's may be anything."""
    for name, value in headers:
        if name == TRACEPARENT:
            text = value.decode("ascii", "replace")
            return text if is_traceparent(text) else None
    return None


def finished_header(source: Position, done: str) -> tuple[str, bytes]:
    """Return what an outcome record says it worked off: the delivery record's position, and which sending it was.

    It stands in a header so that whoever takes a partition over reads a minute of outcomes without decoding them.
    """
    return FINISHED, f"{source.topic}|{source.partition}|{source.offset}|{done}".encode()


def read_finished(value: bytes) -> tuple[str, int, int, str]:
    """Return topic, partition, offset and sending of a FINISHED header; raises ValueError when it is none."""
    topic, partition, offset, done = value.decode().split("|", 3)
    return topic, int(partition), int(offset), done


def writer_header(epoch: int, writer: str) -> tuple[str, bytes]:
    """Return by whose claim a record on `hookline.behind` was written; a tombstone has no value to say it in."""
    return WRITER, f"{epoch}|{writer}".encode()


def read_writer(value: bytes) -> tuple[int, str]:
    """Return epoch and writer of a WRITER header; raises ValueError when it is none."""
    epoch, writer = value.decode().split("|", 1)
    return int(epoch), writer
