"""From a client's thread to the event loop, and a producer that the loop serves."""

import asyncio
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from producers import handover
from producers.errors import BrokersAway, ProducerClosed, ProducingError, QueueFull
from producers.handover import Handover, LoopProducer
from producers.records import Outgoing, RecordProducer
from producers.settings import KafkaSettings
from tests.producers.topics import arrived_on, closed_port, made_topic


def producer_to(bootstrap: str, *, patience_s: float = 20, most_waiting: int = 100_000) -> RecordProducer:
    config = KafkaSettings(bootstrap_servers=bootstrap).client_config()
    return RecordProducer(config, patience_s=patience_s, most_waiting=most_waiting)


@pytest.fixture
def topic(bootstrap: str) -> Iterator[str]:
    with made_topic(bootstrap) as name:
        yield name


def numbered(topic: str, numbers: range) -> list[Outgoing]:
    return [Outgoing(topic, b"k", str(number).encode(), []) for number in numbers]


async def test_calls_run_on_the_loop_in_order() -> None:
    handing, ran, done = Handover(asyncio.get_running_loop()), list[tuple[int, int]](), asyncio.Event()

    def note(number: int) -> None:
        ran.append((number, threading.get_ident()))

    def call_all() -> None:
        for number in range(1000):
            handing.call(partial(note, number))
        handing.call(done.set)

    await asyncio.to_thread(call_all)
    await done.wait()
    assert ran == [(number, threading.get_ident()) for number in range(1000)]


async def test_eight_threads_hand_over_every_call() -> None:
    handing, ran, done = Handover(asyncio.get_running_loop()), list[tuple[int, int]](), asyncio.Event()

    def note(thread: int, number: int) -> None:
        ran.append((thread, number))
        if len(ran) == 8000:
            done.set()

    def call_all(thread: int) -> None:
        for number in range(1000):
            handing.call(partial(note, thread, number))

    await asyncio.gather(*(asyncio.to_thread(call_all, thread) for thread in range(8)))
    await asyncio.wait_for(done.wait(), 20)
    for thread in range(8):
        assert [number for of, number in ran if of == thread] == list(range(1000))


async def test_a_call_that_raises_keeps_none_behind_it_from_running() -> None:
    loop, told, done = asyncio.get_running_loop(), list[dict[str, Any]](), asyncio.Event()
    loop.set_exception_handler(lambda _, context: told.append(context))
    handing = Handover(loop)

    def failing() -> None:
        raise RuntimeError("a bug")

    handing.call(failing)
    handing.call(done.set)
    await asyncio.wait_for(done.wait(), 5)
    assert str(told[0]["exception"]) == "a bug"


def test_a_closed_loop_needs_nothing() -> None:
    loop = asyncio.new_event_loop()
    handing = Handover(loop)
    loop.close()
    handing.call(lambda: None)


async def test_no_records_need_no_broker() -> None:
    producer = producer_to(closed_port())
    await LoopProducer(producer).send([])
    producer.close(0)


@pytest.mark.kafka
async def test_returns_when_the_brokers_have_all(bootstrap: str, topic: str) -> None:
    producer = producer_to(bootstrap)
    await LoopProducer(producer).send(numbered(topic, range(500)))
    assert producer.unreported == 0
    arrived = await asyncio.to_thread(arrived_on, bootstrap, topic)
    assert [int(message.value() or b"") for message in arrived] == list(range(500))
    producer.close(0)


@pytest.mark.kafka
async def test_many_at_once_are_all_served(bootstrap: str, topic: str) -> None:
    producer = producer_to(bootstrap)
    sending = LoopProducer(producer)
    for _ in range(2):  # again, after it had stopped serving
        await asyncio.gather(*(sending.send(numbered(topic, range(n, n + 3))) for n in range(0, 600, 3)))
    assert len(await asyncio.to_thread(arrived_on, bootstrap, topic)) == 1200
    producer.close(0)


async def test_raises_what_the_brokers_said_once_all_are_reported() -> None:
    producer = producer_to(closed_port(), patience_s=1)
    with pytest.raises(BrokersAway):
        await LoopProducer(producer).send(numbered("t", range(3)))
    assert producer.unreported == 0
    producer.close(0)


@pytest.mark.kafka
async def test_a_refused_record_raises_after_the_others_have_arrived(bootstrap: str, topic: str) -> None:
    producer = producer_to(bootstrap)
    too_large = Outgoing(topic, b"k", b"x" * (3 * 1024 * 1024), [])
    with pytest.raises(ProducingError, match="too large"):
        await LoopProducer(producer).send([*numbered(topic, range(2)), too_large, *numbered(topic, range(2, 4))])
    arrived = await asyncio.to_thread(arrived_on, bootstrap, topic)
    assert [message.value() for message in arrived] == [b"0", b"1", b"2", b"3"]
    producer.close(0)


@pytest.mark.kafka
async def test_of_many_each_has_its_own_outcome(bootstrap: str, topic: str) -> None:
    producer = producer_to(bootstrap)
    too_large = Outgoing(topic, b"k", b"x" * (3 * 1024 * 1024), [])
    outcomes = await LoopProducer(producer).outcomes_of([*numbered(topic, range(2)), too_large])
    assert outcomes[:2] == [None, None]
    assert isinstance(outcomes[2], ProducingError)
    assert await LoopProducer(producer).outcomes_of([]) == []
    producer.close()


@pytest.mark.kafka
async def test_more_than_the_queue_holds_goes_through_while_the_loop_runs_on(bootstrap: str, topic: str) -> None:
    producer = producer_to(bootstrap, most_waiting=10)
    sending = asyncio.create_task(LoopProducer(producer).send(numbered(topic, range(200))))
    longest_s, loop = 0.0, asyncio.get_running_loop()
    while not sending.done():
        before = loop.time()
        await asyncio.sleep(0)
        longest_s = max(longest_s, loop.time() - before)
    await sending
    assert longest_s < 0.1  # a poll that waits for room would hold the loop as long
    assert len(await asyncio.to_thread(arrived_on, bootstrap, topic)) == 200
    producer.close(0)


@pytest.mark.kafka
async def test_while_the_queue_is_full_nobody_overtakes(bootstrap: str, topic: str) -> None:
    """Events of one key are routed by one call each: their deliveries must come in the order of the calls."""
    producer = producer_to(bootstrap, most_waiting=3)
    sending = LoopProducer(producer)
    calls = []
    for number in range(0, 300, 3):
        calls.append(asyncio.create_task(sending.send(numbered(topic, range(number, number + 3)))))
        if number % 30 == 0:
            await asyncio.sleep(0.005)  # some come while others wait and the queue has just got room
    await asyncio.gather(*calls)
    numbers = [int(message.value() or b"") for message in await asyncio.to_thread(arrived_on, bootstrap, topic)]
    firsts = [number for number in numbers if number % 3 == 0]
    assert firsts == sorted(firsts)
    for number in firsts:  # the records of one call too, though another's may stand between them
        own = [each for each in numbers if number <= each < number + 3]
        assert own == [number, number + 1, number + 2]
    producer.close(0)


@pytest.mark.kafka
async def test_one_who_gives_up_in_the_line_holds_up_nobody(bootstrap: str, topic: str) -> None:
    producer = producer_to(bootstrap, most_waiting=2)
    sending = LoopProducer(producer)
    calls = [asyncio.create_task(sending.send(numbered(topic, range(n, n + 1)))) for n in range(20)]
    await asyncio.sleep(0)
    for cancelled in calls[4:8]:
        cancelled.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    arrived = [int(message.value() or b"") for message in await asyncio.to_thread(arrived_on, bootstrap, topic)]
    assert arrived == [*range(4), *range(8, 20)]
    producer.close(0)


async def test_a_queue_that_stays_full_is_said_and_holds_nobody_up_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "_QUEUE_WITHIN_S", 0.1)
    producer = producer_to(closed_port(), patience_s=1, most_waiting=2)
    with pytest.raises(QueueFull, match="2 records wait"):
        await LoopProducer(producer).send(numbered("t", range(3)))
    assert producer.unreported == 0
    producer.close(0)


async def test_a_caller_who_is_cancelled_leaves_the_rest_working() -> None:
    producer = producer_to(closed_port(), patience_s=1)
    sending = LoopProducer(producer)
    cancelled = asyncio.create_task(sending.send(numbered("t", range(3))))
    waiting = asyncio.create_task(sending.send(numbered("t", range(3))))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    with pytest.raises(BrokersAway):
        await waiting
    assert producer.unreported == 0
    producer.close(0)


async def test_a_closed_producer_says_so() -> None:
    producer = producer_to(closed_port())
    sending = LoopProducer(producer)
    waiting = asyncio.create_task(sending.send(numbered("t", range(3))))
    await asyncio.sleep(0)
    assert producer.close(0) == 3
    with pytest.raises(ProducerClosed):
        await waiting
    with pytest.raises(ProducerClosed):
        await sending.send(numbered("t", range(1)))
