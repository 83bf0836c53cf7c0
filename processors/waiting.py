"""Where the mover's records wait in memory: by time, bounded, and per partition what may be committed. Does no I/O."""

import heapq
import itertools
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from processors.acks import CompletedPrefix
from processors.retries import MOST_JITTER
from producers.records import Outgoing
from schemas.waits import largest_tier_within

RECORD_BYTES: Final = 1200  # what a waiting record costs beside its value: measured 1.1–1.2 KB with key and 3 headers
_SMALLEST_SHARE: Final = 256 * 1024  # bytes that every partition may hold, however full the room is
_STAYS_WITHIN: Final = MOST_JITTER  # of its tier's wait; nobody behind it waits for longer than that either
_RESUME_BELOW: Final = 0.5  # of a bound: with more, a partition would be stopped and started for every record


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may wait in memory: records of one partition, and bytes of all together.

    Records count until they can be committed, so those finished behind an unfinished one count too.
    """

    records: int = 20_000
    bytes: int = 64 * 1024 * 1024  # M: 192 MB of them cost the process 366 MB with 500,000 waiting


@dataclass(slots=True, eq=False)
class Share:
    """One partition of a waiting tier while it is assigned to us; `finished` lists what an earlier holder moved on."""

    topic: str
    partition: int
    wait: timedelta
    finished: frozenset[int] = frozenset()
    prefix: CompletedPrefix[None] = field(default_factory=CompletedPrefix)
    bytes: int = 0
    paused: bool = False
    closed: bool = False
    uncommitted: bool = False


@dataclass(slots=True, eq=False)
class Waiting:
    """A record that waits: `at` is when something must be done about it, `due_at` when it may be delivered (Unix s)."""

    share: Share
    offset: int
    at: float
    due_at: float
    record: Outgoing

    @property
    def bytes(self) -> int:
        """What it costs in memory, about."""
        return RECORD_BYTES + len(self.record.value or b"")


def released_at(due_at: float, *, appended_at: float, wait: timedelta) -> float:
    """Return when a record leaves its tier: when it is due, or when the tier's wait is over, should that be earlier.

    With up to _STAYS_WITHIN of the wait more, it stays until it is due: jitter must not send it through the shorter
    tiers (of 24 h, 4 % are 58 minutes: 9 hops).
    """
    wait_s = wait.total_seconds()
    return due_at if due_at <= appended_at + wait_s * (1 + _STAYS_WITHIN) else appended_at + wait_s


def next_tier(due_at: float, now: float, tiers: Sequence[timedelta]) -> timedelta | None:
    """Return the tier where a record released early goes on waiting; None when what remains is shorter than any."""
    return largest_tier_within(timedelta(seconds=due_at - now), tiers)


class WaitingRoom:
    """Holds what waits. Each record goes through `admit`, `take_due`, and `finish` (or `put_back`, then again)."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._shares: dict[tuple[str, int], Share] = {}
        self._by_time: list[tuple[float, int, Waiting]] = []
        self._numbers = itertools.count()  # of two records of one time, the one that came first goes first
        self._under_way: OrderedDict[Waiting, None] = OrderedDict()  # taken and not finished, the oldest first
        self._bytes = 0

    def __len__(self) -> int:
        """Return how many records are here, those under way included."""
        return sum(share.prefix.unfinished for share in self._shares.values())

    @property
    def under_way(self) -> int:
        """How many records were taken and are not finished."""
        return len(self._under_way)

    @property
    def next_at(self) -> float | None:
        """When there is next something to do, None when nothing waits."""
        return self._by_time[0][0] if self._by_time else None

    def overdue_s(self, now: float) -> float:
        """Return for how long the record that has waited longest past its time has done so; 0 when none has."""
        taken = next(iter(self._under_way)).at if self._under_way else now
        waiting = self._by_time[0][0] if self._by_time else now
        return max(0.0, now - min(taken, waiting))

    def open(self, share: Share) -> None:
        """Begin with a partition that was assigned to us; what was known of it from an earlier assignment goes."""
        self.close([(share.topic, share.partition)])
        self._shares[share.topic, share.partition] = share

    def close(self, partitions: Iterable[tuple[str, int]]) -> None:
        """Forget partitions that are ours no more, with their records: whoever has them next reads them again."""
        gone = [self._shares.pop(partition) for partition in partitions if partition in self._shares]
        if not gone:
            return
        for share in gone:
            share.closed = True
            self._bytes -= share.bytes
        self._by_time = [entry for entry in self._by_time if not entry[2].share.closed]
        heapq.heapify(self._by_time)
        self._under_way = OrderedDict((waiting, None) for waiting in self._under_way if not waiting.share.closed)

    def share_of(self, topic: str, partition: int) -> Share | None:
        """Return an assigned partition, None when it is not ours."""
        return self._shares.get((topic, partition))

    def __iter__(self) -> Iterator[Share]:
        return iter(list(self._shares.values()))

    def skip(self, share: Share, offset: int) -> None:
        """Note that a record needs nothing from us."""
        share.prefix.begin(offset, None)
        share.prefix.complete(offset)
        share.uncommitted = True

    def admit(self, waiting: Waiting) -> None:
        """Let a record wait until its `at`."""
        waiting.share.prefix.begin(waiting.offset, None)
        waiting.share.bytes += waiting.bytes
        self._bytes += waiting.bytes
        self._push(waiting, waiting.at)

    def take_due(self, now: float, *, most: int) -> list[Waiting]:
        """Take out up to `most` records whose time has come, in the order of their times."""
        taken: list[Waiting] = []
        while self._by_time and self._by_time[0][0] <= now and len(taken) < most:
            waiting = heapq.heappop(self._by_time)[2]
            self._under_way[waiting] = None
            taken.append(waiting)
        return taken

    def wait_on(self, waiting: Waiting, at: float) -> None:
        """Let a record that was taken out wait on: it was not due yet."""
        self._under_way.pop(waiting, None)
        waiting.at = at
        self._push(waiting, at)

    def put_back(self, waiting: Waiting, at: float) -> None:
        """Have a record that could not be moved taken again at `at`; it counts as overdue all the while."""
        if not waiting.share.closed:
            self._push(waiting, at)

    def finish(self, waiting: Waiting) -> None:
        """Note that a record is safely elsewhere; of a partition that is ours no more, this means nothing."""
        if waiting.share.closed:
            return
        self._under_way.pop(waiting, None)
        waiting.share.prefix.complete(waiting.offset)
        waiting.share.bytes -= waiting.bytes
        self._bytes -= waiting.bytes
        waiting.share.uncommitted = True

    def is_full(self, share: Share) -> bool:
        """Return whether a partition holds as much as it may: no more of it should be read."""
        return self._fills(share, 1.0)

    def has_space(self, share: Share) -> bool:
        """Return whether a partition that was full may be read again."""
        return not self._fills(share, _RESUME_BELOW)

    def _fills(self, share: Share, part: float) -> bool:
        # A partition may hold as many bytes as are free: one busy partition half the room, n of them 1/(n+1) each,
        # and the others always find some (dynamic thresholds of switch buffers, Choudhury and Hahne 1998).
        most_bytes = max(_SMALLEST_SHARE, self._bounds.bytes - self._bytes)
        return len(share.prefix) >= part * self._bounds.records or share.bytes >= part * most_bytes

    def _push(self, waiting: Waiting, at: float) -> None:
        heapq.heappush(self._by_time, (at, next(self._numbers), waiting))
