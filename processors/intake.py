"""What an agent takes: worked off in bounded tasks, acked as far as everything before is done.

The rules of FAUST.md in one place. An agent never waits (F10): it only queues. What a body raises is no reason to lose
a record (F2). Only the completed prefix of a partition is acked (F1), per generation of the group's assignment.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog
from faust.types import TP

from processors.acks import CompletedPrefix
from schemas.records import Position

log = structlog.get_logger("processors.intake")

_SMALLEST_SHARE: Final = 1024 * 1024  # bytes that a partition may hold, however much the others do
_RESUME_BELOW: Final = 0.5  # of the bounds: with less, a paused partition could run dry before the next poll


@dataclass(frozen=True, slots=True)
class Taken:
    """A record as it came: bytes untouched. `timestamp_s` is its Kafka timestamp, in seconds since 1970."""

    position: Position
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    timestamp_s: float


class Flow(Protocol):
    """How a partition is stopped and started: Faust's consumer, whose own buffers use the same two calls."""

    def on_buffer_full(self, tp: TP) -> None:
        """Fetch no more of this partition; what was fetched still comes."""

    def on_buffer_drop(self, tp: TP) -> None:
        """Fetch it again."""


class Event(Protocol):
    """The part of Faust's event that is used here."""

    @property
    def message(self) -> "Message":
        """The record."""

    def ack(self) -> bool:
        """Let the consumer commit past the record, if all before it are acked."""


class Message(Protocol):
    """The part of Faust's message that is used here."""

    topic: str
    partition: int
    offset: int
    timestamp: float | None
    headers: object
    key: bytes | None
    value: bytes | None
    generation_id: int | None


@dataclass(slots=True)
class _Share:
    """One partition in one generation: its tracker, and how much of it is held in memory."""

    tp: TP
    acks: CompletedPrefix[Event]
    next_offset: int = 0
    records: int = 0
    bytes: int = 0
    paused: bool = False
    dropped: bool = False


@dataclass(slots=True)
class _Queue:
    """Records that have not begun and whose turns are one, in the order in which they came."""

    turn: Hashable
    records: deque[tuple[Taken, _Share]] = field(default_factory=deque)


class Intake:
    """Takes a stream's events and works them off."""

    def __init__(
        self,
        work: Callable[[Taken], Awaitable[None]],
        *,
        flow: Callable[[], Flow],
        most_at_once: int,
        most_records: int,
        most_bytes: int,
        most_bytes_in_all: int | None = None,
        turn_of: Callable[[Taken], Hashable] | None = None,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """Prepare.

        `work` does one record and returns when its consequences are durable; what it raises is handed to `on_failure`,
        which ends the process, and the record is read again. `most_at_once` bounds the tasks; `most_records` and
        `most_bytes`, per partition, what is held in memory; `most_bytes_in_all` that of all together, of which a
        partition may hold as much as is free: one busy partition half of it, and any always _SMALLEST_SHARE. Records
        begin in turns: one of each partition, or of each different `turn_of`; those with one turn begin in the order in
        which they came.
        """
        self._work = work
        self._flow = flow
        self._most_at_once = most_at_once
        self._most_records = most_records
        self._most_bytes = most_bytes
        self._most_bytes_in_all = most_bytes_in_all
        self._bytes = 0
        self._on_failure = on_failure
        self._shares: dict[TP, _Share] = {}
        self._turn_of = turn_of
        self._queues: dict[Hashable, _Queue] = {}  # those with records
        self._turns: deque[_Queue] = deque()  # the same, whose turn is next first
        self._waiting = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._generation: int | None = -1
        self._accepting = True
        self.finished = 0

    @property
    def in_flight(self) -> int:
        """How many records are being worked off."""
        return len(self._tasks)

    @property
    def waiting(self) -> int:
        """How many records are queued in memory."""
        return self._waiting

    def take(self, event: Event) -> None:
        """Queue one event; never waits."""
        message = event.message
        if not self._accepting:
            return
        if message.generation_id != self._generation:
            self._begin_generation(message.generation_id)
        share = self._share_of(message)
        if message.offset < share.next_offset:
            return  # Faust seeks back to what is committed when its flow was stopped: this one is with us already
        share.next_offset = message.offset + 1
        value = message.value
        share.acks.begin(message.offset, event)
        taken = taken_of(message)
        share.records += 1
        share.bytes += len(value or b"")
        self._bytes += len(value or b"")
        if share.records >= self._most_records or share.bytes >= self._most_bytes_of_one():
            share.paused = True
            self._flow().on_buffer_full(share.tp)
        self._enqueue(taken, share)
        self._start_tasks()

    async def stop(self, within_s: float) -> int:
        """Take nothing more, drop what has not begun, let the rest end; return how many were cut off."""
        self._accepting = False
        self._forget_queues()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within_s)
        cut = len(self._tasks)
        for task in tuple(self._tasks):
            task.cancel()
        return cut

    def _begin_generation(self, generation: int | None) -> None:
        """Forget the partitions of the last assignment: what of them is not acked comes again, to whoever has them."""
        self._generation = generation
        for share in self._shares.values():
            share.dropped = True
        self._shares.clear()
        self._bytes = 0
        self._forget_queues()

    def _share_of(self, message: Message) -> _Share:
        # Not the message's own `tp`: aiokafka's class equals Faust's and hashes like it, but once it is among Faust's
        # active partitions an assertion of Faust's ends the consumer (measured, at the first partition that resumed).
        tp = TP(message.topic, message.partition)
        share = self._shares.get(tp)
        if share is None:
            share = _Share(tp, CompletedPrefix())
            self._shares[tp] = share
        return share

    def _start_tasks(self) -> None:
        while self._turns and len(self._tasks) < self._most_at_once:
            task = asyncio.create_task(self._work_off(*self._next()))
            self._tasks.add(task)
            task.add_done_callback(self._on_done)

    def _enqueue(self, taken: Taken, share: _Share) -> None:
        turn = share.tp if self._turn_of is None else self._turn_of(taken)
        queue = self._queues.get(turn)
        if queue is None:
            queue = self._queues[turn] = _Queue(turn)
            self._turns.append(queue)
        queue.records.append((taken, share))
        self._waiting += 1

    def _next(self) -> tuple[Taken, _Share]:
        """Take out the next record, of whoever's turn it is: thousands of one would hold up all others.

        The watchdog would end a worker in which a partition waits for longer than it has patience.
        """
        queue = self._turns.popleft()
        taken, share = queue.records.popleft()
        self._waiting -= 1
        if queue.records:
            self._turns.append(queue)
        else:
            del self._queues[queue.turn]
        return taken, share

    def _forget_queues(self) -> None:
        self._queues.clear()
        self._turns.clear()
        self._waiting = 0

    async def _work_off(self, taken: Taken, share: _Share) -> None:
        await self._work(taken)
        self.finished += 1
        share.records -= 1
        share.bytes -= len(taken.value or b"")
        if share.dropped:
            return  # the partition was taken from us meanwhile: the next holder finds the outcome in its skip set
        self._bytes -= len(taken.value or b"")
        for event in share.acks.complete(taken.position.offset):
            event.ack()
        if share.paused and self._is_below_bounds(share):
            share.paused = False
            self._flow().on_buffer_drop(share.tp)

    def _is_below_bounds(self, share: _Share) -> bool:
        most_bytes = self._most_bytes_of_one()
        return share.records <= self._most_records * _RESUME_BELOW and share.bytes <= most_bytes * _RESUME_BELOW

    def _most_bytes_of_one(self) -> int:
        if self._most_bytes_in_all is None:
            return self._most_bytes
        return min(self._most_bytes, max(_SMALLEST_SHARE, self._most_bytes_in_all - self._bytes))

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failure(error)
        self._start_tasks()


def taken_of(message: Message) -> Taken:
    """Return Faust's message as the record that it is."""
    return Taken(
        position=Position(topic=message.topic, partition=message.partition, offset=message.offset),
        key=message.key,
        value=message.value,
        headers=_headers_of(message.headers),
        timestamp_s=message.timestamp or 0.0,  # None: written by a client older than Kafka 0.10
    )


def _headers_of(headers: object) -> list[tuple[str, bytes]]:
    """Return a message's headers as a list: Faust hands over a list of pairs, a mapping or None."""
    if not headers:
        return []
    pairs = headers.items() if isinstance(headers, dict) else headers
    return [(name, value or b"") for name, value in pairs]  # type: ignore[attr-defined]  # Faust leaves it untyped
