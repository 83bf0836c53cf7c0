"""One subscription's records of one partition, or those of one parked key: what is queued, open and behind."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from faust.types import TP

from processors.acks import CompletedPrefix
from processors.intake import Event, Taken
from processors.lanes.gate import Gate, Reason
from schemas.headers import ORDERING_KEY, TEST
from schemas.ids import OrganizationId, SubscriptionId
from schemas.records import Cursor, Ordering, PastAttempt

LaneId = tuple[bytes, str | None]  # the record's key, which is the subscription's id, and of a parked lane the event's
_MOST_LOOKED_AT: Final = 256  # queued records of a subscription ordered by key, to find one whose key is free


@dataclass(slots=True, eq=False)
class Share:
    """One partition in one generation of the group's assignment."""

    tp: TP
    acks: CompletedPrefix[Event] = field(default_factory=CompletedPrefix)
    lanes: dict[LaneId, "Lane"] = field(default_factory=dict)
    behind: dict[LaneId, "Lane"] = field(default_factory=dict)  # those of `lanes` that have a cursor
    next_offset: int = 0
    has_begun: bool = False  # whether a record came in this generation
    begins_at: int = 0  # what is before is not coming: it is committed
    parked: Counter[bytes] = field(default_factory=Counter)  # by subscription, how many of them are a key's
    bytes: int = 0
    is_paused: bool = False
    is_scanning: bool = False
    dropped: bool = False

    def complete(self, offset: int) -> None:
        """Ack a record as far as everything before it is done."""
        for event in self.acks.complete(offset):
            self.bytes -= len(event.message.value or b"")
            event.ack()


@dataclass(slots=True, eq=False)
class Running:
    """An attempt that is open, or waits for its outcome to be recorded.

    What it began as it ends as, whatever its subscription's `ordering` says by then.
    """

    lane: "Lane"
    taken: Taken
    began_at: float
    is_live: bool  # whether it has a place in the live pool
    key: str | None = None  # ordered by key: nothing else of it begins
    is_head: bool = False  # its lane goes one by one: the lane knows its attempts
    is_test: bool = False  # a test send: beside all order
    is_done: bool = False


@dataclass(slots=True, eq=False)
class Lane:
    """What one subscription has in one partition. It is live, or it is behind: then it has a cursor.

    While it is live its records hold the partition's acks. While it is behind, all that is unfinished is the cursor's:
    nothing is held. `leaving` is between: new records are live, and the cursor stays until the last older one is done.
    """

    id: LaneId
    share: Share
    gate: Gate
    subscription_id: SubscriptionId
    organization: OrganizationId
    ordering: Ordering
    queue: deque[tuple[Taken, float]] = field(default_factory=deque)  # with the moment it came, monotonic
    queued_bytes: int = 0
    running: dict[int, Running] = field(default_factory=dict)
    held: set[int] = field(default_factory=set)  # offsets whose acks are still due
    tested: set[int] = field(default_factory=set)  # test sends that began before what stands before them
    last: int = -1  # the highest offset known
    position: int = 0  # behind: from here on records were passed over; only while `is_missing`
    is_missing: bool = False
    is_behind: bool = False
    is_durable: bool = False  # the cursor's first record is with the brokers
    is_leaving: bool = False
    reason: Reason = Reason.FULL
    since: datetime | None = None
    saved: Cursor | None = None
    attempt: int = 1  # of an ordered one: what comes next for the record at the head
    history: tuple[PastAttempt, ...] = ()
    not_before: datetime | None = None
    waker: asyncio.TimerHandle | None = None
    in_turn: bool = False
    waits_for_gate: bool = False

    @property
    def is_cursors(self) -> bool:
        """Return whether new records are the cursor's."""
        return self.is_behind and not self.is_leaving

    @property
    def is_one_by_one(self) -> bool:
        """Return whether nothing begins before what stands before it has ended well."""
        return self.id[1] is not None or self.ordering is Ordering.STRICT

    @property
    def is_busy(self) -> bool:
        """Return whether anything is open that others must wait for."""
        return any(not running.is_test for running in self.running.values())

    @property
    def is_empty(self) -> bool:
        """Return whether nothing of it is left to do."""
        return not (self.queue or self.running or self.is_missing)

    def queue_up(self, taken: Taken, at: float) -> None:
        """Put a record at the end."""
        self.queue.append((taken, at))
        self.queued_bytes += len(taken.value or b"")

    def queue_first(self, taken: Taken, at: float) -> None:
        """Put a record back at the head."""
        self.queue.appendleft((taken, at))
        self.queued_bytes += len(taken.value or b"")

    def take_next(self) -> Taken | None:
        """Take out the record that may begin next; None when all wait for others of their keys."""
        if self.id[1] is not None or self.ordering is not Ordering.PER_KEY:
            return self._take_out(0)
        busy = {running.key for running in self.running.values()}
        for index in range(min(len(self.queue), _MOST_LOOKED_AT)):
            key = ordering_key(self.queue[index][0])
            if key is None or key not in busy:
                return self._take_out(index)
            # What stands behind it of the same key waits as well, so nothing is overtaken.
        return None

    def cut(self, most: int) -> None:
        """Keep the first `most` queued records and read the others again when they can be sent; behind only."""
        while len(self.queue) > most:
            taken, _ = self.queue.pop()
            self.queued_bytes -= len(taken.value or b"")
            self.position = taken.position.offset
            self.is_missing = True

    def lowest_unfinished(self) -> int:
        """Return the offset that a cursor must name: all before it is finished."""
        offsets = [offset for offset in self.running if not (self.is_leaving and offset in self.held)]
        if self.queue and not self.is_leaving:
            offsets.append(self.queue[0][0].position.offset)
        if self.is_missing:
            offsets.append(self.position)
        return min(offsets, default=self.last + 1)

    def cursor(self, topic: str) -> Cursor:
        """Return the cursor as it stands now."""
        return Cursor(
            topic=topic,
            subscription_id=self.subscription_id,
            organization_id=self.organization,
            next=self.lowest_unfinished(),
            reason=self.reason,
            since=self.since or datetime.now(UTC),
            key=self.id[1],
            not_before=self.not_before,
            attempt=self.attempt,
            history=self.history,
        )

    def stop_holding(self, offset: int) -> bool:
        """Hold a record's ack no longer; return whether it was held, and is to be given now."""
        if offset not in self.held:
            return False
        self.held.discard(offset)
        return True

    def let_ack(self, offset: int) -> None:
        """Let a record that is the cursor's be acked, as soon as the cursor is with the brokers."""
        if self.is_durable and self.is_cursors:
            self.share.complete(offset)
        else:
            self.held.add(offset)

    def let_acks_go(self) -> None:
        """Ack all that was held: the cursor is with the brokers, and below all of it."""
        held, self.held = sorted(self.held), set()
        for offset in held:
            self.share.complete(offset)

    def wake_at(self, at: float, call: "Callable[[Lane], None]") -> None:
        """Have `call` get this lane at a moment of the loop's clock, in place of any other."""
        self.disarm()
        self.waker = asyncio.get_running_loop().call_at(at, call, self)

    def disarm(self) -> None:
        """Let nothing call."""
        if self.waker is not None:
            self.waker.cancel()
            self.waker = None

    def _take_out(self, index: int) -> Taken:
        if index == 0:
            taken, _ = self.queue.popleft()
        else:
            taken, _ = self.queue[index]
            del self.queue[index]
        self.queued_bytes -= len(taken.value or b"")
        return taken


def ordering_key(taken: Taken) -> str | None:
    """Return the event's key of a delivery record, from its headers; None without one."""
    value = _header(taken, ORDERING_KEY)
    return None if value is None else value.decode(errors="replace")


def is_test(taken: Taken) -> bool:
    """Return whether a delivery record is a test send, which waits for nothing."""
    return _header(taken, TEST) is not None


def _header(taken: Taken, wanted: str) -> bytes | None:
    for name, value in taken.headers:
        if name == wanted:
            return value
    return None
