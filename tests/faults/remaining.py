"""Which deliveries still stand on a topic, from the topics alone: dead letters, waiting tiers, what is unread.

A record counts as waiting when the group that reads its topic has not acknowledged it, or when a cursor says that its
subscription is behind and has not come so far. That is generous: who settles a run wants nothing left that waits.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar, cast

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from schemas.codec import UnreadableRecord, decode
from schemas.headers import WRITER, read_writer
from schemas.records import Attempt, AttemptState, Claim, Cursor, DeadLetter, Delivery, Event
from schemas.topics import ATTEMPTS, BEHIND, DEAD_LETTERS, DELIVER, EVENTS, REPLAY, RETRY_PREFIX

WORKERS: Final = "hookline-worker"
MOVERS: Final = "hookline-mover"
_ASK_TIMEOUT_S: Final = 10.0
_READ_WITHIN_S: Final = 120.0
_TRIES: Final = 10

Owed = tuple[str, str]
"""An event's id and a subscription's; the subscription is "" for an event that was not routed yet."""
T = TypeVar("T")
R = TypeVar("R", Event, Delivery)


@dataclass(frozen=True)
class Remaining:
    """Deliveries by where they are."""

    dead: frozenset[Owed]
    waiting: frozenset[Owed]
    held: frozenset[Owed]


def remaining(bootstrap: str, *, workers: str = WORKERS) -> Remaining:
    """Return what stands on the topics now, for this group of workers.

    Raises KafkaException when the brokers do not answer for some time.
    """
    topics = Topics(bootstrap)
    letters = topics.read(DEAD_LETTERS)
    outcomes = topics.read(ATTEMPTS)
    dead = {_owed(decode(DeadLetter, message.value()).delivery) for message in letters}
    attempts = (decode(Attempt, message.value()) for message in outcomes)
    held = {(each.event_id, each.subscription_id) for each in attempts if each.state is AttemptState.HELD}
    waiting: set[Owed] = set()
    waiting |= {(event.id, "") for event in _readable(Event, topics.read(EVENTS, unread_by=workers))}
    for topic in (DELIVER, REPLAY):
        waiting |= {_owed(each) for each in _readable(Delivery, topics.read(topic, unread_by=workers))}
    for topic in topics.waiting_tiers():
        waiting |= {_owed(each) for each in _readable(Delivery, topics.read(topic, unread_by=MOVERS))}
    return Remaining(frozenset(dead), frozenset(waiting | _behind(topics)), frozenset(held))


def _readable(of: type[R], messages: list[Message]) -> Iterator[R]:
    """Yield the records that are some: poison is nobody's delivery."""
    for message in messages:
        with suppress(UnreadableRecord):
            yield decode(of, message.value())


def _behind(topics: "Topics") -> set[Owed]:
    """Return the deliveries that a cursor stands before."""
    if not topics.has(BEHIND):
        return set()
    found: set[Owed] = set()
    cursors = [cursor for of_partition in cursors_on(topics.read(BEHIND)).values() for cursor in of_partition.values()]
    for topic in {cursor.topic for cursor in cursors}:
        first: dict[tuple[str, str | None], int] = {}
        for cursor in cursors:
            if cursor.topic == topic:
                first[cursor.subscription_id, cursor.key] = cursor.next
        for message in topics.read(topic):
            try:
                delivery = decode(Delivery, message.value())
            except UnreadableRecord:
                continue
            for key in (None, delivery.key):
                begins = first.get((delivery.subscription_id, key))
                if begins is not None and (message.offset() or 0) >= begins:
                    found.add(_owed(delivery))
    return found


def cursors_on(records: "list[Message]") -> Mapping[int, Mapping[bytes, Cursor]]:
    """Return the cursors in force, by partition and Kafka key; what a zombie wrote after a newer claim is ignored."""
    claims: dict[int, tuple[int, str]] = {}
    cursors: defaultdict[int, dict[bytes, Cursor]] = defaultdict(dict)
    for message in records:
        partition, key, value = message.partition() or 0, message.key() or b"", message.value()
        if key == b"claim" and value is not None:
            claim = decode(Claim, value)
            if partition not in claims or claim.epoch > claims[partition][0]:
                claims[partition] = (claim.epoch, claim.writer)
            continue
        if partition in claims and _writer_of(message) != claims[partition]:
            continue
        if value is None:
            cursors[partition].pop(key, None)
        else:
            try:
                cursors[partition][key] = decode(Cursor, value)
            except UnreadableRecord:
                continue
    return cursors


def _writer_of(message: Message) -> tuple[int, str] | None:
    headers = cast(list[tuple[str, bytes]], message.headers() or [])
    return next((read_writer(value) for name, value in headers if name == WRITER), None)


def _owed(delivery: Delivery) -> Owed:
    return delivery.event_id, delivery.subscription_id


class Topics:
    """Reads whole topics, without a group. Raises KafkaException when the brokers do not answer for some time."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._partitions = self._with_consumer(
            "tests-remaining",
            lambda consumer: {
                name: sorted(topic.partitions)
                for name, topic in consumer.list_topics(timeout=_ASK_TIMEOUT_S).topics.items()
            },
        )

    def has(self, topic: str) -> bool:
        """Return whether there is such a topic."""
        return topic in self._partitions

    def waiting_tiers(self) -> Iterator[str]:
        """Yield the names of the waiting tiers."""
        return (name for name in self._partitions if name.startswith(RETRY_PREFIX))

    def committed(self, topic: str, group: str) -> dict[int, int]:
        """Return what a group has acknowledged, by partition: the next offset it would read, 0 when none."""
        places = [TopicPartition(topic, partition) for partition in self._partitions[topic]]
        found = self._with_consumer(group, lambda consumer: consumer.committed(places, timeout=_ASK_TIMEOUT_S))
        return {place.partition: max(place.offset, 0) for place in found}

    def ends(self, topic: str) -> dict[int, int]:
        """Return the offset of the next record, by partition."""
        return self._with_consumer(
            "tests-remaining",
            lambda consumer: {
                partition: consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_ASK_TIMEOUT_S)[1]
                for partition in self._partitions[topic]
            },
        )

    def read(self, topic: str, *, unread_by: str | None = None) -> list[Message]:
        """Return all records of a topic, or those that a group has not acknowledged; in order within a partition."""
        begins = self.committed(topic, unread_by) if unread_by else dict.fromkeys(self._partitions[topic], 0)
        return self._with_consumer("tests-remaining", lambda consumer: _read(consumer, topic, begins))

    def _with_consumer(self, group: str, ask: Callable[[Consumer], T]) -> T:
        for _ in range(_TRIES):
            with suppress(KafkaException):  # a partition may be without a leader for a moment
                return self._asked(group, ask)
            time.sleep(2.0)
        return self._asked(group, ask)

    def _asked(self, group: str, ask: Callable[[Consumer], T]) -> T:
        consumer = Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": group,  # never joined: only its offsets are asked for
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )
        try:
            return ask(consumer)
        finally:
            consumer.close()


def _read(consumer: Consumer, topic: str, begins: dict[int, int]) -> list[Message]:
    ends: dict[int, int] = {}
    for partition, begin in begins.items():
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_ASK_TIMEOUT_S)
        begins[partition] = max(begin, low)
        if begins[partition] < high:
            ends[partition] = high
    consumer.assign([TopicPartition(topic, partition, begins[partition]) for partition in ends])
    found: list[Message] = []
    deadline = time.monotonic() + _READ_WITHIN_S
    while ends:
        if time.monotonic() > deadline:
            raise AssertionError(f"{topic} was not read within {_READ_WITHIN_S:.0f} s")
        found += [record for record in consumer.consume(5000, timeout=0.1) if record.error() is None]
        for place in consumer.position([TopicPartition(topic, partition) for partition in ends]):
            if place.offset >= ends[place.partition]:
                del ends[place.partition]
    return found
