"""Reads, claims, writes and watches the partitions of `hookline.behind` that belong to this worker's."""

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Final, cast

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from processors.errors import WorkerError
from processors.lanes.cursors import CLAIM_KEY, NOBODY, Folded, LogRecord, Writer
from producers.handover import Handover, LoopProducer
from producers.records import Outgoing
from schemas.codec import UnreadableRecord, encode
from schemas.headers import WRITER, read_writer, writer_header
from schemas.records import Claim, Cursor
from schemas.topics import BEHIND

log = structlog.get_logger("processors.lanes")

_BATCH: Final = 5000
_POLL_S: Final = 0.1
_ASK_TIMEOUT_S: Final = 5.0
_READ_WITHIN_S: Final = 20.0
_AGAIN_AFTER_S: Final = 0.2
_MOST_CLAIMS: Final = 5  # two who claim at the same time; more than a few would be a bug

Cursors = dict[int, dict[bytes, Cursor]]


class CursorLog:
    """The cursors of the partitions that are ours. Lives on the event loop; reads in threads."""

    def __init__(
        self,
        client_config: Mapping[str, str],
        producer: LoopProducer,
        handover: Handover,
        *,
        on_superseded: Callable[[WorkerError], None],
        topic: str = BEHIND,
    ) -> None:
        """Prepare. `on_superseded` hears that another worker has claimed what we hold: ours must end."""
        self._config = {
            **client_config,
            "group.id": "hookline-cursors",  # never joined, nothing committed
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 50,
        }
        self._producer = producer
        self._handover = handover
        self._on_superseded = on_superseded
        self._topic = topic
        self._writers: dict[int, Writer] = {}
        self._written: dict[int, dict[bytes, bytes | None]] = {}
        self._watch: _Watch | None = None
        self._again: set[asyncio.Future[None]] = set()

    async def take_over(self, partitions: Iterable[int], *, is_ours: Callable[[], bool] = lambda: True) -> Cursors:
        """Claim these partitions and no others, and return the cursors that stand there now.

        What an earlier holder wrote after losing them is written over. `is_ours` is asked right before claiming: when
        they were taken from us meanwhile there are none. Raises WorkerError when it is not done within 20 s.
        """
        self.let_go()
        numbers = sorted(partitions)
        began = time.monotonic()
        found = await self._claimed(numbers, is_ours)
        for partition, folded in found.items():
            self._writers[partition] = folded.writer
            self._written[partition] = {}
            for key in folded.overwritten - {CLAIM_KEY}:
                await self.save(partition, key, folded.cursors.get(key))
        log.info(
            "cursors.loaded",
            partitions=len(numbers),
            cursors=sum(len(folded.cursors) for folded in found.values()),
            duration_ms=round((time.monotonic() - began) * 1000),
        )
        return {partition: folded.cursors for partition, folded in found.items()}

    def let_go(self) -> None:
        """Write and watch no more: the partitions may be somebody else's."""
        self._writers.clear()
        self._written.clear()
        if self._watch is not None:
            self._watch.stop()
            self._watch = None

    async def save(self, partition: int, key: bytes, cursor: Cursor | None) -> bool:
        """Write a cursor, None when the lane is live again; return when the brokers have it.

        False: the partition is not ours (any more), and nothing may be built on what was written.
        """
        writer = self._writers.get(partition)
        if writer is None:
            return False
        value = None if cursor is None else encode(cursor)
        self._written[partition][key] = value
        await self._producer.send([Outgoing(self._topic, key, value, [writer_header(*writer)], partition)])
        return self._writers.get(partition) == writer

    async def _claimed(self, numbers: list[int], is_ours: Callable[[], bool]) -> dict[int, Folded]:
        """Read to the end, claim, read on until our claims are there and count."""
        if not numbers:
            return {}
        name = uuid.uuid4().hex
        reading = _Reading(self._config, self._topic, numbers)
        try:
            deadline = time.monotonic() + _READ_WITHIN_S
            await asyncio.to_thread(reading.to_the_end, deadline)
            for _ in range(_MOST_CLAIMS):
                lost = [each for each in numbers if reading.folded[each].writer[1] != name]
                if not lost:
                    self._watch = _Watch(reading, self._handover, self._on_foreign)
                    return reading.folded
                if not is_ours():
                    reading.close()
                    return {}
                claims = [self._claim(each, reading.folded[each].writer[0] + 1, name) for each in lost]
                await self._producer.send(claims)
                await asyncio.to_thread(reading.to_the_end, deadline)
        except BaseException:
            reading.close()
            raise
        reading.close()
        raise WorkerError(f"another worker claims partitions of {self._topic} at the same time, again and again")

    def _claim(self, partition: int, epoch: int, name: str) -> Outgoing:
        value = encode(Claim(writer=name, epoch=epoch, since=datetime.now(UTC)))
        return Outgoing(self._topic, CLAIM_KEY, value, [writer_header(epoch, name)], partition)

    def _on_foreign(self, partition: int, record: LogRecord) -> None:
        """Hear of a record that somebody else wrote to a partition of ours, on the loop."""
        ours = self._writers.get(partition)
        if ours is None:
            return
        if record.writer[0] > ours[0]:
            self.let_go()
            self._on_superseded(WorkerError(f"another worker has claimed partition {partition} of {self._topic}"))
            return
        if record.key == CLAIM_KEY:
            return
        # Compaction would keep the late record of one who lost the partition in place of ours.
        log.warning("cursors.written_late", partition=partition, key=record.key.decode(errors="replace"))
        value = self._written[partition].get(record.key)
        again = Outgoing(self._topic, record.key, value, [writer_header(*ours)], partition)
        task = asyncio.ensure_future(self._producer.send([again]))
        self._again.add(task)
        task.add_done_callback(self._again.discard)


class _Reading:
    """Reads some partitions from their beginning. In whatever thread calls it."""

    def __init__(self, config: Mapping[str, object], topic: str, numbers: list[int]) -> None:
        self._consumer = Consumer(dict(config))
        self._topic = topic
        self._places = [TopicPartition(topic, number, OFFSET_BEGINNING) for number in numbers]
        self._assigned = False
        self.folded = {number: Folded() for number in numbers}

    def to_the_end(self, deadline: float) -> None:
        """Fold all that is there now; again until it works, for brokers may be away. Raises WorkerError after it."""
        while True:
            try:
                self._read_to_the_end(deadline)
                return
            except KafkaException as error:
                if time.monotonic() > deadline:
                    raise WorkerError(f"cannot read {self._topic}: {error}") from error
            except UnreadableRecord as error:
                raise WorkerError(f"a cursor on {self._topic} is of a later release than this one: {error}") from error
            time.sleep(_AGAIN_AFTER_S)

    def poll(self) -> list[tuple[int, LogRecord]]:
        """Return what has come, after 0.1 s at most."""
        return [
            _record(message) for message in self._consumer.consume(_BATCH, timeout=_POLL_S) if message.error() is None
        ]

    def close(self) -> None:
        """Close the client."""
        self._consumer.close()

    def _read_to_the_end(self, deadline: float) -> None:
        if not self._assigned:
            self._consumer.assign(self._places)
            self._assigned = True
        ends = {}
        for place in self._places:
            low, high = self._consumer.get_watermark_offsets(place, timeout=_ASK_TIMEOUT_S)
            if low < high:
                ends[place.partition] = high
        while ends:
            if time.monotonic() > deadline:
                raise WorkerError(f"{len(ends)} partitions of {self._topic} were not read within {_READ_WITHIN_S} s")
            for partition, record in self.poll():
                self.folded[partition].take(record)
            for place in self._consumer.position([TopicPartition(self._topic, each) for each in ends]):
                if place.offset >= ends[place.partition]:
                    del ends[place.partition]


class _Watch:
    """Follows, in a thread, what others write to the partitions that are ours."""

    def __init__(self, reading: _Reading, handover: Handover, on_foreign: Callable[[int, LogRecord], None]) -> None:
        self._reading = reading
        self._ours = {partition: folded.writer for partition, folded in reading.folded.items()}
        self._handover = handover
        self._on_foreign = on_foreign
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="cursors", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop following, soon."""
        self._stopping.set()

    def _follow(self) -> None:
        while not self._stopping.is_set():
            for partition, record in self._reading.poll():
                if record.writer != self._ours[partition]:
                    self._handover.call(partial(self._on_foreign, partition, record))
        self._reading.close()


def _record(message: Message) -> tuple[int, LogRecord]:
    writer = NOBODY
    for name, value in cast(list[tuple[str, bytes]], message.headers() or []):
        if name == WRITER:
            try:
                writer = read_writer(value)
            except ValueError:
                break  # not of our making: it counts for nobody
    return message.partition() or 0, LogRecord(writer, message.key() or b"", message.value())
