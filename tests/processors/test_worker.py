"""A worker from its start to its end, on the real Kafka: an event becomes a signed POST, and SIGTERM loses nothing."""

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from pydantic import SecretStr
from standardwebhooks import Webhook

from processors import skipping
from processors.app import TOPICS
from processors.errors import WorkerError
from processors.settings import WorkerSettings
from processors.worker import run_worker
from producers.handover import LoopProducer
from producers.records import Outgoing
from producers.secret_settings import UnfitSettings
from producers.settings import KafkaSettings
from schemas.codec import encode
from schemas.ids import OrganizationId
from schemas.records import CurrentRound, Delivery, Event, Subscription
from schemas.topics import ATTEMPTS, DEFAULT_PARTITIONS, DELIVER, EVENTS, QUARANTINE, REPLAY, ROUNDS, SUBSCRIPTIONS
from tests.processors import made
from tests.processors.conftest import SCHEDULE
from tests.processors.receivers import Receiver, Request, Wire, answer, answers
from tests.producers.topics import arrived_on, closed_port

pytestmark = [pytest.mark.flow, pytest.mark.kafka, pytest.mark.timeout(60)]

READY_WITHIN_S = 20
REPLAY_1 = "rpl_019aa5e1c8007000800000000000002a"


def settings(**more: object) -> WorkerSettings:
    given = {
        "worker_group": f"test-{uuid.uuid4().hex[:8]}",
        "master_keys": SecretStr(made.MASTER_KEY),
        "development": True,
        "retry_waits": SCHEDULE,
        **more,
    }
    return WorkerSettings.model_validate(given)


@dataclass
class Running:
    """A worker in this process, and its group as Kafka sees it."""

    task: asyncio.Task[None]
    bootstrap: str
    group: str
    producer: LoopProducer

    async def subscribe(self, subscription: Subscription) -> None:
        await self.producer.send([Outgoing(SUBSCRIPTIONS, subscription.id.encode(), encode(subscription), [])])

    async def publish(self, event: Event) -> None:
        await self.producer.send([Outgoing(EVENTS, event.id.encode(), encode(event), [])])

    async def put(self, topic: str, *deliveries: Delivery) -> None:
        key = deliveries[0].subscription_id.encode()
        await self.producer.send([Outgoing(topic, key, encode(each), []) for each in deliveries])

    async def replay(self, *deliveries: Delivery) -> None:
        await self.put(REPLAY, *(replace(each, round=REPLAY_1) for each in deliveries))

    async def stop(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(20):
            await self.task

    def unacked(self) -> int:
        """Return how many records of the worker's topics the group has not committed."""
        consumer = _member(self.bootstrap, self.group)
        try:
            return sum(
                consumer.get_watermark_offsets(place, timeout=30)[1] - place.offset
                for place in consumer.committed(_places(), timeout=30)
            )
        finally:
            consumer.close()


def _member(bootstrap: str, group: str) -> Consumer:
    return Consumer({"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False})


def _places() -> list[TopicPartition]:
    return [TopicPartition(topic, partition) for topic in TOPICS for partition in range(DEFAULT_PARTITIONS)]


def _begin_at_the_end(bootstrap: str, group: str) -> None:
    """Commit the ends of the topics for a group that does not exist yet: what other tests wrote is not for it."""
    consumer = _member(bootstrap, group)
    ends = [
        TopicPartition(place.topic, place.partition, consumer.get_watermark_offsets(place, timeout=30)[1])
        for place in _places()
    ]
    consumer.commit(offsets=ends, asynchronous=False)
    consumer.close()


@asynccontextmanager
async def running(
    bootstrap: str, producer: LoopProducer, given: WorkerSettings | None = None
) -> AsyncIterator[Running]:
    """Run a worker in this loop; it is stopped by SIGTERM, which it takes for itself while it runs."""
    chosen = given or settings()
    ready = asyncio.Event()
    await asyncio.to_thread(_begin_at_the_end, bootstrap, chosen.worker_group)
    kafka = KafkaSettings(bootstrap_servers=bootstrap)
    task = asyncio.create_task(run_worker(chosen, kafka, on_ready=ready.set))
    worker = Running(task, bootstrap, chosen.worker_group, producer)
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait([task, waiting], timeout=READY_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
    assert ready.is_set()
    try:
        yield worker
    finally:
        if not task.done():
            await worker.stop()


async def _outcomes_of(bootstrap: str, subscription: Subscription) -> list[Message]:
    found = await asyncio.to_thread(arrived_on, bootstrap, ATTEMPTS, partitions=DEFAULT_PARTITIONS)
    return [record for record in found if record.key() == subscription.id.encode()]


async def _quarantined(bootstrap: str, key: bytes) -> list[Message]:
    found = await asyncio.to_thread(arrived_on, bootstrap, QUARANTINE, partitions=DEFAULT_PARTITIONS)
    return [record for record in found if record.key() == key]


def fresh(url: str, **more: object) -> tuple[Subscription, Event]:
    """Return a subscription of an organization of its own, and an event for it."""
    organization = OrganizationId(f"org_{uuid.uuid4().hex}")
    subscription = made.subscription(url, organization=organization, **more)  # type: ignore[arg-type]  # the same names
    return subscription, made.event(organization=organization)


async def test_an_event_becomes_a_signed_post_and_sigterm_leaves_nothing_unacked(
    topics: str, producer: LoopProducer
) -> None:
    async with Receiver(answers(204)) as receiver, running(topics, producer) as worker:
        subscription, event = fresh(receiver.url)
        await worker.subscribe(subscription)
        await asyncio.sleep(0.5)  # in force everywhere
        await worker.publish(event)
        await receiver.until(lambda: len(receiver.requests) == 1, within_s=60)
        await worker.stop()
        assert worker.unacked() == 0
    (request,) = receiver.requests
    assert request.headers["webhook-id"] == event.id
    Webhook(made.KEY).verify(request.body, request.headers)


async def test_what_is_out_when_sigterm_comes_ends_and_is_not_sent_again(topics: str, producer: LoopProducer) -> None:
    opened = asyncio.Event()

    async def slow(_: Request, wire: Wire) -> None:
        await opened.wait()
        await wire.write(answer(204))

    same = settings()
    async with Receiver(slow) as receiver:
        async with running(topics, producer, same) as worker:
            subscription, event = fresh(receiver.url)
            await worker.subscribe(subscription)
            await asyncio.sleep(0.5)
            await worker.publish(event)
            await receiver.until(lambda: len(receiver.requests) == 1, within_s=60)
            stopping = asyncio.create_task(worker.stop())
            await asyncio.sleep(0.3)
            assert not worker.task.done()
            opened.set()
            await stopping
            assert worker.unacked() == 0
        assert len(receiver.requests) == 1


@pytest.mark.slow
async def test_a_worker_that_was_cut_off_sends_again_when_it_is_back(topics: str, producer: LoopProducer) -> None:
    opened = asyncio.Event()

    async def slow(_: Request, wire: Wire) -> None:
        await opened.wait()
        await wire.write(answer(204))

    hasty = settings(stop_within_s=0)
    async with Receiver(slow) as receiver:
        async with running(topics, producer, hasty) as worker:
            subscription, event = fresh(receiver.url)
            await worker.subscribe(subscription)
            await asyncio.sleep(0.5)
            await worker.publish(event)
            await receiver.until(lambda: len(receiver.requests) == 1, within_s=60)
            await worker.stop()
            assert worker.unacked() == 1
        opened.set()
        kafka = KafkaSettings(bootstrap_servers=topics)
        patient = hasty.model_copy(update={"stop_within_s": 20.0})
        again = Running(asyncio.create_task(run_worker(patient, kafka)), topics, hasty.worker_group, producer)
        await receiver.until(lambda: len(receiver.requests) == 2, within_s=60)
        await again.stop()
        assert again.unacked() == 0
    assert {request.headers["webhook-id"] for request in receiver.requests} == {event.id}


@pytest.mark.parametrize("topic", [SUBSCRIPTIONS, ROUNDS])
async def test_what_nobody_can_read_of_a_followed_topic_is_quarantined(
    topic: str, topics: str, producer: LoopProducer
) -> None:
    key, value = uuid.uuid4().hex.encode(), b"\x00 not Avro"
    async with running(topics, producer):
        await producer.send([Outgoing(topic, key, value, [])])
        async with asyncio.timeout(15):
            while not (found := await _quarantined(topics, key)):  # noqa: ASYNC110 - Kafka announces nothing
                await asyncio.sleep(0.1)
    assert {record.value() for record in found} == {value}
    headers = dict(found[0].headers() or [])
    assert (headers["__connect.errors.stage"], headers["__connect.errors.topic"]) == (b"index", topic.encode())
    await producer.send([Outgoing(topic, key, None, [])])  # for whoever reads the topic next


async def test_a_replay_that_hangs_takes_no_place_of_live_deliveries(topics: str, producer: LoopProducer) -> None:
    opened = asyncio.Event()

    async def slow(_: Request, wire: Wire) -> None:
        await opened.wait()
        await wire.write(answer(204))

    narrow = settings(most_in_flight=1, most_replaying=1)
    async with (
        Receiver(slow) as hanging,
        Receiver(answers(204)) as receiver,
        running(topics, producer, narrow) as worker,
    ):
        replayed, _ = fresh(hanging.url, timeout_ms=30_000)
        live, event = fresh(receiver.url)
        await worker.subscribe(replayed)
        await worker.subscribe(live)
        await asyncio.sleep(0.5)
        await worker.replay(*(made.delivery(replayed) for _ in range(3)))
        await hanging.until(lambda: len(hanging.requests) == 1, within_s=60)
        await worker.publish(event)
        await receiver.until(lambda: len(receiver.requests) == 1, within_s=60)
        assert len(hanging.requests) == 1
        opened.set()
        await hanging.until(lambda: len(hanging.requests) == 3, within_s=60)
        await worker.stop()
        assert worker.unacked() == 0
    assert [request.headers["hookline-replay"] for request in hanging.requests] == [REPLAY_1] * 3
    assert "hookline-replay" not in receiver.requests[0].headers


@pytest.mark.slow
async def test_what_a_replay_finished_behind_one_that_hung_is_not_sent_again(
    topics: str, producer: LoopProducer
) -> None:
    opened = asyncio.Event()

    async def slow(request: Request, wire: Wire) -> None:
        if request.body == b'"first"':
            await opened.wait()
        await wire.write(answer(204))

    hasty = settings(stop_within_s=0)
    async with Receiver(slow) as receiver:
        async with running(topics, producer, hasty) as worker:
            subscription, _ = fresh(receiver.url)
            await worker.subscribe(subscription)
            await asyncio.sleep(0.5)
            await worker.replay(*(made.delivery(subscription, body=b'"%s"' % name) for name in (b"first", b"second")))
            await receiver.until(lambda: len(receiver.requests) == 2, within_s=60)
            async with asyncio.timeout(30):
                while not await _outcomes_of(topics, subscription):  # noqa: ASYNC110 - Kafka announces nothing
                    await asyncio.sleep(0.1)
            await worker.stop()
            assert worker.unacked() == 2
        opened.set()
        patient = hasty.model_copy(update={"stop_within_s": 20.0})
        kafka = KafkaSettings(bootstrap_servers=topics)
        again = Running(asyncio.create_task(run_worker(patient, kafka)), topics, hasty.worker_group, producer)
        await receiver.until(lambda: len(receiver.requests) == 3, within_s=60)
        async with asyncio.timeout(20):
            while await asyncio.to_thread(again.unacked):  # noqa: ASYNC110 - Kafka announces nothing
                await asyncio.sleep(0.1)
        await again.stop()
    assert sorted(request.body for request in receiver.requests) == [b'"first"', b'"first"', b'"second"']


async def test_a_round_that_took_over_before_the_worker_started_is_known_to_it(
    topics: str, producer: LoopProducer
) -> None:
    async with Receiver(answers(204)) as receiver:
        subscription, _ = fresh(receiver.url)
        waited, other = (replace(made.delivery(subscription), attempt=2) for _ in range(2))
        current = CurrentRound(
            delivery_id=waited.id, subscription_id=subscription.id, round=REPLAY_1, since=waited.due_at
        )
        await producer.send([Outgoing(ROUNDS, waited.id.encode(), encode(current), [])])
        await producer.send([Outgoing(SUBSCRIPTIONS, subscription.id.encode(), encode(subscription), [])])
        async with running(topics, producer) as worker:
            await worker.put(DELIVER, waited, other)
            await receiver.until(lambda: len(receiver.requests) == 1, within_s=60)
            async with asyncio.timeout(15):
                while await asyncio.to_thread(worker.unacked):  # noqa: ASYNC110 - Kafka tells nobody of a commit
                    await asyncio.sleep(0.1)
            await worker.stop()
    assert [request.headers["webhook-id"] for request in receiver.requests] == [other.event_id]


async def test_what_a_worker_cannot_go_on_with_ends_it_and_acks_nothing(
    topics: str, producer: LoopProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(skipping, "ATTEMPTS", f"nowhere-{uuid.uuid4().hex}")
    monkeypatch.setattr(skipping, "_READ_WITHIN_S", 0.5)
    async with Receiver(answers(204)) as receiver, running(topics, producer) as worker:
        subscription, event = fresh(receiver.url)
        await worker.subscribe(subscription)
        await asyncio.sleep(0.5)
        await worker.publish(event)
        with pytest.raises(WorkerError, match="cannot read the tail"):
            await asyncio.wait_for(worker.task, 20)
        assert worker.unacked() == 1
    assert receiver.requests == []


@pytest.mark.slow
async def test_sigterm_ends_a_worker_that_waits_for_kafka() -> None:
    kafka = KafkaSettings(bootstrap_servers=closed_port())
    task = asyncio.create_task(run_worker(settings(), kafka))
    await asyncio.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(15):
        await task


async def test_without_a_master_key_it_does_not_start() -> None:
    with pytest.raises(UnfitSettings, match="HOOKLINE_MASTER_KEYS"):
        await run_worker(settings(master_keys=None), KafkaSettings(bootstrap_servers=closed_port()))


async def test_with_too_many_partitions_it_does_not_start() -> None:
    with pytest.raises(WorkerError, match="at most 32"):
        await run_worker(settings(partitions=1000), KafkaSettings(bootstrap_servers=closed_port()))
