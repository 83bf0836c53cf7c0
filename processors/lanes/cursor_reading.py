"""Reads partitions of `hookline.behind` to their end, and follows them from there in a thread."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from processors.errors import WorkerError
from processors.lanes.cursors import NOBODY, Folded, LogRecord
from producers.handover import Handover
from schemas.codec import UnreadableRecord
from schemas.headers import WRITER, read_writer

_BATCH: Final = 5000
_POLL_S: Final = 0.1
_ASK_TIMEOUT_S: Final = 5.0
_AGAIN_AFTER_S: Final = 0.2


class Reading:
    """Reads some partitions from their beginning. In one thread at a time."""

    def __init__(
        self, config: Mapping[str, object], topic: str, numbers: list[int], *, is_wanted: Callable[[], bool]
    ) -> None:
        self._consumer = Consumer(dict(config))
        self._topic = topic
        self._places = [TopicPartition(topic, number, OFFSET_BEGINNING) for number in numbers]
        self._is_wanted = is_wanted
        self._assigned = False
        self._at = dict.fromkeys(numbers, 0)
        self.folded = {number: Folded() for number in numbers}

    async def to_the_end(self, deadline: float) -> None:
        """Fold all that is there now, or nothing more once it is not wanted. Raises WorkerError after the deadline."""
        reading = asyncio.ensure_future(asyncio.to_thread(self._to_the_end, deadline))
        try:
            await asyncio.shield(reading)
        except asyncio.CancelledError:
            self._is_wanted = _no
            await asyncio.wait([reading])  # the client must not be closed under the thread
            raise

    def poll(self) -> list[tuple[int, LogRecord]]:
        """Return what has come: at once when something is there, after 0.1 s at most."""
        found = []
        for message in self._consumer.consume(1, _POLL_S) + self._consumer.consume(_BATCH, 0):
            error = message.error()
            if error is None:
                found.append(_record(message))
            elif error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - its API
                continue
            # Compaction may have taken the last records: then the end has no record, only this note.
            number, offset = cast(tuple[int, int], (message.partition(), message.offset()))
            self._at[number] = offset + (error is None)
        return found

    def close(self) -> None:
        """Close the client."""
        self._consumer.close()

    def _to_the_end(self, deadline: float) -> None:
        while self._is_wanted():
            try:
                self._read_to_the_end(deadline)
                return
            except KafkaException as error:  # brokers may be away for a moment
                if time.monotonic() > deadline:
                    raise WorkerError(f"cannot read {self._topic}: {error}") from error
            except UnreadableRecord as error:
                raise WorkerError(f"a cursor on {self._topic} is of a later release than this one: {error}") from error
            time.sleep(_AGAIN_AFTER_S)

    def _read_to_the_end(self, deadline: float) -> None:
        if not self._assigned:
            self._consumer.assign(self._places)
            self._assigned = True
        ends = {}
        for place in self._places:
            timeout_s = max(0.1, min(_ASK_TIMEOUT_S, deadline - time.monotonic()))
            low, high = self._consumer.get_watermark_offsets(place, timeout=timeout_s)
            if low < high:
                ends[place.partition] = high
        while any(self._at[number] < end for number, end in ends.items()) and self._is_wanted():
            if time.monotonic() > deadline:
                raise WorkerError(f"the cursors on {self._topic} were not read in time")
            for partition, record in self.poll():
                self.folded[partition].take(record)


def _no() -> bool:
    return False


class Watch:
    """Follows, in a thread, what comes to the partitions that are ours."""

    def __init__(
        self, reading: Reading, handover: Handover, on_read: Callable[[list[tuple[int, LogRecord]]], None]
    ) -> None:
        self._reading = reading
        self._handover = handover
        self._on_read = on_read
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="cursors", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop following, soon."""
        self._stopping.set()

    def _follow(self) -> None:
        while not self._stopping.is_set():
            if found := self._reading.poll():
                self._handover.call(partial(self._on_read, found))
        self._reading.close()


def _record(message: Message) -> tuple[int, LogRecord]:
    writer = NOBODY
    for name, value in cast(list[tuple[str, bytes | None]], message.headers() or []):
        if name == WRITER:
            try:
                writer = read_writer(value or b"")
            except ValueError:
                break  # not of our making: it counts for nobody
    return message.partition() or 0, LogRecord(writer, message.key() or b"", message.value())
