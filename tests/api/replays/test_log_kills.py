"""A process that dies at any point of a replay of the log leaves nothing missing; what goes twice is one sending."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from confluent_kafka import Consumer

from api.replays.bulk import Workshop
from api.replays.log_replay import LogReplay
from producers.handover import LoopProducer
from producers.records import Outgoing, RecordProducer
from tests.api.replays.log_events import EventLog
from tests.api.replays.logged import Log, minutes_ago
from tests.api.replays.running import arrivals, replay_when

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]

EVENTS = 40


class Killed(Exception):
    """Stands for kill -9: nothing after it is done."""


class Watched(LoopProducer):
    """Hands records to Kafka, and has something happen when it has them: before PostgreSQL is told."""

    def __init__(self, producer: RecordProducer, then: Callable[[], Awaitable[None]]) -> None:
        super().__init__(producer)
        self._then = then

    async def send(self, records: Sequence[Outgoing]) -> None:
        await super().send(records)
        if records:
            await self._then()


async def nothing() -> None: ...


@asynccontextmanager
async def workshop_of(
    log: Log, bootstrap: str, topic: str, *, when_sent: Callable[[], Awaitable[None]] = nothing
) -> AsyncIterator[Workshop]:
    kafka = {"bootstrap.servers": bootstrap}
    producer = RecordProducer(kafka, patience_s=5)
    sending = Watched(producer, when_sent)
    yield Workshop(log.engine, sending, asyncio.Semaphore(4), asyncio.Event(), kafka, topic)
    await asyncio.to_thread(producer.close, 5)


async def a_life(replay_id: str, workshop: Workshop, *, steps: int) -> bool:
    """Send with a process that dies after so many steps; return True when it has sent all before that."""
    replay = LogReplay(replay_id, workshop)
    try:
        for _ in range(steps):
            if await replay.step():
                return True
    except Killed:
        pass
    finally:
        replay.close()
    return False


async def test_dying_between_any_two_transactions_leaves_nothing_missing(
    log: Log, events: EventLog, bootstrap: str, replayed: Consumer
) -> None:
    published = await events.publish(EVENTS)
    events.forget({each.partition: 6 for each in published})
    one, other = await log.subscription(), await log.subscription()
    replay_id = await events.asked(since=minutes_ago(5), rate_per_s=40.0)
    async with workshop_of(log, bootstrap, events.topic) as workshop:
        lives = 0
        while not await a_life(replay_id, workshop, steps=3 + lives % 4):
            lives += 1
    found = await arrivals(replayed, replay_id, 2 * EVENTS)
    assert lives >= 5
    assert {(each.delivery.event_id, each.delivery.subscription_id) for each in found} == {
        (each.event.id, subscription) for each in published for subscription in (one, other)
    }
    assert len(found) == 2 * EVENTS  # every batch was marked as it was sent
    row = await replay_when(log, replay_id, state="finishing")
    assert (row["log_read"], row["log_total"]) == (EVENTS, EVENTS)


async def test_dying_after_kafka_has_a_batch_and_before_postgresql_does_sends_it_again_as_the_same(
    log: Log, events: EventLog, bootstrap: str, replayed: Consumer
) -> None:
    await events.publish(EVENTS)
    await log.subscription()
    replay_id = await events.asked(since=minutes_ago(5), rate_per_s=40.0)
    kills = iter([False, True, False, False, True, True])

    async def die() -> None:
        if next(kills, False):
            raise Killed

    async with workshop_of(log, bootstrap, events.topic, when_sent=die) as workshop:
        while not await a_life(replay_id, workshop, steps=1000):
            pass
    await replay_when(log, replay_id, state="finishing")
    found = await arrivals(replayed, replay_id, EVENTS + 3)
    sendings = Counter((each.delivery.id, each.delivery.round, each.delivery.attempt) for each in found)
    items = await log.items(replay_id)
    assert {identifier for identifier, _, _ in sendings} == set(items)
    assert {state for state, _ in items.values()} == {"sent"}
    assert len(sendings) == EVENTS
    assert max(sendings.values()) > 1  # they went out twice, and workers can tell: nothing in them differs
    print(f"3 kills before the commit: {len(found) - EVENTS} of {EVENTS} sent twice")


async def test_items_are_there_before_kafka_has_what_they_stand_for(
    log: Log, events: EventLog, bootstrap: str, replayed: Consumer
) -> None:
    """The projection may read an outcome before the batch's transaction has ended, and looks for its item."""
    await events.publish(EVENTS)
    await log.subscription()
    replay_id = await events.asked(since=minutes_ago(5), rate_per_s=100.0)
    seen = list[int]()

    async def look() -> None:
        rows = await log.run("SELECT count(*) AS items FROM replay_items WHERE replay_id = :id", id=replay_id)
        seen.append(rows[0]["items"])  # by a connection of its own

    async with workshop_of(log, bootstrap, events.topic, when_sent=look) as workshop:
        assert await a_life(replay_id, workshop, steps=1000)
    assert seen
    assert set(seen) == {EVENTS}
