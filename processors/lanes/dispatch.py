"""Takes one topic's delivery records and sends each when its lane may: nobody waits for somebody else's endpoint.

A subscription is live or behind (ISOLATION.md). Live, its records hold the partition's acks until they are done. When
it takes too long, is refused or has too much queued, it goes behind: a cursor on `hookline.behind` says where it
stands, its records are acked as they come, and what does not fit into memory is read again when there is room.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

from faust.types import TP

from processors.errors import WorkerError
from processors.intake import Event, Flow, Taken, taken_of
from processors.lanes.background import Background
from processors.lanes.bounds import Bounds
from processors.lanes.cursor_log import CursorLog
from processors.lanes.gate import Reason, Refusal
from processors.lanes.gates import Gates
from processors.lanes.lane import Lane, Running, Share, is_test, ordering_key
from processors.lanes.limits import Limits
from processors.lanes.memory import Memory
from processors.lanes.parking import follow, park, parked_of, waits_for_parked
from processors.lanes.pools import Pools
from processors.lanes.rereading import Rereading
from processors.lanes.roster import Roster, has_its_order
from processors.lanes.scanner import Scanner
from processors.lanes.standing import Standing
from processors.metrics import LANES_BEHIND
from processors.turn import Finish, Kept, NotOurs, Turn
from schemas.ids import SubscriptionId
from schemas.records import Cursor, Ordering, Subscription

_STARTED_A_TURN: Final = 8  # of the loop's turns: answers that have come are handled in between
_SWEEP_EVERY_S: Final = 0.25
_SAVE_EVERY_S: Final = 10.0  # the skip set knows what was finished in the last minute (processors/skipping.py)
_SAVED_WITHIN_S: Final = 5.0  # on the way out


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """What is known of the partitions of a topic when they are ours: cursors, and what is committed, by number."""

    cursors: dict[int, dict[bytes, Cursor]]
    committed: dict[int, int]


class Dispatcher:
    """Takes a topic's records from Faust and sends them. Lives on the event loop."""

    def __init__(
        self,
        topic: str,
        deliver: Callable[[Taken, Turn], Awaitable[Finish]],
        *,
        settings_of: Callable[[SubscriptionId], Subscription | None],
        flow: Callable[[], Flow],
        take_over: Callable[[int], Awaitable[Takeover]],
        gates: Gates,
        cursors: CursorLog,
        scanner: Scanner,
        limits: Limits,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """Prepare.

        `deliver` does one record and returns when its consequences are durable; what it raises goes to `on_failure`,
        which ends the process. `take_over` runs once a generation, before its first record is sent.
        """
        self.topic = topic
        self._deliver = deliver
        self._settings_of = settings_of
        self._take_over = take_over
        self._gates = gates
        self._roster = Roster(gates, settings_of)
        self._bounds = Bounds(limits, flow)
        self._limits = limits
        self._on_failure = on_failure
        self._background = Background(on_failure)
        self._memory = Memory(limits, settings_of)
        self._pools = Pools(live=limits.live, behind=limits.behind)
        self._standing = Standing(
            topic,
            cursors,
            self._pools,
            self._background,
            settings_of=settings_of,
            on_acked=lambda lane: self._bounds.start_if_free(lane.share),
            on_live=self._on_live,
        )
        self._rereading = Rereading(scanner, self._memory, queue=self._queue_read, on_read=self._on_read)
        self._unready: list[tuple[Share, Taken]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._generation = -1
        self._newest = -1
        self._is_ready = False
        self._accepting = True
        self._starting = False
        self._sweeper: asyncio.TimerHandle | None = None
        self._save_at = 0.0
        self.finished = 0

    @property
    def in_flight(self) -> int:
        """How many records are being worked off."""
        return len(self._tasks)

    @property
    def waiting(self) -> int:
        """How many records are queued in memory."""
        return sum(len(lane.queue) for lane in self._roster.lanes) + len(self._unready)

    # Assignments

    def begin(self, generation: int) -> None:
        """Begin with another assignment, unless it has begun; what of the last one is not acked comes again.

        One that was let go and is given back in the same generation goes to `on_failure`: a member that joins again
        while nobody else does keeps its number, and what is late of before could not be told from what comes again.
        """
        if 0 <= generation == self._newest and self._generation < 0 and self._accepting:
            self._on_failure(WorkerError(f"partitions of {self.topic} were taken and given back in one generation"))
        if generation <= self._newest or not self._accepting:
            return
        self.drop()
        self._generation = self._newest = generation
        self._background.run(self._get_ready(generation))

    def drop(self) -> None:
        """Let go of all partitions. What is open ends; nothing is acked, saved or begun any more."""
        self._generation = -1
        self._is_ready = False
        self._roster.clear()
        self._unready.clear()
        self._pools.clear()
        self._memory.bytes = 0
        LANES_BEHIND.labels(topic=self.topic).set(0)

    async def _get_ready(self, generation: int) -> None:
        found = await self._take_over(generation)
        if generation != self._generation:
            return
        for number, cursors in found.cursors.items():
            share = self._roster.share_of(TP(self.topic, number))
            share.begins_at = found.committed.get(number, 0)
            own = [cursor for cursor in cursors.values() if cursor.topic == self.topic]
            for cursor in sorted(own, key=lambda cursor: cursor.key is not None):
                self._restore(share, cursor)
        self._is_ready = True
        unready, self._unready = self._unready, []
        for share, taken in unready:
            self._admit(share, taken)
        self._sweep()

    def _restore(self, share: Share, cursor: Cursor) -> None:
        subscription = cursor.subscription_id.encode()
        lane = self._roster.new_lane(share, (subscription, cursor.key), cursor.organization_id)
        if cursor.attempt > 1:
            lane.ordering = Ordering.STRICT  # its head's next attempt is the lane's, whatever the settings say now
        own = None if cursor.key is None else share.behind.get((subscription, None))
        # What its subscription's own lane has not come to, that one hands over.
        self._standing.restore(lane, cursor, share.begins_at if own is None else own.position)
        self._rereading.if_wanted(lane)
        self._standing.leave_if_caught_up(lane)

    def _note_first(self, share: Share, offset: int) -> None:
        """Hear where the live end begins: lanes that were restored own everything of theirs before it."""
        share.has_begun = True
        for lane in share.behind.values():
            is_handed_over = lane.id[1] is not None and (lane.id[0], None) in share.behind
            if not is_handed_over and lane.last < offset - 1:
                if not lane.is_missing:
                    lane.is_missing, lane.position = True, lane.last + 1
                lane.last = offset - 1
                self._rereading.if_wanted(lane)

    # Taking

    def take(self, event: Event) -> None:
        """Take one event; never waits."""
        message = event.message
        if not self._accepting:
            return
        generation = message.generation_id or 0
        if generation != self._generation:
            if generation <= self._newest:
                return  # of an assignment that is over: what of it is not acked comes again, to whoever has it
            self.begin(generation)
        share = self._roster.share_of(TP(message.topic, message.partition))
        if message.offset < share.next_offset:
            return  # Faust seeks back to what is committed when its flow was stopped: this one is with us already
        share.next_offset = message.offset + 1
        share.acks.begin(message.offset, event)
        share.bytes += len(message.value or b"")
        self._bounds.stop_if_full(share)
        taken = taken_of(message)
        if self._is_ready:
            self._admit(share, taken)
        else:
            self._unready.append((share, taken))

    def _admit(self, share: Share, taken: Taken) -> None:
        """Let a record of the live end into its lane."""
        offset = taken.position.offset
        if not share.has_begun:
            self._note_first(share, offset)
        lane = self._roster.lane_of(share, taken)
        if offset < lane.position and not lane.is_missing:
            share.complete(offset)  # its cursor says that it is done
        elif is_test(taken):
            self._start_test(lane, taken)
        elif lane.is_missing:
            lane.last = offset  # it comes with what was passed over before it
            lane.let_ack(offset)
        else:
            self._append(lane, taken)

    def _start_test(self, lane: Lane, taken: Taken) -> None:
        """Start a test send past all that waits: somebody is looking at the answer."""
        offset = taken.position.offset
        lane.last = offset
        if not lane.is_missing:
            lane.position = offset + 1
        lane.tested.add(offset)
        lane.held.add(offset)
        self._start(Running(lane, taken, asyncio.get_running_loop().time(), is_live=True, is_test=True))

    def _append(self, lane: Lane, taken: Taken) -> None:
        offset, at = taken.position.offset, asyncio.get_running_loop().time()
        lane.last, lane.position = offset, offset + 1
        parked = parked_of(lane, taken)
        if parked is not None:
            follow(parked, taken, self._memory, at=at, is_live=True)
            self._offer(parked)
            return
        if not lane.is_cursors:
            lane.held.add(offset)
            self._memory.queue(lane, taken, at)
            if self._memory.is_overfull(lane):
                self._go_behind(lane, Reason.FULL)
        else:
            lane.let_ack(offset)
            if self._memory.has_room(lane):
                self._memory.queue(lane, taken, at)
            else:
                lane.is_missing, lane.position = True, offset
        self._offer(lane)

    def _queue_read(self, lane: Lane, taken: Taken) -> None:
        """Let a record that was read again into its lane, or after the others of its parked key."""
        at = asyncio.get_running_loop().time()
        if is_test(taken) and (lane.id[1] is not None or taken.position.offset in lane.tested):
            return  # its subscription's own lane has it, or had it
        parked = None if is_test(taken) else parked_of(lane, taken)
        if parked is None:
            self._memory.queue(lane, taken, at)
        else:
            follow(parked, taken, self._memory, at=at, is_live=False)
            self._offer(parked)

    def _on_read(self, lane: Lane) -> None:
        self._standing.leave_if_caught_up(lane)
        self._offer(lane)

    # Starting

    def _offer(self, lane: Lane) -> None:
        """Let a lane take its turn, if it has something to send."""
        if lane.queue and not lane.waits_for_gate and lane.waker is None:
            self._pools.offer(lane)
            self._start_some()

    def _start_some(self) -> None:
        """Start a few records, and the next few in the loop's next turn: answers that have come go between."""
        if self._starting or not self._is_ready or not self._accepting:
            return
        for _ in range(_STARTED_A_TURN):
            lane = self._pools.next()
            if lane is None:
                return
            if lane.queue and not lane.share.dropped:
                self._start_next_of(lane)
        self._starting = True
        asyncio.get_running_loop().call_soon(self._start_more)

    def _start_more(self) -> None:
        self._starting = False
        self._start_some()

    def _start_next_of(self, lane: Lane) -> None:
        """Start the next record of a lane, or see to it that the lane is offered again when it may have one."""
        now = asyncio.get_running_loop().time()
        settings = self._settings_of(lane.subscription_id)
        if not has_its_order(lane, settings) or waits_for_parked(lane):
            return  # it is offered again when what is open ends, or a key is not parked any more
        if lane.is_one_by_one and (lane.is_busy or self._waits_for_retry(lane, now)):
            return
        refusal = lane.gate.refusal(settings, now, most=self._limits.cap, behind=lane.is_behind)
        if refusal is not None:
            self._wait(lane, refusal)
            return
        taken = self._memory.take_next(lane)
        if taken is None:
            return
        key = ordering_key(taken) if lane.ordering is Ordering.PER_KEY else None
        is_head = lane.is_one_by_one
        self._start(Running(lane, taken, now, is_live=not lane.is_cursors, key=key, is_head=is_head))
        self._offer(lane)

    def _start(self, running: Running) -> None:
        lane = running.lane
        lane.running[running.taken.position.offset] = running
        lane.gate.begin(running.began_at, behind=lane.is_behind)
        self._pools.begin(running)
        task = asyncio.get_running_loop().create_task(self._work_off(running))
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    def _wait(self, lane: Lane, refusal: Refusal) -> None:
        if refusal.holds:
            self._go_behind(lane, refusal.reason)
        if refusal.until is not None:
            lane.wake_at(refusal.until, self._wake)
        elif refusal.reason is Reason.FULL and lane.gate.in_flight:
            lane.waits_for_gate = True
            self._gates.when_one_ends(lane.subscription_id, partial(self._go_on, lane))
        # A paused one is offered again by the sweep.

    def _go_on(self, lane: Lane) -> None:
        lane.waits_for_gate = False
        if not lane.share.dropped:
            self._offer(lane)

    def _waits_for_retry(self, lane: Lane, now: float) -> bool:
        if lane.not_before is None:
            return False
        remaining_s = (lane.not_before - datetime.now(UTC)).total_seconds()
        if remaining_s <= 0:
            return False
        lane.wake_at(now + remaining_s, self._wake)
        return True

    def _wake(self, lane: Lane) -> None:
        lane.disarm()
        if not lane.share.dropped:
            self._offer(lane)

    # Working off

    async def _work_off(self, running: Running) -> None:
        lane, taken = running.lane, running.taken
        turn = Turn(
            is_ours=lambda: not lane.share.dropped,
            is_ordered=running.is_head or running.key is not None,
            attempt=lane.attempt if running.is_head else 1,
            history=lane.history if running.is_head else (),
            is_expired=self._is_expired(taken),
            keep=lambda kept: self._keep(running, kept),
        )
        finish = Finish.NOTHING
        try:
            finish = await self._deliver(taken, turn)
        finally:
            self._pools.end(running)
            lane.gate.end(asyncio.get_running_loop().time(), failed=_failed(finish))
            if finish is Finish.TIMED_OUT:
                lane.gate.is_suspect = True
        self.finished += 1
        if not lane.share.dropped:
            self._end(running, finish)
        self._gates.ended(lane.subscription_id)

    def _end(self, running: Running, finish: Finish) -> None:
        lane, offset = running.lane, running.taken.position.offset
        del lane.running[offset]
        if finish is Finish.KEPT and running.is_head:
            self._memory.put_back(lane, running.taken, running.began_at)
        else:
            if running.is_head:
                lane.attempt, lane.history, lane.not_before = 1, (), None
            if lane.stop_holding(offset):
                lane.share.complete(offset)
                self._bounds.start_if_free(lane.share)
        if lane.is_behind:
            self._rereading.if_wanted(lane)
            self._expire(lane)
            self._standing.leave_if_caught_up(lane)
        elif lane.is_empty:
            self._roster.forget(lane)
        self._offer(lane)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failure(error)
        self._start_some()

    async def _keep(self, running: Running, kept: Kept) -> None:
        """Have an ordered record wait for its retry where it is; return when its cursor is durable. Raises NotOurs."""
        lane = running.lane
        if lane.share.dropped:
            raise NotOurs
        reason = Reason.BLOCKED if kept.is_blocked else Reason.PARKED
        if not running.is_head:
            lane = park(running, self._roster.parked_lane, self._memory)
        lane.attempt, lane.history, lane.not_before = kept.attempt, kept.history, kept.due_at
        if not lane.is_cursors:
            self._standing.begin(lane, reason)
        lane.reason = reason
        if not await self._standing.save(lane):
            raise NotOurs
        self._offer(lane)

    # Live and behind

    def _go_behind(self, lane: Lane, reason: Reason) -> None:
        self._standing.go_behind(lane, reason)
        if lane.gate.holds(self._settings_of(lane.subscription_id)):
            self._memory.cut(lane)

    def _on_live(self, lane: Lane) -> None:
        if lane.id[1] is not None:
            self._roster.forget(lane)
            own = lane.share.lanes.get((lane.id[0], None))
            if own is not None:
                self._offer(own)
        elif lane.is_empty:
            self._roster.forget(lane)

    # From time to time

    def _sweep(self) -> None:
        """Look, four times a second, at what no event tells."""
        loop = asyncio.get_running_loop()
        if self._sweeper is not None:
            self._sweeper.cancel()
        if not (self._is_ready and self._accepting):
            return
        self._sweeper = loop.call_later(_SWEEP_EVERY_S, self._sweep)
        now = loop.time()
        for running in self._pools.older_than(now - self._limits.soft_s):
            running.lane.gate.is_suspect = True
            if not running.lane.share.dropped:
                self._go_behind(running.lane, Reason.SLOW)
        saves = now >= self._save_at
        if saves:
            self._save_at = now + _SAVE_EVERY_S
        for share in self._roster.shares:
            self._bounds.start_if_free(share)
        for lane in self._roster.lanes:
            self._look_at(lane, now, saves=saves)

    def _look_at(self, lane: Lane, now: float, *, saves: bool) -> None:
        if lane.queue and not lane.is_cursors and now - lane.queue[0][1] > self._limits.soft_s:
            self._go_behind(lane, self._why_it_waits(lane, now))
        if lane.is_cursors:
            if saves:
                self._standing.save_if_moved(lane)
            self._rereading.if_wanted(lane)
            self._expire(lane)
            self._standing.leave_if_caught_up(lane)
        self._offer(lane)

    def _why_it_waits(self, lane: Lane, now: float) -> Reason:
        settings = self._settings_of(lane.subscription_id)
        refusal = lane.gate.refusal(settings, now, most=self._limits.cap, behind=False)
        if refusal is not None:
            return refusal.reason
        if waits_for_parked(lane):
            return Reason.PARKED
        return Reason.SHARE if lane.in_turn else Reason.FULL  # in order it takes no more than it does

    def _expire(self, lane: Lane) -> None:
        """Turn what has waited for nearly as long as its topic keeps it into `held` outcomes, for replay."""
        if lane.is_cursors and lane.queue and not lane.is_busy and self._is_expired(lane.queue[0][0]):
            taken = self._memory.take_next(lane)
            if taken is not None:
                now = asyncio.get_running_loop().time()
                self._start(Running(lane, taken, now, is_live=False, is_head=lane.is_one_by_one))

    def _is_expired(self, taken: Taken) -> bool:
        return 0 < taken.timestamp_s < time.time() - self._limits.held_for_s

    # The end

    async def stop(self, within_s: float) -> int:
        """Take and begin nothing more, let what is open end, write the cursors; return how many were cut off."""
        self._accepting = False
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within_s)
        cut = len(self._tasks)
        for task in tuple(self._tasks):
            task.cancel()
        for lane in self._roster.lanes:
            lane.disarm()
            if lane.is_behind:
                self._standing.save_if_moved(lane)
        await self._background.stop(_SAVED_WITHIN_S)
        return cut


def _failed(finish: Finish) -> bool | None:
    if finish in (Finish.NOTHING, Finish.NOT_OURS):
        return None
    return finish is not Finish.SUCCEEDED
