"""A change of a subscription is on the compacted topic within two seconds of its answer: API, outbox, relay, Kafka."""

import asyncio
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer

from producers.relay import Relay
from producers.settings import KafkaSettings
from schemas.codec import decode
from schemas.records import Subscription
from schemas.topics import EVENTS, SUBSCRIPTIONS
from tests.api.conftest import client_of, settings_of
from tests.api.reading import ensure_topic, reading_from_now
from tests.machine import SLOW_MACHINE_S

PATH = "/api/v1/subscriptions"


@pytest.fixture
def workers(bootstrap: str) -> Iterator[Consumer]:
    ensure_topic(bootstrap, EVENTS)  # where it is told that one was disabled
    with reading_from_now(bootstrap, SUBSCRIPTIONS) as consumer:
        yield consumer


async def next_of(consumer: Consumer, subscription_id: str) -> Subscription | None:
    """Return what the next record of a subscription says; raises TimeoutError if it does not come."""
    async with asyncio.timeout(2 + SLOW_MACHINE_S):
        while True:
            message = await asyncio.to_thread(consumer.poll, 0.05)
            if message is not None and message.key() == subscription_id.encode():
                value = message.value()
                return None if value is None else decode(Subscription, value)


@pytest.mark.postgres
@pytest.mark.kafka
async def test_every_change_is_there_soon(upgraded_url: str, bootstrap: str, workers: Consumer) -> None:
    kafka = KafkaSettings(bootstrap_servers=bootstrap)
    relay = Relay(upgraded_url, kafka)
    running = asyncio.create_task(relay.run())
    await relay.wait_active()
    async with client_of(settings_of(upgraded_url), kafka) as api:
        body = {"url": "https://93.184.216.34/in", "event_types": ["user.*"]}
        subscription_id = (await api.post(PATH, json=body)).json()["id"]
        made = await next_of(workers, subscription_id)
        await api.patch(f"{PATH}/{subscription_id}", json={"enabled": False})
        changed = await next_of(workers, subscription_id)
        await api.delete(f"{PATH}/{subscription_id}")
        deleted = await next_of(workers, subscription_id)
    relay.stop()
    await running
    assert made is not None
    assert changed is not None
    assert (made.version, made.enabled, made.event_types) == (1, True, ("user.*",))
    assert (changed.version, changed.enabled) == (2, False)
    assert deleted is None
