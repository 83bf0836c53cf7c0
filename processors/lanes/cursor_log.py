"""Claims, writes and watches the partitions of `hookline.behind` that belong to this worker's."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeVar
from weakref import WeakValueDictionary

import structlog

from processors.errors import WorkerError
from processors.lanes.cursor_reading import Reading, Watch
from processors.lanes.cursors import CLAIM_KEY, Folded, LogRecord, Writer
from producers.errors import ProducingError
from producers.handover import Handover, LoopProducer
from producers.records import Outgoing
from schemas.codec import encode
from schemas.headers import writer_header
from schemas.records import Claim, Cursor
from schemas.topics import BEHIND

log = structlog.get_logger("processors.lanes")

_READ_WITHIN_S: Final = 20.0
_READ_BACK_WITHIN_S: Final = 60.0  # longer than brokers restart; a reader that stands still must not go unnoticed
_MOST_CLAIMS: Final = 5  # two who claim at the same time; more than a few would be a bug

Cursors = dict[int, dict[bytes, Cursor]]
R = TypeVar("R")


@dataclass(eq=False, slots=True)
class _Tenure:
    """From one taking over to the next: by which claims we write, and what."""

    writers: dict[int, Writer] = field(default_factory=dict)
    written: dict[int, dict[bytes, bytes]] = field(default_factory=dict)  # the last of each key, unless it is null
    locks: WeakValueDictionary[tuple[int, bytes], asyncio.Lock] = field(default_factory=WeakValueDictionary)
    unread: dict[tuple[int, bytes], tuple[bytes | None, asyncio.Future[bool]]] = field(default_factory=dict)
    watch: Watch | None = None


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
        """Prepare. `on_superseded` hears that we cannot go on with what we hold, another having claimed it: we end."""
        self._config = {
            **client_config,
            "group.id": "hookline-cursors",  # never joined, nothing committed
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 50,
        }
        self._producer = producer
        self._handover = handover
        self._on_superseded = on_superseded
        self._topic = topic
        self._tenure = _Tenure()
        self._taking_over = asyncio.Lock()
        self._again: set[asyncio.Task[None]] = set()

    async def take_over(self, partitions: Iterable[int], *, is_ours: Callable[[], bool] = lambda: True) -> Cursors:
        """Claim these partitions and no others, and return the cursors that stand there now.

        What an earlier holder wrote after losing them is written over. `is_ours` is asked right before claiming: when
        they were taken from us meanwhile, or the next taking over or letting go came before it was done, there are
        none. Raises WorkerError when it is not done within 20 s.
        """
        self.let_go()
        tenure = self._tenure
        numbers = sorted(partitions)
        began = time.monotonic()
        async with self._taking_over:  # two at a time would claim against each other
            found = await self._within(self._claimed(tenure, numbers, is_ours))
        for partition, folded in found.items():
            keys = folded.overwritten - {CLAIM_KEY}
            await self._within(self._put_all(tenure, partition, keys))
        if tenure is not self._tenure:
            return {}
        log.info(
            "cursors.loaded",
            partitions=len(numbers),
            cursors=sum(len(folded.cursors) for folded in found.values()),
            duration_ms=round((time.monotonic() - began) * 1000),
        )
        return {partition: folded.cursors for partition, folded in found.items()}

    def let_go(self) -> None:
        """Write and watch no more: the partitions may be somebody else's."""
        tenure, self._tenure = self._tenure, _Tenure()
        if tenure.watch is not None:
            tenure.watch.stop()
        for _, seen in tenure.unread.values():
            if not seen.done():
                seen.set_result(False)

    async def save(self, partition: int, key: bytes, cursor: Cursor | None) -> bool:
        """Write a cursor, None when the lane is live again; return when it is in the log and counts.

        That the brokers have it is not enough: another's claim may stand before it, and then the next owner ignores
        it. So it is read back. False: the partition is not ours (any more), and nothing may be built on what was
        written.
        """
        tenure = self._tenure
        if partition not in tenure.writers:
            return False
        value = None if cursor is None else encode(cursor)
        async with tenure.locks.setdefault((partition, key), asyncio.Lock()):  # an older one must not come after it
            if value is None:
                tenure.written[partition].pop(key, None)
            else:
                tenure.written[partition][key] = value
            return await self._put(tenure, partition, key)

    async def _put(self, tenure: _Tenure, partition: int, key: bytes) -> bool:
        """Write what a key's cursor is now and read it back. Whoever calls it has the key's lock."""
        if tenure is not self._tenure:
            return False
        value = tenure.written[partition].get(key)
        seen: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        tenure.unread[partition, key] = value, seen
        try:
            headers = [writer_header(*tenure.writers[partition])]
            await self._producer.send([Outgoing(self._topic, key, value, headers, partition)])
            return await asyncio.wait_for(seen, _READ_BACK_WITHIN_S)
        except TimeoutError:
            self._give_up(tenure, f"what was written to {self._topic} was not read back in {_READ_BACK_WITHIN_S:g} s")
            return False
        finally:
            del tenure.unread[partition, key]

    async def _put_again(self, tenure: _Tenure, partition: int, key: bytes) -> None:
        async with tenure.locks.setdefault((partition, key), asyncio.Lock()):
            await self._put(tenure, partition, key)

    async def _put_all(self, tenure: _Tenure, partition: int, keys: Iterable[bytes]) -> None:
        await asyncio.gather(*(self._put_again(tenure, partition, key) for key in keys))

    async def _within(self, work: Awaitable[R]) -> R:
        try:
            return await asyncio.wait_for(work, _READ_WITHIN_S + 1)  # the reading says better what is wrong
        except TimeoutError as error:
            raise WorkerError(f"the cursors on {self._topic} were not taken over in {_READ_WITHIN_S:g} s") from error
        except ProducingError as error:
            raise WorkerError(f"cannot write to {self._topic}: {error}") from error

    async def _claimed(self, tenure: _Tenure, numbers: list[int], is_ours: Callable[[], bool]) -> dict[int, Folded]:
        """Read to the end, claim, read on until our claims are there, count and are the last."""
        if not numbers or tenure is not self._tenure:
            return {}
        name = uuid.uuid4().hex
        reading = Reading(self._config, self._topic, numbers, is_wanted=lambda: tenure is self._tenure)
        watch: Watch | None = None
        try:
            deadline = time.monotonic() + _READ_WITHIN_S
            await reading.to_the_end(deadline)
            for _ in range(_MOST_CLAIMS):
                epochs = {each: _epoch_to_claim(reading.folded[each], name) for each in numbers}
                claims = [self._claim(each, epoch, name) for each, epoch in epochs.items() if epoch is not None]
                if tenure is not self._tenure or not is_ours():
                    return {}
                if not claims:
                    break
                await self._producer.send(claims)
                await reading.to_the_end(deadline)
            else:
                raise WorkerError(
                    f"another worker claims partitions of {self._topic} at the same time, again and again"
                )
            for number, folded in reading.folded.items():
                tenure.writers[number] = folded.writer
                tenure.written[number] = {key: encode(cursor) for key, cursor in folded.cursors.items()}
            tenure.watch = watch = Watch(reading, self._handover, partial(self._on_read, tenure))
            return reading.folded
        finally:
            if watch is None:
                reading.close()

    def _claim(self, partition: int, epoch: int, name: str) -> Outgoing:
        value = encode(Claim(writer=name, epoch=epoch, since=datetime.now(UTC)))
        return Outgoing(self._topic, CLAIM_KEY, value, [writer_header(epoch, name)], partition)

    def _on_read(self, tenure: _Tenure, records: list[tuple[int, LogRecord]]) -> None:
        """Hear, on the loop, what has come to our partitions: our own records and others'."""
        for partition, record in records:
            if tenure is not self._tenure:
                return
            if record.writer == tenure.writers[partition]:
                value, seen = tenure.unread.get((partition, record.key), (b"", None))
                if seen is not None and value == record.value and not seen.done():
                    seen.set_result(True)
            elif record.writer > tenure.writers[partition]:
                self._give_up(tenure, f"another worker has claimed partition {partition} of {self._topic}")
            else:
                self._overwrite(tenure, partition, record)

    def _overwrite(self, tenure: _Tenure, partition: int, record: LogRecord) -> None:
        """Write again what one who lost the partition wrote late: compaction would keep his record in place of ours."""
        log.warning("cursors.written_late", partition=partition, key=record.key.decode(errors="replace"))
        if record.key == CLAIM_KEY:
            again = self._producer.send([self._claim(partition, *tenure.writers[partition])])
        else:
            again = self._put_again(tenure, partition, record.key)
        task = asyncio.ensure_future(again)
        self._again.add(task)
        task.add_done_callback(partial(self._on_written_again, tenure))

    def _on_written_again(self, tenure: _Tenure, task: asyncio.Task[None]) -> None:
        self._again.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._give_up(tenure, f"cannot write to {self._topic}: {error}")

    def _give_up(self, tenure: _Tenure, why: str) -> None:
        if tenure is self._tenure:
            self.let_go()
            self._on_superseded(WorkerError(why))


def _epoch_to_claim(folded: Folded, name: str) -> int | None:
    """Return the epoch of the claim to write: a higher one, or our own again to stand last; None when all is well."""
    epoch, writer = folded.writer
    if writer != name:
        return epoch + 1
    return epoch if CLAIM_KEY in folded.overwritten else None
