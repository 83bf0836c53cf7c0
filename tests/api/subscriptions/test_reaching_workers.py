"""A change of a subscription is on the compacted topic within two seconds of its answer: API, outbox, relay, Kafka."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # re-exported without __all__

from producers.relay import Relay
from producers.settings import KafkaSettings
from schemas.codec import decode
from schemas.records import Subscription
from schemas.topics import SUBSCRIPTIONS
from tests.api.conftest import client_of, settings_of

PATH = "/api/v1/subscriptions"


@pytest.fixture
def workers(bootstrap: str) -> Iterator[Consumer]:
    """A consumer of the topic, from where it ends now."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    topic = NewTopic(SUBSCRIPTIONS, num_partitions=8, replication_factor=1, config={"cleanup.policy": "compact"})
    with suppress(KafkaException):  # it is there already
        admin.create_topics([topic])[SUBSCRIPTIONS].result(30)
    while any(found.leader < 0 for found in admin.list_topics(SUBSCRIPTIONS).topics[SUBSCRIPTIONS].partitions.values()):
        time.sleep(0.05)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reaching-workers", "enable.auto.commit": False})
    numbers = consumer.list_topics(SUBSCRIPTIONS, timeout=10).topics[SUBSCRIPTIONS].partitions
    consumer.assign([TopicPartition(SUBSCRIPTIONS, number, _end(consumer, number)) for number in numbers])
    yield consumer
    consumer.close()


def _end(consumer: Consumer, number: int) -> int:
    return int(consumer.get_watermark_offsets(TopicPartition(SUBSCRIPTIONS, number), timeout=10)[1])


async def next_of(consumer: Consumer, subscription_id: str) -> Subscription | None:
    """Return what the next record of a subscription says; raises TimeoutError after two seconds."""
    async with asyncio.timeout(2):
        while True:
            message = await asyncio.to_thread(consumer.poll, 0.05)
            if message is not None and message.key() == subscription_id.encode():
                value = message.value()
                return None if value is None else decode(Subscription, value)


@pytest.mark.postgres
@pytest.mark.kafka
async def test_every_change_is_there_within_two_seconds(upgraded_url: str, bootstrap: str, workers: Consumer) -> None:
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
