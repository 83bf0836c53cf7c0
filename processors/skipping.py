"""What need not be sent again: the skip set (FAUST.md, F19).

Acks are in order, so one hanging endpoint holds the acks of all that finished behind it. An outcome record carries the
position of the delivery record that it finished; whoever is given the partition reads the tail of the outcomes, one
deadline and a margin long, and skips what is in it. The same tail says which sendings are done, whatever record asked
for them: an event routed twice after a kill, or a retry moved twice, becomes two records of one sending.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Final, cast

import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from processors.errors import WorkerError
from processors.settings import LONGEST_TIMEOUT
from schemas.headers import FINISHED, read_finished
from schemas.records import Delivery
from schemas.topics import ATTEMPTS

log = structlog.get_logger("processors.skipping")

TAIL: Final = LONGEST_TIMEOUT + timedelta(
    seconds=15
)  # an outcome is older than its unacked record by one deadline at most
_MOST_REMEMBERED: Final = 100_000  # sendings: 20 s at 5,000/s, about 15 MB
_BATCH: Final = 5000
_READ_WITHIN_S: Final = 20.0
_ASK_TIMEOUT_S: Final = 5.0
_AGAIN_AFTER_S: Final = 0.2


def sending_of(delivery: Delivery) -> str:
    """Return the name of one sending: the same for every record that asks for this attempt of this delivery."""
    return f"{delivery.id}/{delivery.round}/{delivery.attempt}"


class Finished:
    """The delivery records and the sendings that are done. Lives on the event loop."""

    def __init__(self) -> None:
        self._offsets: dict[tuple[str, int], set[int]] = {}
        # In the order of their end. A plain dict would walk over all that was taken from its front to find the oldest.
        self._sendings: OrderedDict[str, None] = OrderedDict()

    def has_record(self, topic: str, partition: int, offset: int) -> bool:
        """Return whether an earlier holder of the partition finished this delivery record."""
        offsets = self._offsets.get((topic, partition))
        return offsets is not None and offset in offsets

    def has_sending(self, sending: str) -> bool:
        """Return whether this sending is known to be done."""
        return sending in self._sendings

    def add_sending(self, sending: str) -> None:
        """Remember that a sending is done; the oldest is forgotten when there are too many."""
        self._sendings[sending] = None
        self._sendings.move_to_end(sending)  # read again, it counts as young
        if len(self._sendings) > _MOST_REMEMBERED:
            self._sendings.popitem(last=False)

    def replace_records(self, partition: int, done: Mapping[str, set[int]]) -> None:
        """Take the finished offsets of one partition number, by topic, in place of those known before."""
        for place in [place for place in self._offsets if place[1] == partition]:
            del self._offsets[place]
        for topic, offsets in done.items():
            self._offsets[topic, partition] = offsets


class OutcomeTail:
    """Reads the tail of the outcomes when partitions are assigned."""

    def __init__(self, client_config: Mapping[str, str], finished: Finished, *, tail: timedelta = TAIL) -> None:
        self._config = client_config
        self._finished = finished
        self._tail = tail

    async def load(self, partitions: Iterable[int]) -> None:
        """Fill the skip set for these partition numbers; raises WorkerError when the tail cannot be read in 20 s.

        Records that an earlier holder finished without an ack are read at the beginning of an assignment, or never.
        """
        numbers = sorted(partitions)
        if not numbers:  # taken from us meanwhile; librdkafka would wait for an answer about nothing
            return
        started = time.monotonic()
        done, sendings = await asyncio.to_thread(self._read, numbers)
        for partition in numbers:
            self._finished.replace_records(partition, done.get(partition, {}))
        for sending in sendings:
            self._finished.add_sending(sending)
        log.info(
            "skip_set.loaded",
            partitions=len(numbers),
            sendings=len(sendings),
            duration_ms=round((time.monotonic() - started) * 1000),
        )

    def _read(self, partitions: list[int]) -> tuple[dict[int, dict[str, set[int]]], list[str]]:
        """Read until it works: partitions are assigned anew when brokers go, and then their leaders move too."""
        deadline = time.monotonic() + _READ_WITHIN_S
        while True:
            try:
                return self._read_once(partitions, deadline)
            except KafkaException as error:
                if time.monotonic() > deadline:
                    raise WorkerError(f"cannot read the tail of {ATTEMPTS}: {error}") from error
            time.sleep(_AGAIN_AFTER_S)

    def _read_once(self, partitions: list[int], deadline: float) -> tuple[dict[int, dict[str, set[int]]], list[str]]:
        consumer = Consumer(
            {**self._config, "group.id": "hookline-outcome-tail", "enable.auto.commit": False, "fetch.wait.max.ms": 20}
        )
        try:
            return self._read_with(consumer, partitions, deadline)
        finally:
            consumer.close()

    def _read_with(
        self, consumer: Consumer, partitions: list[int], deadline: float
    ) -> tuple[dict[int, dict[str, set[int]]], list[str]]:
        done: dict[int, dict[str, set[int]]] = {}
        sendings: list[str] = []
        ends = self._assign(consumer, partitions)
        while ends:
            if time.monotonic() > deadline:
                raise WorkerError(f"{len(ends)} partitions of {ATTEMPTS} were not read within {_READ_WITHIN_S} s")
            for message in consumer.consume(_BATCH, timeout=0.05):
                if message.error() is None:
                    _note(message, done, sendings)
            places = consumer.position([TopicPartition(ATTEMPTS, partition) for partition in ends])
            for place in places:
                if place.offset >= ends[place.partition]:
                    del ends[place.partition]
        return done, sendings

    def _assign(self, consumer: Consumer, partitions: list[int]) -> dict[int, int]:
        """Assign where the tail begins; return the ends of the partitions that have one."""
        since_ms = int((time.time() - self._tail.total_seconds()) * 1000)
        asked = [TopicPartition(ATTEMPTS, partition, since_ms) for partition in partitions]
        begins = {place.partition: place.offset for place in consumer.offsets_for_times(asked, timeout=_ASK_TIMEOUT_S)}
        ends = {}
        for partition, begin in begins.items():
            _, end = consumer.get_watermark_offsets(TopicPartition(ATTEMPTS, partition), timeout=_ASK_TIMEOUT_S)
            if 0 <= begin < end:  # negative: nothing is younger
                ends[partition] = end
        consumer.assign([TopicPartition(ATTEMPTS, partition, begins[partition]) for partition in ends])
        return ends


def _note(message: Message, done: dict[int, dict[str, set[int]]], sendings: list[str]) -> None:
    for name, value in cast(list[tuple[str, bytes]], message.headers() or []):
        if name == FINISHED and isinstance(value, bytes):
            try:
                topic, partition, offset, sending = read_finished(value)
            except ValueError:
                return  # not of our making
            done.setdefault(partition, {}).setdefault(topic, set()).add(offset)
            sendings.append(sending)
            return
