"""Where consumer groups stand: who holds which partitions, what is not acknowledged yet, and since when.

Everything is asked without joining a group; nothing is committed.
"""

import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar, cast

from confluent_kafka import Consumer, ConsumerGroupState, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, ConsumerGroupDescription  # type: ignore[attr-defined] # re-exported

from schemas.headers import DUE_AT, Headers

Place = tuple[str, int]
Answer = TypeVar("Answer")

ASK_TIMEOUT_S: Final = 2.5
# The first question about a group makes a cluster create __consumer_offsets. A request that is under way then waits out
# its whole time (measured: 6 of 6 s) or is told that no coordinator is ready; the next one is answered in 10 ms.
_GROUP_TIMEOUT_S: Final = 1.0
_TRIES: Final = 5
_AGAIN_AFTER_S: Final = 0.3
_NOT_READY: Final = (
    KafkaError._TIMED_OUT,  # noqa: SLF001 - confluent-kafka's public names begin so
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_COORDINATOR,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
)
_POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group now. `settled` is False while it rebalances."""

    members: int
    assigned: frozenset[Place]
    settled: bool


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a group has not acknowledged of one partition: records from `committed` up to, not including, `end`."""

    topic: str
    partition: int
    committed: int
    end: int

    @property
    def records(self) -> int:
        """How many there are at most: compaction may have removed some."""
        return self.end - self.committed


@dataclass(frozen=True, slots=True)
class Head:
    """The first record of a backlog: when it was appended and when it is due (seconds since 1970)."""

    appended_at: float
    due_at: float | None


def group_of(admin: AdminClient, name: str) -> Group:
    """Return the group; one that nobody is in has no members. Raises KafkaException."""
    try:
        found = _asked(lambda: _described(admin, name))
    except KafkaException as error:
        if error.args[0].name() == "GROUP_ID_NOT_FOUND":
            return Group(0, frozenset(), settled=True)
        raise
    assigned = frozenset(
        (place.topic, place.partition) for member in found.members for place in member.assignment.topic_partitions
    )
    resting = (ConsumerGroupState.STABLE, ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD)
    return Group(len(found.members), assigned, settled=found.state in resting)


def backlogs_of(client_config: Mapping[str, str], group: str, topics: Mapping[str, int]) -> list[Backlog]:
    """Return what `group` has not acknowledged of topics (name to partition count). Raises KafkaException."""
    consumer = _consumer(client_config, group)
    try:
        places = [TopicPartition(name, partition) for name, count in topics.items() for partition in range(count)]
        found = []
        for place in _asked(lambda: consumer.committed(places, timeout=ASK_TIMEOUT_S)):
            low, end = _asked(partial(consumer.get_watermark_offsets, place, timeout=ASK_TIMEOUT_S))
            found.append(Backlog(place.topic, place.partition, min(max(place.offset, low), end), end))
        return found
    finally:
        consumer.close()


def heads_of(
    client_config: Mapping[str, str], backlogs: Iterable[Backlog], *, within_s: float = ASK_TIMEOUT_S
) -> dict[Place, Head]:
    """Return the first record of each backlog, as far as they come within `within_s`."""
    wanted = {(backlog.topic, backlog.partition): backlog.committed for backlog in backlogs if backlog.records}
    heads: dict[Place, Head] = {}
    if not wanted:
        return heads
    consumer = _consumer(client_config, f"hookline-doctor-{uuid.uuid4().hex}")
    try:
        consumer.assign([TopicPartition(topic, partition, offset) for (topic, partition), offset in wanted.items()])
        deadline = time.monotonic() + within_s
        while len(heads) < len(wanted) and time.monotonic() < deadline:
            message = consumer.poll(_POLL_S)
            if message is None or message.error() is not None:
                continue
            place = cast(Place, (message.topic(), message.partition()))
            if place not in heads:
                heads[place] = _head_of(message)
                consumer.pause([TopicPartition(*place)])
        return heads
    finally:
        consumer.close()


def _asked(ask: Callable[[], Answer]) -> Answer:
    """Return what `ask` returns, asking again while a coordinator or a leader is being chosen."""
    for _ in range(_TRIES - 1):
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in _NOT_READY:
                raise
        time.sleep(_AGAIN_AFTER_S)
    return ask()


def _described(admin: AdminClient, name: str) -> ConsumerGroupDescription:
    answers = admin.describe_consumer_groups([name], request_timeout=_GROUP_TIMEOUT_S)
    return cast(ConsumerGroupDescription, answers[name].result())


def _head_of(message: Message) -> Head:
    kind, appended_ms = message.timestamp()
    appended_at = appended_ms / 1000 if kind else time.time()
    return Head(appended_at, _due_at(cast(Headers, message.headers() or [])))


def _due_at(headers: Sequence[tuple[str, bytes | None]]) -> float | None:
    value = next((value for name, value in headers if name == DUE_AT), None)
    return int(value) / 1_000_000 if value is not None and value.isdigit() else None


def _consumer(client_config: Mapping[str, str], group: str) -> Consumer:
    return Consumer(
        {**client_config, "group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest",
         "fetch.wait.max.ms": 100, "log_level": 0}
    )  # fmt: skip
