"""A partition of deliveries and the worker that has it, without Kafka and without waiting: the clock jumps.

The dispatcher, its lanes, gates, queues and the folding of cursors are the real ones. Stood in for are Faust (records
and commits), the log of cursors (what is written is there after a while, of a zombie too), the scanner (from the same
list), the tiers, and the receiver. So a sequence of faults costs milliseconds, and after each of them it can be asked
whether a worker that starts now, with nothing but what is committed and written, would send all that is owed.
"""

import asyncio
import random
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from faust.types import TP

from processors.intake import Taken
from processors.lanes.breaker import BreakerSettings
from processors.lanes.cursor_log import CursorLog
from processors.lanes.cursors import CLAIM_KEY, Folded, LogRecord, Writer, key_of
from processors.lanes.dispatch import Dispatcher, Takeover
from processors.lanes.gates import Gates
from processors.lanes.lane import ordering_key
from processors.lanes.limits import Limits
from processors.lanes.scanner import Scan, Scanner
from processors.turn import Finish, Kept, NotOurs, Turn
from schemas.codec import encode
from schemas.headers import ORDERING_KEY, Headers
from schemas.ids import SubscriptionId
from schemas.records import Claim, Cursor, Ordering, PastAttempt, Position, Subscription
from tests.processors import made
from tests.processors.lanes.yard import Acking, Message, Valve

TOPIC: Final = "hookline.deliver"
PLACE: Final = TP(TOPIC, 0)
LIMITS: Final = Limits(live=8, behind=6, cap=3, soft_s=0.3, lane_records=6, share_records=40)
ATTEMPTS: Final = 3
TIMEOUT_S: Final = 5.0
_RETRY_AFTER_S: Final = 1.5
_A_MOMENT_S: Final = 1e-6  # a float's rest of less would never pass
_DRAINED_WITHIN_S: Final = 600.0  # of the model's time
_PROCESS: ContextVar["Worker | None"] = ContextVar("process", default=None)


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer when there is nothing to do."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_Jumping(self))
        self.set_task_factory(_noted)

    def time(self) -> float:
        """Return the model's time."""
        return self.now


class _Jumping(selectors.DefaultSelector):
    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop.now += max(0.0, timeout or 0.0)
        return super().select(0)


def _noted(loop: asyncio.AbstractEventLoop, coroutine: Any, **more: Any) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **more)
    if (worker := _PROCESS.get()) is not None:
        worker.tasks.add(task)
        task.add_done_callback(worker.tasks.discard)
    return task


@dataclass(frozen=True, slots=True)
class Record:
    """A delivery record; `delivery` is its offset when it came first."""

    subscription: SubscriptionId
    key: str | None
    delivery: int
    attempt: int

    @property
    def headers(self) -> Headers:
        """Return what the dispatcher reads of it."""
        return [] if self.key is None else [(ORDERING_KEY, self.key.encode())]


@dataclass
class World:
    """What outlives a worker: the topics, the group's commit, the receivers, and what came of each delivery."""

    chance: random.Random
    log: list[Record] = field(default_factory=list)
    committed: int = 0
    cursors: list[LogRecord] = field(default_factory=list)
    settings: dict[SubscriptionId, Subscription] = field(default_factory=dict)
    modes: dict[SubscriptionId, str] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    taken: dict[int, int] = field(default_factory=dict)
    """How often the receivers took each delivery, by its id."""
    order: list[int] = field(default_factory=list)
    dead: set[int] = field(default_factory=set)
    held: set[int] = field(default_factory=set)
    in_tier: dict[int, int] = field(default_factory=dict)
    accepted: set[int] = field(default_factory=set)
    failures: list[BaseException] = field(default_factory=list)

    def publish(self, subscription: SubscriptionId, key: str | None) -> None:
        """Put a delivery on the topic: it is owed now."""
        self.accepted.add(len(self.log))
        self.log.append(Record(subscription, key, len(self.log), 1))

    def folded(self) -> Folded:
        """Return what the cursors' log says."""
        folded = Folded()
        for record in self.cursors:
            folded.take(record)
        return folded

    def settled(self) -> set[int]:
        """Return the deliveries that have come to an end."""
        return self.taken.keys() | self.dead | self.held

    def lost(self) -> list[int]:
        """Return what is owed and would be sent by nobody if the worker died now."""
        cursors = self.folded().cursors
        there = set(self.in_tier)
        for offset, record in enumerate(self.log):
            keys = [key_of(TOPIC, record.subscription), key_of(TOPIC, record.subscription, record.key)]
            found = [cursors[key] for key in keys if key in cursors]
            if offset >= self.committed or any(cursor.next <= offset for cursor in found):
                there.add(record.delivery)
        return sorted(self.accepted - self.settled() - there)

    def inversions(self) -> list[int]:
        """Return the ordered deliveries that were taken for the first time after a later one of theirs."""
        highest: dict[tuple[str, str | None], int] = {}
        late = []
        for delivery in dict.fromkeys(self.order):
            record = self.log[delivery]
            ordering = self.settings[record.subscription].ordering
            lane = (record.subscription, record.key if ordering is Ordering.PER_KEY else None)
            if ordering is not Ordering.NONE and highest.get(lane, -1) > delivery:
                late.append(delivery)
            highest[lane] = max(highest.get(lane, -1), delivery)
        return late


class Log:
    """Stands in for CursorLog, by its contract: what it returns True for counts, whatever zombies write."""

    writes = True  # the control does not

    def __init__(self, world: World, worker: "Worker") -> None:
        self._world = world
        self._worker = worker
        self._writer: Writer | None = None
        self._locks: dict[bytes, asyncio.Lock] = {}

    async def take_over(self) -> dict[int, dict[bytes, Cursor]]:
        """Claim, and return what stands there; nothing when the partition was taken away meanwhile."""
        await asyncio.sleep(self._world.chance.random() * 0.05)
        if not self._worker.has_partition:
            return {}
        folded = self._world.folded()
        epoch = folded.writer[0] + 1
        writer = (epoch, f"{id(self._worker)}")
        claim = encode(Claim(writer=writer[1], epoch=epoch, since=datetime.now(UTC)))
        self._world.cursors.append(LogRecord(writer, CLAIM_KEY, claim))
        self._writer = writer
        return {0: dict(folded.cursors)}

    async def save(self, partition: int, key: bytes, cursor: Cursor | None) -> bool:  # noqa: ARG002 - CursorLog's
        """Write a cursor after a while; return whether it counts after another."""
        writer = self._writer
        if writer is None:
            return False
        async with self._locks.setdefault(key, asyncio.Lock()):
            await asyncio.sleep(self._world.chance.random() * 0.02)
            if self.writes:
                value = None if cursor is None else encode(cursor)
                self._world.cursors.append(LogRecord(writer, key, value))
            await asyncio.sleep(self._world.chance.random() * 0.02)
            return self._world.folded().writer == writer


class ForgetfulLog(Log):
    """The control: what it says is durable is not written."""

    writes = False


class Reader:
    """Stands in for Scanner: reads the same list, a random part of what is asked for at a time."""

    def __init__(self, world: World) -> None:
        self._world = world

    def scan(self, job: Scan, on_done: Callable[[Scan], None]) -> None:
        """Do a job after a while."""
        after_s = self._world.chance.random() * 0.05
        asyncio.get_running_loop().call_later(after_s, self._scan, job, on_done)

    def _scan(self, job: Scan, on_done: Callable[[Scan], None]) -> None:
        for want in job.wants.values():
            want.covered = want.position
        at = min(want.position for want in job.wants.values())
        end = min(job.end, at + self._world.chance.randrange(1, 30))
        while at < end:
            taken = taken_of(self._world, at)
            at += 1
            for (subscription, key), want in job.wants.items():
                if want.is_full or at <= want.position or taken.key != subscription:
                    continue
                if key is None or ordering_key(taken) == key:
                    want.take(taken)
        for want in job.wants.values():
            if not want.is_full:
                want.covered = max(want.covered, at)
        on_done(job)


def taken_of(world: World, offset: int) -> Taken:
    """Return a record as the dispatcher takes it."""
    record = world.log[offset]
    position = Position(topic=TOPIC, partition=0, offset=offset)
    return Taken(position=position, key=record.subscription.encode(), value=b"v", headers=record.headers, timestamp_s=0)


class Worker:
    """One worker in one generation: a real dispatcher, fed as Faust feeds it."""

    def __init__(self, world: World, generation: int, log: type[Log]) -> None:
        self.world = world
        self.generation = generation
        self.tasks: set[asyncio.Task[Any]] = set()
        self.acked: set[int] = set()
        self.valve = Valve()
        self.fed = world.committed
        self.has_partition = True
        self.sent: set[tuple[int, int]] = set()
        self.again: list[int] = []
        _PROCESS.set(self)
        self.log = log(world, self)
        self.dispatcher = Dispatcher(
            TOPIC,
            self._deliver,
            settings_of=world.settings.get,
            flow=lambda: self.valve,
            take_over=self._take_over,
            gates=Gates(BreakerSettings(least=6, probe_every_s=0.5)),
            cursors=cast(CursorLog, self.log),
            scanner=cast(Scanner, Reader(world)),
            limits=LIMITS,
            on_failure=self._on_failure,
        )
        self.dispatcher.begin(generation)
        _PROCESS.set(None)

    def feed(self) -> None:
        """Hand over what has come, unless the flow is stopped."""
        _PROCESS.set(self)
        while self.has_partition and self.fed < len(self.world.log) and PLACE not in self.valve.stopped:
            record = self.world.log[self.fed]
            key = record.subscription.encode()
            message = Message(TOPIC, 0, self.fed, self.generation, b"v", record.headers, key, 0.0)
            self.fed += 1
            self.dispatcher.take(cast(Any, Acking(message, self.acked)))
        _PROCESS.set(None)

    def commit(self) -> None:
        """Commit as far as all was acked, if the partition is still this worker's."""
        while self.has_partition and self.world.committed in self.acked:
            self.world.committed += 1

    def seek_back(self) -> None:
        """Be given again what is not committed, as Faust does after its flow was stopped."""
        self.fed = self.world.committed

    def kill(self) -> None:
        """End it in the middle of whatever it does."""
        self.has_partition = False
        self.dispatcher.drop()
        for task in tuple(self.tasks):
            task.cancel()

    async def _take_over(self, generation: int) -> Takeover:  # noqa: ARG002 - Takeovers'
        cursors = await self.log.take_over()
        return Takeover(cursors=cursors, committed={0: self.world.committed})

    def _on_failure(self, error: BaseException) -> None:
        if self.has_partition:
            self.world.failures.append(error)

    async def _deliver(self, taken: Taken, turn: Turn) -> Finish:
        """Do what Deliverer does, as far as it matters here: ask, note what came of it, then return."""
        world = self.world
        record = world.log[taken.position.offset]
        settings = world.settings[record.subscription]
        attempt = max(turn.attempt, record.attempt)
        if not turn.is_ours():
            return Finish.NOT_OURS
        if not settings.enabled:
            world.held.add(record.delivery)
            return Finish.NOTHING
        if (taken.position.offset, attempt) in self.sent:
            self.again.append(taken.position.offset)
        self.sent.add((taken.position.offset, attempt))
        finish = await self._ask(record)
        if finish is Finish.SUCCEEDED:
            world.taken[record.delivery] = world.taken.get(record.delivery, 0) + 1
            world.order.append(record.delivery)
            await asyncio.sleep(world.chance.random() * 0.01)  # until the outcome is with the brokers
            return finish
        if attempt >= ATTEMPTS:
            world.dead.add(record.delivery)
            return finish
        if turn.is_ordered:
            return await self._kept(turn, attempt)
        world.in_tier[record.delivery] = attempt + 1
        asyncio.get_running_loop().call_later(_RETRY_AFTER_S, _move, world, record)
        return finish

    async def _kept(self, turn: Turn, attempt: int) -> Finish:
        past = PastAttempt(attempt=attempt, started_at=datetime.now(UTC), duration_ms=1)
        due_at = datetime.now(UTC) + timedelta(milliseconds=1)  # the cursor's time is the wall clock's
        try:
            await turn.keep(Kept(attempt + 1, due_at, (*turn.history, past), is_blocked=False))
        except NotOurs:
            return Finish.NOT_OURS
        return Finish.KEPT

    async def _ask(self, record: Record) -> Finish:
        """Return what the receiver makes of it; hanging, it answers when it is mended, or not in time."""
        world, began = self.world, asyncio.get_running_loop().time()
        await asyncio.sleep(0.001 + world.chance.random() * 0.03)
        while world.modes[record.subscription] == "hangs":
            left_s = began + TIMEOUT_S - asyncio.get_running_loop().time()
            if left_s <= _A_MOMENT_S:
                return Finish.TIMED_OUT
            await _at_most(world.changed.wait(), left_s)
        fails = world.modes[record.subscription] == "fails"
        flaky = world.modes[record.subscription] == "flaky" and world.chance.random() < 0.3
        return Finish.FAILED if fails or flaky else Finish.SUCCEEDED


async def _at_most(wait: Coroutine[Any, Any, object], seconds: float) -> None:
    try:
        await asyncio.wait_for(wait, seconds)
    except TimeoutError:
        return


def _move(world: World, record: Record) -> None:
    """Do what the mover does: the record is on the topic again, then it is no longer in the tier."""
    attempt = world.in_tier.pop(record.delivery, None)
    if attempt is not None:
        world.log.append(replace(record, attempt=attempt))


class Model:
    """The world, its worker, and what can happen to them. Every method returns when it has happened."""

    def __init__(self, seed: int, *, log: type[Log] = Log) -> None:
        self._log = log
        self.loop = Loop()
        self.zombies: list[Worker] = []
        self.generation = 0
        self.chance = random.Random(seed)
        self.world = World(self.chance)
        orderings = [*[Ordering.NONE] * 3, *[Ordering.PER_KEY] * 2, Ordering.STRICT]
        for number, ordering in enumerate(orderings):
            # Its organization matters to the turns only.
            one = replace(made.subscription(identifier=SubscriptionId(f"sub_{number}")), ordering=ordering)
            self.world.settings[one.id], self.world.modes[one.id] = one, "answers"
        self.subscriptions = list(self.world.settings)
        self.worker: Worker
        self._run(self._start())

    def close(self) -> None:
        """End everything."""
        self.worker.kill()
        for zombie in self.zombies:
            zombie.kill()
        self.loop.run_until_complete(self._cancelled())
        self.loop.close()

    async def _cancelled(self) -> None:
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def publish(self, subscription: int, keys: list[int]) -> None:
        """Publish a delivery of each key to one subscription."""
        for key in keys:
            self.world.publish(self.subscriptions[subscription], f"k{key}")
        self.pass_s(0.001)

    def behave(self, subscription: int, mode: str) -> None:
        """Have a receiver answer, fail, be flaky or hang."""
        self.world.modes[self.subscriptions[subscription]] = mode
        changed, self.world.changed = self.world.changed, asyncio.Event()
        changed.set()
        self.pass_s(0.001)

    def change(self, subscription: int, **changes: object) -> None:
        """Change a subscription: pause, rate, cap, enabled."""
        one = self.world.settings[self.subscriptions[subscription]]
        self.world.settings[one.id] = replace(one, version=one.version + 1, **changes)  # type: ignore[arg-type]
        self.pass_s(0.001)

    def kill(self, *, commits: bool, stays: bool = False) -> None:
        """Kill the worker, before or after it committed what it had acked, and start another.

        `stays`: it is only thought dead and goes on with what it had, its commits refused.
        """
        if commits:
            self.worker.commit()
        if stays:
            self.worker.has_partition = False
            self.zombies.append(self.worker)
        else:
            self.worker.kill()
        self._run(self._start())

    def reassign(self) -> None:
        """Take the partition away and give it to the same process again."""
        self.kill(commits=True)

    def seek_back(self) -> None:
        """Have Faust seek back to what is committed."""
        self.worker.seek_back()
        self.pass_s(0.001)

    def pass_s(self, seconds: float) -> None:
        """Let time pass."""
        self._run(self._pass(seconds))

    def drain(self) -> None:
        """Mend everything and let time pass until every delivery has come to an end."""
        for number, one in enumerate(self.subscriptions):
            self.change(number, paused=False, enabled=True, rate_limit=None, most_in_flight=0)
            self.behave(self.subscriptions.index(one), "answers")
        until = self.loop.now + _DRAINED_WITHIN_S
        while self.world.accepted - self.world.settled():
            self.check()
            assert self.loop.now < until, f"not sent: {sorted(self.world.accepted - self.world.settled())[:10]}"
            self.pass_s(1.0)

    def check(self) -> None:
        """Fail if anything owed would be lost by a kill just now, or if the worker failed."""
        assert not self.world.failures, self.world.failures
        lost = self.world.lost()
        assert not lost, f"{len(lost)} lost: {[(each, self.world.log[each]) for each in lost[:5]]}"
        assert not self.worker.again, f"sent twice by one worker: {self.worker.again[:5]}"

    async def _start(self) -> None:
        self.generation += 1
        self.worker = Worker(self.world, self.generation, self._log)
        await asyncio.sleep(0)

    async def _pass(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while True:
            self.worker.feed()
            left_s = until - loop.time()
            if left_s <= _A_MOMENT_S:
                return
            await asyncio.sleep(min(left_s, 0.05))
            if self.chance.random() < 0.5:
                self.worker.commit()

    def _run(self, work: Awaitable[None]) -> None:
        self.loop.run_until_complete(cast(Coroutine[Any, Any, None], work))
