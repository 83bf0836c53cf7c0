"""Ends a worker that stands still while its partitions have records (FAUST.md, F13); its supervisor starts it again.

It looks from outside, in a thread with a Kafka client of its own: at the group's committed offsets and the ends of the
partitions. A consumer that has wedged, an event loop that is blocked and an ack that never comes look the same there.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from processors.metrics import LAG, STALLED_SECONDS

log = structlog.get_logger("processors.watchdog")

EXIT_STALLED: Final = 75  # EX_TEMPFAIL of sysexits.h: start me again
_LOOK_EVERY_S: Final = 5.0
_ASK_TIMEOUT_S: Final = 10.0

Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Sight:
    """What a look saw of one partition: the next offset that is not acknowledged, and the end."""

    committed: int
    end: int


class Progress:
    """Tells from a series of looks which partitions have records and make no progress."""

    def __init__(self) -> None:
        self._since: dict[Place, tuple[int, float]] = {}

    def stalled_s(self, seen: Mapping[Place, Sight], now: float) -> float:
        """Return for how long (seconds) the most stalled partition has had records and committed nothing.

        `now` is a monotonic clock's. A partition that is not in `seen` is forgotten.
        """
        before, self._since = self._since, {}
        for place, sight in seen.items():
            if sight.committed < sight.end:
                committed, since = before.get(place, (sight.committed, now))
                self._since[place] = (committed, since) if committed == sight.committed else (sight.committed, now)
        return max((now - since for _, since in self._since.values()), default=0.0)


class Watchdog:
    """Looks every few seconds and ends the process when it has stalled for too long."""

    def __init__(
        self,
        client_config: Mapping[str, str],
        *,
        group: str,
        assigned: Callable[[], Sequence[Place]],
        stalled_after_s: float,
        end: Callable[[int], None] = os._exit,
        look_every_s: float = _LOOK_EVERY_S,
    ) -> None:
        """Prepare; `assigned` returns this worker's partitions now and is called from another thread."""
        self._consumer = Consumer({**client_config, "group.id": group, "enable.auto.commit": False})
        self._assigned = assigned
        self._stalled_after_s = stalled_after_s
        self._end = end
        self._look_every_s = look_every_s
        self._progress = Progress()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking."""
        self._stopping.set()

    def _watch(self) -> None:
        while not self._stopping.wait(self._look_every_s):
            try:
                seen = self._look()
            except KafkaException as error:
                log.warning("watchdog.kafka_away", error=str(error))
                self._progress = Progress()  # a broker that is away stalls everybody, and ending helps nobody
                continue
            stalled_s = self._progress.stalled_s(seen, time.monotonic())
            STALLED_SECONDS.set(stalled_s)
            if stalled_s > self._stalled_after_s:
                log.critical("worker.stalled", stalled_s=round(stalled_s), do="the supervisor starts it again")
                self._end(EXIT_STALLED)
                return
        self._consumer.close()

    def _look(self) -> dict[Place, Sight]:
        places = [TopicPartition(topic, partition) for topic, partition in self._assigned()]
        if not places:
            return {}
        seen: dict[Place, Sight] = {}
        for place in self._consumer.committed(places, timeout=_ASK_TIMEOUT_S):
            low, high = self._consumer.get_watermark_offsets(place, timeout=_ASK_TIMEOUT_S)
            seen[place.topic, place.partition] = Sight(max(place.offset, low), high)
        for topic in {topic for topic, _ in seen}:
            lag = sum(sight.end - sight.committed for (of, _), sight in seen.items() if of == topic)
            LAG.labels(topic=topic).set(lag)
        return seen
