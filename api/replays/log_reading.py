"""The log of events, read from offsets on: from Kafka, by a consumer that belongs to no group and commits nothing."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast
from uuid import uuid4

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from producers.consuming import Warnings
from schemas.codec import UnreadableRecord, decode
from schemas.envelope import check_id, check_organization
from schemas.errors import HooklineError, InvalidInput
from schemas.headers import ORGANIZATION, Headers, traceparent_in
from schemas.ids import append_time_of, filed_at
from schemas.records import Event

log = structlog.get_logger("api.replays")

_POLL_S: Final = 0.1
_CHUNK: Final = 200
_MOST_LOOKED_AT: Final = 2000  # records in one reading, when hardly one of them is the organization's
_MOST_BYTES: Final = 4 * 1024 * 1024
_EOF: Final = KafkaError._PARTITION_EOF  # noqa: SLF001 - confluent-kafka's public names begin so
_FORGOTTEN: Final = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}  # noqa: SLF001


class LogForgot(HooklineError):
    """Retention took what was to be read next: it is to be read from the stored bodies."""


@dataclass(frozen=True, slots=True)
class PastEvent:
    """An event of the log again: where it stands, under which time it is filed, and its body if that was stored."""

    event: Event
    at: datetime
    partition: int
    offset: int
    traceparent: str | None
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read: an organization's events, the next offset of each partition, and which are read to their end."""

    events: list[PastEvent]
    upto: dict[int, int]
    ended: set[int]


class LogReader:
    """Reads partitions of one topic; every method blocks."""

    def __init__(self, kafka: Mapping[str, str], topic: str) -> None:
        """Prepare; it connects when it is asked."""
        self._topic = topic
        self._ends: dict[int, int] = {}
        self._lock = threading.Lock()  # whoever closes it may have been cancelled while a thread still reads
        self._warnings = Warnings(log)
        self._consumer = Consumer(
            {
                **kafka,
                "group.id": f"hookline-replay-{uuid4().hex}",  # never joined, nothing committed
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 100,
                "queued.max.messages.kbytes": 4096,
                "error_cb": self._warnings.say_error,
                "log_level": 2,
            }
        )

    def begin(self, places: Mapping[int, tuple[int, int]]) -> None:
        """Read these partitions from an offset up to another, and no others."""
        self._ends = {number: end for number, (_, end) in places.items()}
        self._consumer.assign([TopicPartition(self._topic, number, at) for number, (at, _) in places.items()])

    def read(self, organization_id: str) -> Reading:
        """Return the organization's events among the next records, each partition's in order; maybe none.

        What nobody can read is left out: routing put it into the quarantine. Raises LogForgot, KafkaException.
        """
        with self._lock:
            return self._read(organization_id.encode())

    def close(self) -> None:
        """Let go of the brokers."""
        with self._lock:
            self._consumer.close()

    def _read(self, organization: bytes) -> Reading:
        reading = Reading([], {}, set())
        looked_at = size = 0
        deadline = time.monotonic() + _POLL_S
        while looked_at < _MOST_LOOKED_AT and size < _MOST_BYTES and len(reading.events) < _CHUNK:
            messages = self._consumer.consume(_CHUNK, timeout=max(deadline - time.monotonic(), 0))
            for message in messages:
                self._take(message, organization, reading)
                size += len(message.value() or b"")
            looked_at += len(messages)
            if not messages or set(self._ends) <= reading.ended:
                break
        self._forget(reading.ended)
        return reading

    def _take(self, message: Message, organization: bytes, reading: Reading) -> None:
        number = cast(int, message.partition())
        end = self._ends.get(number)
        offset = cast(int, message.offset())
        if (error := message.error()) is not None:
            if error.code() != _EOF:
                self._take_error(error, number)
            elif end is None or offset >= end:  # before it, something stands that a transaction has not committed yet
                reading.ended.add(number)
            return
        if end is None or offset >= end:
            reading.ended.add(number)
            return
        reading.upto[number] = offset + 1
        if offset + 1 == end:
            reading.ended.add(number)
        past = past_event(message, organization)
        if past is not None:
            reading.events.append(past)

    def _take_error(self, error: KafkaError, number: int) -> None:
        if error.code() in _FORGOTTEN:
            raise LogForgot(f"partition {number}: {error.str()}")
        if error.fatal():
            raise KafkaException(error)
        self._warnings.say_error(error)

    def _forget(self, ended: set[int]) -> None:
        if ended & set(self._ends):
            places = [
                TopicPartition(self._topic, number) for number in ended if self._ends.pop(number, None) is not None
            ]
            self._consumer.incremental_unassign(places)


def past_event(message: Message, organization: bytes) -> PastEvent | None:
    """Return a record's event when it is the organization's and can be read."""
    headers = [(name, value or b"") for name, value in cast(list[tuple[str, bytes | None]], message.headers() or [])]
    if (said := _organization_in(headers)) is not None and said != organization:
        return None
    try:
        event = decode(Event, message.value())
        check_id(event.id, "evt", "/id")
        check_organization(event.organization_id)
    except (UnreadableRecord, InvalidInput):
        return None
    if event.organization_id.encode() != organization:
        return None
    return PastEvent(
        event=event,
        at=filed_at(event.id, append_time_of(message.timestamp()[1])),
        partition=cast(int, message.partition()),
        offset=cast(int, message.offset()),
        traceparent=traceparent_in(headers),
    )


def _organization_in(headers: Headers) -> bytes | None:
    return next((value for name, value in headers if name == ORGANIZATION), None)
