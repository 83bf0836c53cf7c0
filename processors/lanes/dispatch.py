"""Takes one topic's delivery records and sends each when its lane may: nobody waits for somebody else's endpoint.

A subscription is live or behind (ISOLATION.md). Live, its records hold the partition's acks until they are done. When
it takes too long, is refused or has too much queued, it goes behind: a cursor on `hookline.behind` says where it stands,
its records are acked as they come, and what does not fit into memory is read again from its topic when there is room.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import structlog
from faust.types import TP

from processors.delivering import Finish, Kept, Turn
from processors.intake import Event, Flow, Taken, headers_of
from processors.lanes.breaker import BreakerSettings
from processors.lanes.cursor_log import CursorLog
from processors.lanes.cursors import key_of
from processors.lanes.gate import Gate, Reason, Refusal
from processors.lanes.lane import Lane, LaneId, Running, Share, is_test, ordering_key
from processors.lanes.scanner import Scan, Scanner, Want
from processors.lanes.turns import Turns
from processors.metrics import LANES_BEHIND, WENT_BEHIND
from schemas.ids import OrganizationId, SubscriptionId
from schemas.records import Cursor, Ordering, Position, Subscription

log = structlog.get_logger("processors.lanes")

_STARTED_A_TURN: Final = 8  # of the loop's turns: answers that have come are handled in between
_SWEEP_EVERY_S: Final = 0.25
_SAVE_EVERY_S: Final = 10.0  # the skip set knows what was finished in the last minute (processors/skipping.py)
_SLACK: Final = 0.5  # of what a lane has room for: with less queued, it is read on
_RESUME_BELOW: Final = 0.5
_HELD_RECORDS: Final = 4  # of a lane that may not send; it needs its head only
_SAVED_WITHIN_S: Final = 5.0  # on the way out
_MOST_PARKED: Final = 1000  # keys of one subscription; with more of them it waits as a whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one topic's dispatcher may use. `soft_s` is how long a subscription may keep a live place waiting.

    `live` and `behind` bound open requests, `cap` those of one subscription; `lane_records` and `lane_bytes` what one
    has queued, `bytes` what all have; `share_records` and `share_bytes` what of one partition may be unacked;
    `held_for_s` is how long a record may wait before it is given to replay, its topic being about to forget it.
    """

    live: int
    behind: int
    cap: int
    soft_s: float = 2.0
    lane_records: int = 256
    lane_bytes: int = 1024 * 1024
    bytes: int = 64 * 1024 * 1024
    share_records: int = 5000
    share_bytes: int = 16 * 1024 * 1024
    held_for_s: float = 13 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """What is known of the partitions of a topic when they are ours: cursors, and what is committed, by number."""

    cursors: dict[int, dict[bytes, Cursor]]
    committed: dict[int, int]


class Gates:
    """The gates of all subscriptions that this worker sends to."""

    def __init__(self, breaker: BreakerSettings) -> None:
        self._breaker = breaker
        self._gates: dict[SubscriptionId, Gate] = {}
        self._waiting: dict[SubscriptionId, list[Callable[[], None]]] = {}

    def of(self, subscription_id: SubscriptionId) -> Gate:
        """Return a subscription's gate."""
        gate = self._gates.get(subscription_id)
        if gate is None:
            gate = self._gates[subscription_id] = Gate(self._breaker)
        return gate

    def when_one_ends(self, subscription_id: SubscriptionId, call: Callable[[], None]) -> None:
        """Call `call` once the next attempt of a subscription has ended."""
        self._waiting.setdefault(subscription_id, []).append(call)

    def ended(self, subscription_id: SubscriptionId) -> None:
        """Call those who wait for it."""
        for call in self._waiting.pop(subscription_id, ()):
            call()

    def forget_if_idle(self, subscription_id: SubscriptionId) -> None:
        """Forget a gate that knows nothing worth keeping."""
        gate = self._gates.get(subscription_id)
        if gate is not None and gate.is_idle:
            del self._gates[subscription_id]


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
        self._flow = flow
        self._take_over = take_over
        self._gates = gates
        self._cursors = cursors
        self._scanner = scanner
        self._limits = limits
        self._on_failure = on_failure
        self._shares: dict[TP, Share] = {}
        self._unready: list[tuple[Share, Taken]] = []
        self._live_turns: Turns[Lane] = Turns()
        self._behind_turns: Turns[Lane] = Turns()
        self._young: deque[Running] = deque()  # live attempts, oldest first
        self._tasks: set[asyncio.Task[None]] = set()
        self._background: set[asyncio.Task[None]] = set()
        self._generation = -1
        self._newest = -1
        self._is_ready = False
        self._accepting = True
        self._starting = False
        self._sweeper: asyncio.TimerHandle | None = None
        self._save_at = 0.0
        self._bytes = 0
        self._live = 0
        self._behind = 0
        self.finished = 0

    @property
    def in_flight(self) -> int:
        """How many records are being worked off."""
        return len(self._tasks)

    @property
    def waiting(self) -> int:
        """How many records are queued in memory."""
        return sum(len(lane.queue) for lane in self._all_lanes()) + len(self._unready)

    # ---- taking -----------------------------------------------------------------------------------------------------

    async def take_all(self, events: AsyncIterator[Event]) -> None:
        """Take every event as it comes: an agent's body."""
        async for event in events:
            self.take(event)

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
        share = self._share_of(TP(message.topic, message.partition))
        if message.offset < share.next_offset:
            return  # Faust seeks back to what is committed when its flow was stopped: this one is with us already
        share.next_offset = message.offset + 1
        share.acks.begin(message.offset, event)
        share.bytes += len(message.value or b"")
        self._bound(share)
        taken = Taken(
            position=Position(topic=message.topic, partition=message.partition, offset=message.offset),
            key=message.key,
            value=message.value,
            headers=headers_of(message.headers),
            timestamp_s=message.timestamp or 0.0,  # None: written by a client older than Kafka 0.10
        )
        if self._is_ready:
            self._admit(share, taken)
        else:
            self._unready.append((share, taken))

    def begin(self, generation: int) -> None:
        """Begin with another assignment, unless it has begun; what of the last one is not acked comes again."""
        if generation <= self._newest or not self._accepting:
            return
        self.drop()
        self._generation = self._newest = generation
        self._spawn(self._get_ready(generation))

    def drop(self) -> None:
        """Let go of all partitions. What is open ends; nothing is acked, saved or begun any more."""
        self._generation = -1
        self._is_ready = False
        for lane in self._all_lanes():
            self._disarm(lane)
        for share in self._shares.values():
            share.dropped = True
        self._shares.clear()
        self._unready.clear()
        self._live_turns.clear()
        self._behind_turns.clear()
        self._bytes = 0
        LANES_BEHIND.labels(topic=self.topic).set(0)

    async def _get_ready(self, generation: int) -> None:
        try:
            found = await self._take_over(generation)
        except Exception as error:  # noqa: BLE001 - whatever it is, the process ends and says so
            self._on_failure(error)
            return
        if generation != self._generation:
            return
        for number, cursors in found.cursors.items():
            share = self._share_of(TP(self.topic, number))
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
        """Go on with a lane where its last holder stopped. How it stands is not known: one at a time, then more."""
        lane = self._new_lane(share, (cursor.subscription_id.encode(), cursor.key), cursor.organization_id)
        lane.gate.is_suspect = True
        lane.is_behind = lane.is_durable = True
        lane.reason, lane.since, lane.saved = Reason(cursor.reason), cursor.since, cursor
        lane.attempt, lane.history, lane.not_before = cursor.attempt, cursor.history, cursor.not_before
        subscriptions = share.behind.get((lane.id[0], None))
        # What its subscription's own lane has not come to, it will hand over.
        ends_at = share.begins_at if subscriptions is None else subscriptions.position
        lane.last = max(ends_at, cursor.next) - 1
        lane.position = cursor.next
        lane.is_missing = lane.position <= lane.last
        self._put_behind(lane)
        if lane.is_missing:
            self._scan_soon(share)
        else:
            self._leave_if_caught_up(lane)

    def _admit(self, share: Share, taken: Taken) -> None:
        """Let a record of the live end into its lane."""
        offset = taken.position.offset
        if share.first_live is None:
            self._note_first(share, offset)
        lane = self._lane_of(share, taken)
        if offset < lane.position and not lane.is_missing:
            share.complete(offset)  # its cursor says that it is done, or it was read again already
            return
        if lane.is_cursors and is_test(taken):
            self._begin_test(lane, taken)
            return
        if share.parked and not lane.is_missing and self._to_parked(lane, taken, is_live=True):
            return
        self._append(lane, taken)

    def _append(self, lane: Lane, taken: Taken) -> None:
        offset = taken.position.offset
        lane.last = offset
        if not lane.is_cursors:
            lane.held.add(offset)
            self._queue(lane, taken)
            lane.position = offset + 1
            if len(lane.queue) > self._limits.lane_records or lane.queued_bytes > self._limits.lane_bytes:
                self._go_behind(lane, Reason.FULL)
        else:
            if lane.is_durable:
                lane.share.complete(offset)
            else:
                lane.held.add(offset)
            if not lane.is_missing and self._has_room(lane):
                self._queue(lane, taken)
                lane.position = offset + 1
            elif not lane.is_missing:
                lane.is_missing, lane.position = True, offset
        self._offer(lane)

    def _to_parked(self, lane: Lane, taken: Taken, *, is_live: bool) -> bool:
        """Give a record whose key is parked to that key's lane; return whether it was."""
        key = ordering_key(taken)
        parked = None if key is None else lane.share.behind.get((lane.id[0], key))
        if parked is None:
            return False
        offset = taken.position.offset
        lane.last = max(lane.last, offset)
        if is_live:
            lane.position = max(lane.position, offset + 1)
        if offset < parked.position and not parked.is_missing:
            if is_live:
                lane.share.complete(offset)
            return True
        parked.last = max(parked.last, offset)
        if is_live:
            if parked.is_durable:
                lane.share.complete(offset)
            else:
                parked.held.add(offset)
        if not parked.is_missing and self._has_room(parked):
            self._queue(parked, taken)
            parked.position = offset + 1
        elif not parked.is_missing:
            parked.is_missing, parked.position = True, offset
        self._offer(parked)
        return True

    def _note_first(self, share: Share, offset: int) -> None:
        """Hear where the live end begins: lanes that were restored own everything of theirs before it."""
        share.first_live = offset
        for lane in share.behind.values():
            if lane.id[1] is not None and (lane.id[0], None) in share.behind:
                continue
            if lane.last < offset - 1 and lane.position <= offset - 1 and not lane.queue and not lane.is_missing:
                lane.is_missing = True
                self._scan_soon(share)
            lane.last = max(lane.last, offset - 1)

    def _begin_test(self, lane: Lane, taken: Taken) -> None:
        """Send a test at once, past all that waits: somebody is looking at the answer."""
        lane.held.add(taken.position.offset)
        self._start(lane, taken, is_live=True, key=None)

    # ---- starting ---------------------------------------------------------------------------------------------------

    def _offer(self, lane: Lane) -> None:
        """Let a lane take its turn, if it has something to send."""
        if lane.queue and not lane.waits_for_gate and lane.wakes_at is None:
            (self._behind_turns if lane.is_cursors else self._live_turns).add(lane)
            self._start_some()
        elif lane.is_cursors and lane.is_missing:
            self._scan_soon(lane.share)

    def _start_some(self) -> None:
        """Start a few records, and the next few in the loop's next turn: answers that have come go between."""
        if self._starting or not self._is_ready or not self._accepting:
            return
        for _ in range(_STARTED_A_TURN):
            if not self._start_one():
                return
        self._starting = True
        asyncio.get_running_loop().call_soon(self._start_more)

    def _start_more(self) -> None:
        self._starting = False
        self._start_some()

    def _start_one(self) -> bool:
        """Start the record whose turn it is, or find out why its lane waits; return whether there was a turn."""
        if self._live_turns and self._live < self._limits.live:
            lane = self._live_turns.next()
        elif self._behind_turns and self._behind < self._limits.behind:
            lane = self._behind_turns.next()
        else:
            return False
        if not lane.share.dropped and lane.queue:
            self._start_next_of(lane)
        return True

    def _start_next_of(self, lane: Lane) -> None:
        now = asyncio.get_running_loop().time()
        settings = self._settings_of(lane.subscription_id)
        if settings is not None:
            lane.ordering = settings.ordering
        if lane.is_one_by_one and (lane.running or self._waits_for_retry(lane, now)):
            return
        if lane.ordering is Ordering.PER_KEY and self._parked(lane) > _MOST_PARKED:
            return  # until one of them is done
        refusal = lane.gate.refusal(settings, now, most=self._limits.cap, behind=lane.is_behind)
        if refusal is not None:
            self._wait(lane, refusal, now)
            return
        taken = lane.take_next()
        if taken is None:
            return
        self._bytes -= len(taken.value or b"")
        key = ordering_key(taken) if lane.ordering is Ordering.PER_KEY else None
        self._start(lane, taken, is_live=not lane.is_cursors, key=key)
        self._offer(lane)

    def _start(self, lane: Lane, taken: Taken, *, is_live: bool, key: str | None) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        running = Running(lane, taken, now, is_live, key)
        lane.running[taken.position.offset] = running
        lane.gate.begin(now, behind=lane.is_behind)
        if is_live:
            self._live += 1
            self._young.append(running)
        else:
            self._behind += 1
        task = loop.create_task(self._work_off(running))
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    def _wait(self, lane: Lane, refusal: Refusal, now: float) -> None:
        if refusal.holds and not lane.is_cursors:
            self._go_behind(lane, refusal.reason)
        elif refusal.holds and lane.is_cursors:
            self._set_reason(lane, refusal.reason)
            self._cut(lane)
        if refusal.until is not None:
            self._wake_at(lane, refusal.until)
        elif refusal.reason is Reason.FULL and lane.gate.in_flight:
            lane.waits_for_gate = True
            self._gates.when_one_ends(lane.subscription_id, lambda: self._go_on(lane))
        # A paused one is offered again when its settings change: the sweep looks.

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
        self._wake_at(lane, now + remaining_s)
        return True

    def _wake_at(self, lane: Lane, at: float) -> None:
        if lane.waker is not None:
            lane.waker.cancel()
        lane.wakes_at = at
        lane.waker = asyncio.get_running_loop().call_at(at, self._wake, lane)

    def _wake(self, lane: Lane) -> None:
        lane.waker = lane.wakes_at = None
        if not lane.share.dropped:
            self._offer(lane)

    def _disarm(self, lane: Lane) -> None:
        if lane.waker is not None:
            lane.waker.cancel()
            lane.waker = lane.wakes_at = None

    # ---- working off ------------------------------------------------------------------------------------------------

    async def _work_off(self, running: Running) -> None:
        lane, taken = running.lane, running.taken
        is_ordered = lane.is_one_by_one or (running.key is not None and lane.ordering is Ordering.PER_KEY)
        turn = Turn(
            is_ours=lambda: not lane.share.dropped,
            is_ordered=is_ordered,
            attempt=lane.attempt if lane.is_one_by_one else 1,
            history=lane.history if lane.is_one_by_one else (),
            is_expired=self._is_expired(taken),
            keep=lambda kept: self._keep(running, kept),
        )
        finish = Finish.NOTHING
        try:
            finish = await self._deliver(taken, turn)
        finally:
            running.is_done = True
            if running.is_live:
                self._live -= 1
            else:
                self._behind -= 1
            now = asyncio.get_running_loop().time()
            lane.gate.end(now, failed=_failed(finish))
            if finish is Finish.TIMED_OUT:
                lane.gate.is_suspect = True
            self._gates.ended(lane.subscription_id)
        self.finished += 1
        if not lane.share.dropped:
            self._end(running, finish)

    def _end(self, running: Running, finish: Finish) -> None:
        lane, offset = running.lane, running.taken.position.offset
        del lane.running[offset]
        if finish is Finish.KEPT and lane.is_one_by_one:
            lane.queue_first(running.taken, asyncio.get_running_loop().time())
            self._bytes += len(running.taken.value or b"")
        else:
            if lane.is_one_by_one:
                lane.attempt, lane.history, lane.not_before = 1, (), None
            if offset in lane.held:
                lane.held.discard(offset)
                lane.share.complete(offset)
                self._unbound(lane.share)
        if lane.is_behind:
            if lane.is_missing and len(lane.queue) <= self._room(lane) * _SLACK:
                self._scan_soon(lane.share)
            self._leave_if_caught_up(lane)
        self._offer(lane)
        if lane.is_empty and not lane.is_behind:
            self._forget(lane)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failure(error)
        self._start_some()

    async def _keep(self, running: Running, kept: Kept) -> None:
        """Have an ordered record wait for its retry where it is; return when its cursor is durable."""
        lane = running.lane
        if lane.share.dropped:
            await asyncio.get_running_loop().create_future()  # somebody else's now: nothing is recorded of it here
        reason = Reason.BLOCKED if kept.is_blocked else Reason.PARKED
        if not lane.is_one_by_one:
            lane = self._park(lane, running)
        lane.attempt, lane.history, lane.not_before = kept.attempt, kept.history, kept.due_at
        if not lane.is_cursors:
            self._begin_behind(lane, reason)
        lane.reason = reason
        await self._save(lane)

    def _park(self, lane: Lane, running: Running) -> Lane:
        """Give a failing record, and what is queued behind it of its key, a lane of its own."""
        share, offset = lane.share, running.taken.position.offset
        known = share.behind.get((lane.id[0], running.key))
        if known is not None:
            return known
        parked = self._new_lane(share, (lane.id[0], running.key), lane.organization)
        followers: list[tuple[Taken, float]] = []
        others: list[tuple[Taken, float]] = []
        for pair in lane.queue:
            (followers if ordering_key(pair[0]) == running.key else others).append(pair)
        lane.queue = deque(others)
        parked.queue_up(running.taken, running.began_at)
        self._bytes += len(running.taken.value or b"")
        for taken, at in followers:
            parked.queue_up(taken, at)
            lane.queued_bytes -= len(taken.value or b"")
            if taken.position.offset in lane.held:
                lane.held.discard(taken.position.offset)
                parked.held.add(taken.position.offset)
        # What the subscription's own lane has not read yet, it will hand over when it comes to it.
        parked.last = max([offset, *(taken.position.offset for taken, _ in followers)])
        parked.position = parked.last + 1
        self._begin_behind(parked, Reason.PARKED)
        return parked

    def _parked(self, lane: Lane) -> int:
        return sum(1 for subscription, key in lane.share.behind if key is not None and subscription == lane.id[0])

    # ---- behind -----------------------------------------------------------------------------------------------------

    def _go_behind(self, lane: Lane, reason: Reason) -> None:
        """Let a lane's records be acked as they come; its cursor says where it stands."""
        self._begin_behind(lane, reason)
        self._spawn(self._save(lane))
        self._cut(lane)

    def _begin_behind(self, lane: Lane, reason: Reason) -> None:
        if lane.is_leaving:  # its old cursor is there still, and below all that is live
            lane.is_leaving = False
            lane.reason = reason
            if lane.is_durable:
                self._release(lane)
            return
        if lane.is_behind:
            self._set_reason(lane, reason)
            return
        lane.is_behind, lane.is_durable = True, False
        lane.reason, lane.since = reason, datetime.now(UTC)
        self._put_behind(lane)
        WENT_BEHIND.labels(topic=self.topic, reason=reason).inc()
        log.info(
            "subscription.behind",
            subscription_id=lane.subscription_id,
            key=lane.id[1],
            topic=self.topic,
            reason=reason.value,
            next=lane.lowest_unfinished(),
        )

    def _put_behind(self, lane: Lane) -> None:
        lane.share.behind[lane.id] = lane
        lane.share.parked += lane.id[1] is not None
        LANES_BEHIND.labels(topic=self.topic).inc()

    def _set_reason(self, lane: Lane, reason: Reason) -> None:
        if lane.reason is not reason:
            lane.reason = reason
            self._spawn(self._save(lane))

    async def _save(self, lane: Lane) -> None:
        cursor = lane.cursor(self.topic)
        lane.saved = cursor
        key = key_of(self.topic, lane.subscription_id, lane.id[1])
        await self._cursors.save(lane.share.tp.partition, key, cursor)
        if lane.share.dropped or not lane.is_behind:
            return
        lane.is_durable = True
        if not lane.is_leaving:
            self._release(lane)
        self._leave_if_caught_up(lane)

    def _release(self, lane: Lane) -> None:
        """Ack what a lane held: its cursor is with the brokers, and below all of it."""
        held, lane.held = sorted(lane.held), set()
        for offset in held:
            lane.share.complete(offset)
        for running in lane.running.values():
            if running.is_live and not running.is_done:
                running.is_live = False
                self._live -= 1
                self._behind += 1
        self._unbound(lane.share)
        self._start_some()

    def _leave_if_caught_up(self, lane: Lane) -> None:
        """Let new records of a lane that has caught up be live again, and drop its cursor when the last old one ends."""
        if not lane.is_leaving:
            if not self._has_caught_up(lane):
                return
            lane.is_leaving = True
        if any(offset not in lane.held for offset in lane.running):
            return
        lane.is_behind = lane.is_leaving = lane.is_durable = False
        lane.saved = lane.since = None
        del lane.share.behind[lane.id]
        lane.share.parked -= lane.id[1] is not None
        LANES_BEHIND.labels(topic=self.topic).dec()
        key = key_of(self.topic, lane.subscription_id, lane.id[1])
        self._spawn(self._cursors.save(lane.share.tp.partition, key, None))
        log.info("subscription.live", subscription_id=lane.subscription_id, key=lane.id[1], topic=self.topic)
        if lane.id[1] is not None:
            self._forget(lane)
            own = lane.share.lanes.get((lane.id[0], None))
            if own is not None:
                self._offer(own)
        elif lane.is_empty:
            self._forget(lane)

    def _has_caught_up(self, lane: Lane) -> bool:
        if not (lane.is_behind and lane.is_durable) or lane.queue or lane.is_missing or lane.not_before is not None:
            return False
        if lane.id[1] is not None and lane.running:
            return False  # the subscription's lane must not overtake what is open of the key
        gate = lane.gate
        if gate.last_failed or (gate.is_suspect and gate.in_flight):
            return False
        return not gate.holds(self._settings_of(lane.subscription_id))

    # ---- memory -----------------------------------------------------------------------------------------------------

    def _queue(self, lane: Lane, taken: Taken) -> None:
        lane.queue_up(taken, asyncio.get_running_loop().time())
        self._bytes += len(taken.value or b"")

    def _room(self, lane: Lane) -> int:
        """Return how many records a lane that is behind may have queued."""
        if lane.gate.is_suspect or lane.gate.holds(self._settings_of(lane.subscription_id)) or lane.id[1] is not None:
            return _HELD_RECORDS
        return self._limits.lane_records

    def _has_room(self, lane: Lane) -> bool:
        return (
            len(lane.queue) < self._room(lane)
            and lane.queued_bytes < self._limits.lane_bytes
            and (self._bytes < self._limits.bytes or not lane.queue)
        )

    def _cut(self, lane: Lane) -> None:
        """Drop from memory what a lane that may not send has queued, but its head."""
        if lane.is_cursors:
            before = lane.queued_bytes
            lane.cut(_HELD_RECORDS)
            self._bytes -= before - lane.queued_bytes

    def _bound(self, share: Share) -> None:
        limits = self._limits
        if not share.paused and (len(share.acks) >= limits.share_records or share.bytes >= limits.share_bytes):
            share.paused = True
            self._flow().on_buffer_full(share.tp)

    def _unbound(self, share: Share) -> None:
        limits = self._limits
        if (
            share.paused
            and len(share.acks) <= limits.share_records * _RESUME_BELOW
            and share.bytes <= limits.share_bytes * _RESUME_BELOW
        ):
            share.paused = False
            self._flow().on_buffer_drop(share.tp)

    # ---- reading again ----------------------------------------------------------------------------------------------

    def _scan_soon(self, share: Share) -> None:
        if not share.scanning and self._is_ready and self._accepting:
            share.scanning = True
            asyncio.get_running_loop().call_soon(self._scan, share)

    def _scan(self, share: Share) -> None:
        share.scanning = False
        if share.dropped or not self._accepting:
            return
        wants: dict[LaneId, Want] = {}
        end = 0
        free = max(self._limits.bytes - self._bytes, 0)
        for lane in share.behind.values():
            room = self._room(lane)
            if lane.is_missing and len(lane.queue) <= room * _SLACK:
                size = max(min(self._limits.lane_bytes - lane.queued_bytes, free), 1)
                wants[lane.id] = Want(lane.position, room - len(lane.queue), size)
                end = max(end, lane.last + 1)
        if wants:
            share.scanning = True
            job = Scan(share.tp.topic, share.tp.partition, end, wants)
            self._scanner.scan(job, lambda scan: self._take_scan(share, scan))

    def _take_scan(self, share: Share, scan: Scan) -> None:
        share.scanning = False
        if share.dropped:
            return
        for lane_id, want in scan.wants.items():
            lane = share.behind.get(lane_id)
            if lane is not None and lane.is_missing and lane.position == want.position:
                self._refill(lane, want)
        if any(lane.is_missing and len(lane.queue) <= self._room(lane) * _SLACK for lane in share.behind.values()):
            self._scan_soon(share)

    def _refill(self, lane: Lane, want: Want) -> None:
        lane.position = want.covered
        for taken in want.found:
            if lane.id[1] is not None or not lane.share.parked or not self._to_parked(lane, taken, is_live=False):
                self._queue(lane, taken)
        if lane.position > lane.last:
            lane.is_missing = False
            lane.position = lane.last + 1
        self._leave_if_caught_up(lane)
        self._offer(lane)

    # ---- from time to time ------------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        """Look, four times a second, at what no event tells."""
        loop = asyncio.get_running_loop()
        if self._sweeper is not None:
            self._sweeper.cancel()
        if not (self._is_ready and self._accepting):
            return
        self._sweeper = loop.call_later(_SWEEP_EVERY_S, self._sweep)
        now = loop.time()
        self._give_back_slow_places(now)
        saves = now >= self._save_at
        if saves:
            self._save_at = now + _SAVE_EVERY_S
        for share in tuple(self._shares.values()):
            self._unbound(share)
            for lane in tuple(share.lanes.values()):
                self._look_at(lane, now, saves=saves)

    def _give_back_slow_places(self, now: float) -> None:
        young, oldest = self._young, now - self._limits.soft_s
        while young and (young[0].is_done or young[0].began_at <= oldest):
            running = young.popleft()
            if running.is_done or not running.is_live or running.lane.share.dropped:
                continue
            running.lane.gate.is_suspect = True
            if not running.lane.is_cursors:
                self._go_behind(running.lane, Reason.SLOW)

    def _look_at(self, lane: Lane, now: float, *, saves: bool) -> None:
        if lane.queue and not lane.is_cursors and now - lane.queue[0][1] > self._limits.soft_s:
            settings = self._settings_of(lane.subscription_id)
            refusal = lane.gate.refusal(settings, now, most=self._limits.cap, behind=False)
            self._go_behind(lane, Reason.SHARE if refusal is None else refusal.reason)
        if lane.is_cursors:
            if saves and lane.is_durable and lane.saved is not None and lane.saved.next != lane.lowest_unfinished():
                self._spawn(self._save(lane))
            if lane.is_missing and len(lane.queue) <= self._room(lane) * _SLACK:
                self._scan_soon(lane.share)
            self._leave_if_caught_up(lane)
            self._expire(lane)
        self._offer(lane)

    def _expire(self, lane: Lane) -> None:
        """Turn what has waited for nearly as long as its topic keeps it into `held` outcomes, for replay."""
        if lane.queue and not lane.in_turn and not lane.running and self._is_expired(lane.queue[0][0]):
            taken = lane.take_next()
            if taken is not None:
                self._bytes -= len(taken.value or b"")
                self._start(lane, taken, is_live=False, key=None)

    def _is_expired(self, taken: Taken) -> bool:
        return taken.timestamp_s > 0 and time.time() - taken.timestamp_s > self._limits.held_for_s

    # ---- lanes and shares -------------------------------------------------------------------------------------------

    def _share_of(self, tp: TP) -> Share:
        share = self._shares.get(tp)
        if share is None:
            share = self._shares[tp] = Share(tp)
        return share

    def _lane_of(self, share: Share, taken: Taken) -> Lane:
        lane_id = (taken.key or b"", None)
        lane = share.lanes.get(lane_id)
        if lane is None:
            lane = self._new_lane(share, lane_id, None)
            lane.position = taken.position.offset
        return lane

    def _new_lane(self, share: Share, lane_id: LaneId, organization: OrganizationId | None) -> Lane:
        subscription_id = SubscriptionId(lane_id[0].decode(errors="replace"))
        settings = self._settings_of(subscription_id)
        lane = Lane(
            id=lane_id,
            share=share,
            gate=self._gates.of(subscription_id),
            subscription_id=subscription_id,
            organization=organization or (OrganizationId("") if settings is None else settings.organization_id),
            ordering=Ordering.NONE if settings is None else settings.ordering,
        )
        share.lanes[lane_id] = lane
        return lane

    def _forget(self, lane: Lane) -> None:
        self._disarm(lane)
        lane.share.lanes.pop(lane.id, None)
        self._gates.forget_if_idle(lane.subscription_id)

    def _all_lanes(self) -> list[Lane]:
        return [lane for share in self._shares.values() for lane in share.lanes.values()]

    def _spawn(self, work: Awaitable[None]) -> None:
        async def run() -> None:
            await work

        task = asyncio.get_running_loop().create_task(run())
        self._background.add(task)
        task.add_done_callback(self._on_background_done)

    def _on_background_done(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failure(error)

    # ---- the end ----------------------------------------------------------------------------------------------------

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
        behind = [lane for share in self._shares.values() for lane in share.behind.values()]
        for lane in behind:
            if lane.is_durable and lane.saved is not None and lane.saved.next != lane.lowest_unfinished():
                self._spawn(self._save(lane))
        if self._background:
            await asyncio.wait(self._background, timeout=_SAVED_WITHIN_S)
        for task in tuple(self._background):
            task.cancel()
        return cut


def _failed(finish: Finish) -> bool | None:
    if finish in (Finish.NOTHING, Finish.NOT_OURS):
        return None
    return finish is not Finish.SUCCEEDED
