"""The publisher of asyncio services, on the real Kafka."""

import asyncio
from typing import Any

import pytest

from producers import AsyncPublisher
from producers.errors import BrokersAway, ProducerClosed
from schemas.errors import InvalidInput
from tests.producers.test_publisher import kafka, published, user_created
from tests.producers.topics import closed_port

__all__ = ["kafka"]


@pytest.mark.kafka
async def test_awaited_events_are_with_the_brokers_in_the_order_of_the_calls(kafka: str) -> None:
    async with AsyncPublisher(kafka, source="/billing") as publisher:
        ids = await asyncio.gather(*(publisher.publish(**user_created(key="one")) for _ in range(500)))
        ids += await publisher.publish_all([user_created(key="one") for _ in range(500)])  # type: ignore[misc] # fields
    arrived = await asyncio.to_thread(published, kafka, *ids)
    assert [event.id for event, _ in arrived] == ids
    assert {event.source for event, _ in arrived} == {"/billing"}


async def test_what_does_not_fit_is_refused_and_nothing_of_a_batch_is_sent() -> None:
    async with AsyncPublisher(closed_port()) as publisher:
        with pytest.raises(InvalidInput) as caught:
            await publisher.publish_all([user_created(), user_created(data={})])  # type: ignore[list-item] # fields
        assert caught.value.pointer == "/data/id"
        assert publisher._producer is not None
        assert publisher._producer.unreported == 0


async def test_brokers_that_are_away_are_told_and_who_stops_waiting_stops_nobody() -> None:
    async with AsyncPublisher(closed_port(), patience_s=1) as publisher:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(publisher.publish(**user_created()), 0.05)
        with pytest.raises(BrokersAway):
            await asyncio.wait_for(publisher.publish(**user_created()), 30)


async def test_closing_gives_up_what_is_left_and_says_so() -> None:
    publisher: Any = AsyncPublisher(closed_port(), patience_s=30)
    with pytest.raises(ProducerClosed, match="not open"):
        await publisher.publish(**user_created())
    async with publisher:
        waiting = asyncio.create_task(publisher.publish(**user_created()))
        await asyncio.sleep(0)
        assert await publisher.close(0.1) == 1
        with pytest.raises(ProducerClosed):
            await waiting
    assert await publisher.close() == 0
