"""Reads again what was passed over for lanes that are behind, as soon as they have room: one scan a partition."""

import asyncio
from collections.abc import Callable
from typing import Final

from processors.intake import Taken
from processors.lanes.lane import Lane, LaneId, Share
from processors.lanes.memory import Memory
from processors.lanes.scanner import Scan, Scanner, Want

_WORTH_A_PASS: Final = 64  # records


class Rereading:
    """Asks the scanner, and lets what it finds into the lanes."""

    def __init__(
        self, scanner: Scanner, memory: Memory, *, queue: Callable[[Lane, Taken], None], on_read: Callable[[Lane], None]
    ) -> None:
        """Prepare; `queue` gets each record found, `on_read` each lane that was looked at."""
        self._scanner = scanner
        self._memory = memory
        self._queue = queue
        self._on_read = on_read

    def if_wanted(self, lane: Lane) -> None:
        """Read on for a lane soon, if it wants it."""
        if lane.is_behind and self._memory.wants_more(lane):
            self.soon(lane.share)

    def soon(self, share: Share) -> None:
        """Read on for all lanes of a partition that want it, when all that ask in this turn of the loop have asked."""
        if not share.is_scanning and not share.dropped:
            share.is_scanning = True
            asyncio.get_running_loop().call_soon(self._scan, share)

    def _scan(self, share: Share) -> None:
        share.is_scanning = False
        if share.dropped:
            return
        wanting = [lane for lane in share.behind.values() if self._memory.wants_more(lane)]
        wants: dict[LaneId, Want] = {
            lane.id: Want(lane.position, self._memory.room(lane) - len(lane.queue), self._memory.room_bytes(lane))
            for lane in wanting
        }
        if wants:
            share.is_scanning = True
            end = max(lane.last for lane in wanting) + 1
            scan = Scan(share.tp.topic, share.tp.partition, end, wants)
            began = asyncio.get_running_loop().time()
            self._scanner.scan(scan, lambda done: self._take(share, done, began))

    def _take(self, share: Share, scan: Scan, began: float) -> None:
        if share.dropped:
            return
        found = sum(len(want.found) for want in scan.wants.values())
        if found < _WORTH_A_PASS:
            # Lanes that take one record at a time (parked keys, suspects) would have the same range read back to back,
            # and the interpreter's lock with it: no more than half of the time is read for them.
            loop = asyncio.get_running_loop()
            loop.call_at(2 * loop.time() - began, self._rest, share)
        else:
            share.is_scanning = False
        self._refill_all(share, scan)

    def _rest(self, share: Share) -> None:
        share.is_scanning = False
        self._go_on(share)

    def _refill_all(self, share: Share, scan: Scan) -> None:
        for lane_id, want in scan.wants.items():
            lane = share.behind.get(lane_id)
            if lane is not None and lane.is_missing and lane.position == want.position:
                self._refill(lane, want)
        self._go_on(share)

    def _go_on(self, share: Share) -> None:
        if any(self._memory.wants_more(lane) for lane in share.behind.values()):
            self.soon(share)

    def _refill(self, lane: Lane, want: Want) -> None:
        lane.position = want.covered
        if lane.position > lane.last:
            lane.is_missing = False
            lane.position = lane.last + 1
        for taken in want.found:
            if taken.position.offset <= lane.last:  # what comes later of a parked key, its subscription hands over
                self._queue(lane, taken)
        self._on_read(lane)
