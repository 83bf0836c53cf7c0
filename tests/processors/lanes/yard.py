"""A dispatcher on the real Kafka whose deliveries end when the test says so; it can be killed and begun again."""

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from faust.types import TP

from processors.intake import Event, Taken
from processors.lanes.breaker import BreakerSettings
from processors.lanes.cursor_log import CursorLog
from processors.lanes.cursors import CLAIM_KEY
from processors.lanes.dispatch import Dispatcher, Takeover
from processors.lanes.gates import Gates
from processors.lanes.limits import Limits
from processors.lanes.scanner import Scanner
from processors.turn import Finish, Kept, Turn
from producers.handover import Handover, LoopProducer
from producers.records import Outgoing, RecordProducer
from schemas.codec import decode
from schemas.headers import ORDERING_KEY, Headers
from schemas.ids import SubscriptionId
from schemas.records import Cursor, PastAttempt, Subscription
from tests.processors import made

LIMITS = Limits(live=64, behind=64, cap=4, soft_s=0.15, lane_records=8)


@dataclass
class Message:
    """What of Faust's message is used."""

    topic: str
    partition: int
    offset: int
    generation_id: int | None
    value: bytes | None
    headers: object
    key: bytes | None
    timestamp: float | None = field(default_factory=time.time)


@dataclass
class Acking:
    """Faust's event: its consumer commits the prefix of what was acked."""

    message: Message
    acked: set[int]

    def ack(self) -> bool:
        self.acked.add(self.message.offset)
        return True


class Valve:
    """Faust's flow control."""

    def __init__(self) -> None:
        self.stopped: set[TP] = set()

    def on_buffer_full(self, tp: TP) -> None:
        self.stopped.add(tp)

    def on_buffer_drop(self, tp: TP) -> None:
        self.stopped.discard(tp)


@dataclass
class Begun:
    """A delivery that the dispatcher has begun: the test ends it."""

    taken: Taken
    turn: Turn
    subscription: SubscriptionId
    at: float
    end: asyncio.Future[Finish]

    @property
    def offset(self) -> int:
        return self.taken.position.offset

    def finish(self, finish: Finish = Finish.SUCCEEDED) -> None:
        if not self.end.done():
            self.end.set_result(finish)

    async def keep(self, *, in_s: float, blocked: bool = False) -> None:
        """End as a failed attempt of an ordered delivery, to be tried again at its place."""
        past = PastAttempt(attempt=self.turn.attempt, started_at=datetime.now(UTC), duration_ms=1)
        due_at = datetime.now(UTC) + timedelta(seconds=in_s)
        await self.turn.keep(Kept(self.turn.attempt + 1, due_at, (*self.turn.history, past), blocked))
        self.finish(Finish.KEPT)


class Yard:
    """One topic with one partition, what is on it, and a worker's dispatcher that can be killed."""

    def __init__(self, bootstrap: str, producer: LoopProducer, limits: Limits) -> None:
        self.bootstrap = bootstrap
        self.topic = f"deliver-{uuid.uuid4().hex[:12]}"
        self.behind = f"behind-{uuid.uuid4().hex[:12]}"
        self.limits = limits
        self.breaker = BreakerSettings(least=1000)
        self.settings: dict[SubscriptionId, Subscription] = {}
        self.records: list[tuple[SubscriptionId, str | None]] = []
        self.values: list[tuple[bytes, Headers]] = []
        self.begun: list[Begun] = []
        self.failures: list[BaseException] = []
        self.acked: set[int] = set()
        self.committed = 0
        self.valve = Valve()
        self.changed = asyncio.Event()
        self.on_begin: Callable[[Begun], None] = lambda _: None
        self.takes_over: Callable[[int], Awaitable[None]] | None = None  # before it does
        self.generation = 0
        self._config = {"bootstrap.servers": bootstrap}
        self._producer = producer
        self._cursors: CursorLog | None = None
        self._scanner: Scanner | None = None
        self.dispatcher: Dispatcher
        admin = AdminClient({"bootstrap.servers": bootstrap})
        compacted = {"cleanup.policy": "compact", "min.compaction.lag.ms": "3600000"}
        new = [NewTopic(self.topic, 1, 1), NewTopic(self.behind, 1, 1, config=compacted)]
        for future in admin.create_topics(new).values():
            future.result(30)

    def subscription(self, **changes: object) -> SubscriptionId:
        made_one = replace(made.subscription(), **changes)  # type: ignore[arg-type]  # the record's own fields
        self.settings[made_one.id] = made_one
        return made_one.id

    def change(self, subscription: SubscriptionId, **changes: object) -> None:
        known = self.settings[subscription]
        self.settings[subscription] = replace(known, version=known.version + 1, **changes)  # type: ignore[arg-type]

    async def start(self) -> None:
        """Begin as a process that has just been given the partition: with what is on the topics, and nothing else."""
        self.generation += 1
        handover = Handover(asyncio.get_running_loop())
        self._cursors = CursorLog(
            self._config,
            self._producer,
            handover,
            on_superseded=self._on_superseded(self.generation),
            topic=self.behind,
        )
        self._scanner = Scanner(self._config, handover)
        self._scanner.start()
        self.acked = set(range(self.committed))
        self.dispatcher = Dispatcher(
            self.topic,
            self._deliver,
            settings_of=self.settings.get,
            flow=lambda: self.valve,
            take_over=self._take_over,
            gates=Gates(self.breaker),
            cursors=self._cursors,
            scanner=self._scanner,
            limits=self.limits,
            on_failure=self.failures.append,
        )
        self.dispatcher.begin(self.generation)
        for offset in range(self.committed, len(self.records)):
            self._hand_over(offset)

    def kill(self) -> None:
        """End as kill -9 does: nothing is written any more; what was acked is committed as far as it is a prefix."""
        self.commit()
        self.generation += 1
        self.dispatcher.drop()
        assert self._cursors is not None
        assert self._scanner is not None
        self._cursors.let_go()
        self._scanner.stop()
        for each in self.begun:
            each.end.cancel()

    def commit(self) -> int:
        while self.committed in self.acked:
            self.committed += 1
        return self.committed

    async def send(
        self, *subscriptions: SubscriptionId, key: str | None = None, headers: Headers | None = None
    ) -> None:
        """Put a record for each on the topic, and hand it over as Faust does."""
        value = b"v"
        headers = [*(headers or []), *([] if key is None else [(ORDERING_KEY, key.encode())])]
        new = [Outgoing(self.topic, each.encode(), value, headers, 0) for each in subscriptions]
        await self._producer.send(new)
        for each in subscriptions:
            self.records.append((each, key))
            self.values.append((value, headers))
            self._hand_over(len(self.records) - 1)

    def reassign(self) -> None:
        """Give the partition to the same worker anew: what is not acked comes again."""
        self.generation += 1
        for offset in range(len(self.records)):
            self._hand_over(offset)

    async def until(self, condition: Callable[[], bool], *, within_s: float = 60.0) -> None:
        """Return when `condition` holds; it is asked whenever something begins, and now and then."""
        deadline = time.monotonic() + within_s
        while not condition():
            assert not self.failures, self.failures
            assert time.monotonic() < deadline, f"not within {within_s} s"
            self.changed.clear()
            try:
                await asyncio.wait_for(self.changed.wait(), 0.02)
            except TimeoutError:
                continue

    def of(self, subscription: SubscriptionId) -> list[Begun]:
        return [each for each in self.begun if each.subscription == subscription]

    def open(self) -> list[Begun]:
        return [each for each in self.begun if not each.end.done()]

    def all_acked(self) -> bool:
        return self.commit() == len(self.records)

    def cursors(self) -> dict[bytes, Cursor]:
        """Return what stands on the topic now: the last value of each key."""
        consumer = Consumer({**self._config, "group.id": "unused"})
        place = TopicPartition(self.behind, 0, 0)
        _, end = consumer.get_watermark_offsets(place, timeout=30)
        consumer.assign([place])
        last: dict[bytes, bytes | None] = {}
        reached = 0
        while reached < end:
            for message in consumer.consume(1000, timeout=0.1):
                assert message.error() is None
                last[message.key() or b""] = message.value()
                reached = (message.offset() or 0) + 1
        consumer.close()
        return {key: decode(Cursor, value) for key, value in last.items() if key != CLAIM_KEY and value is not None}

    async def stop(self) -> None:
        self.on_begin = lambda begun: begun.finish()
        for each in self.open():
            each.finish()
        await self.dispatcher.stop(5)
        assert self._cursors is not None
        assert self._scanner is not None
        self._cursors.let_go()
        await asyncio.to_thread(self._scanner.stop)

    def _on_superseded(self, generation: int) -> Callable[[BaseException], None]:
        return lambda error: self.failures.append(error) if self.generation == generation else None

    def _hand_over(self, offset: int) -> None:
        subscription, _ = self.records[offset]
        value, headers = self.values[offset]
        message = Message(self.topic, 0, offset, self.generation, value, headers, subscription.encode())
        event: Event = Acking(message, self.acked)
        self.dispatcher.take(event)

    async def _deliver(self, taken: Taken, turn: Turn) -> Finish:
        subscription = SubscriptionId((taken.key or b"").decode())
        begun = Begun(taken, turn, subscription, time.monotonic(), asyncio.get_running_loop().create_future())
        self.begun.append(begun)
        self.changed.set()
        self.on_begin(begun)
        finish = await begun.end
        self.changed.set()
        return finish

    async def _take_over(self, generation: int) -> Takeover:
        if self.takes_over is not None:
            await self.takes_over(generation)
        assert self._cursors is not None
        cursors = await self._cursors.take_over([0], is_ours=lambda: self.generation == generation)
        return Takeover(cursors=cursors, committed={0: self.committed})


@asynccontextmanager
async def yard_on(bootstrap: str, limits: Limits = LIMITS, **more: object) -> AsyncIterator[Yard]:
    """Run a yard; `more` are BreakerSettings."""
    records = RecordProducer({"bootstrap.servers": bootstrap}, patience_s=10)
    yard = Yard(bootstrap, LoopProducer(records), limits)
    if more:
        yard.breaker = BreakerSettings(**more)  # type: ignore[arg-type]  # its fields
    await yard.start()
    try:
        yield yard
    finally:
        await yard.stop()
        records.close()
    assert not yard.failures


def by_counts(seed: int) -> random.Random:
    """Return a source of chance that a failing test can repeat."""
    return random.Random(seed)
