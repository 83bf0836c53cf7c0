"""What our plain consumers (the mover, the projector) have in common: static members, manual offsets, quiet errors."""

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from confluent_kafka import KafkaError
from structlog.typing import FilteringBoundLogger

_SAY_AGAIN_AFTER_S: Final = 10.0  # while Kafka is away, librdkafka says so twenty times a second


def member_of(name: str, slot: str, topics: Iterable[str]) -> str:
    """Return the static member's id of a process that reads these topics in a slot.

    A static member that comes back with one more topic causes no rebalance: nobody would read it (FAUST.md, F17).
    """
    return f"{name}-{slot}-{hashlib.sha256(','.join(sorted(topics)).encode()).hexdigest()[:8]}"


def consumer_config(
    kafka: Mapping[str, str], *, group: str, member: str, on_error: Callable[[KafkaError], None]
) -> dict[str, object]:
    """Return librdkafka's settings for a static member that keeps its offsets itself; `kafka` is client_config()."""
    return {
        **kafka,
        "group.id": group,
        "group.instance.id": member,
        "session.timeout.ms": 7000,  # the partitions of one that was killed stand still for so long
        "heartbeat.interval.ms": 2000,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "error_cb": on_error,
        "log_level": 2,  # what librdkafka would write to standard error comes to error_cb as well
        "fetch.queue.backoff.ms": 10,  # the default lets a full local queue stand for a second
        "queued.max.messages.kbytes": 16_384,
        "reconnect.backoff.max.ms": 1000,
        "topic.metadata.refresh.interval.ms": 30_000,  # a topic may be created after the process has started
    }


def throws_out(error: KafkaError) -> bool:
    """Return whether the broker throws a consumer out: another one has its slot."""
    return error.fatal() or error.code() == KafkaError._FATAL  # noqa: SLF001 - confluent-kafka's public name


class Warnings:
    """Logs warnings, each kind once in 10 s: while something is away it is found so again and again."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._said: dict[str, float] = {}

    def say(self, event: str, kind: str, **details: str) -> None:
        """Log a warning unless this event was of the same kind a moment ago."""
        name, now = f"{event} {kind}", time.monotonic()
        if now - self._said.get(name, -_SAY_AGAIN_AFTER_S) >= _SAY_AGAIN_AFTER_S:
            self._said[name] = now
            self._log.warning(event, **details)

    def say_error(self, error: KafkaError) -> None:
        """Log what a client says of the brokers."""
        self.say("kafka.error", error.name(), error=error.str(), code=error.name())
