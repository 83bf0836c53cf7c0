"""The real topics, and a producer for them."""

import time
from collections.abc import AsyncIterator

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from producers.handover import LoopProducer
from producers.records import RecordProducer
from schemas.topics import DEFAULT_PARTITIONS, declared_topics
from schemas.waits import parse_schedule

SCHEDULE = parse_schedule("1s,2s")


@pytest.fixture(scope="session")
def topics(bootstrap: str) -> str:
    """Return the broker once it has every topic; who shares them keeps to groups and subscriptions of its own."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    there = admin.list_topics(timeout=30).topics
    missing = [topic for topic in declared_topics(SCHEDULE.tiers) if topic.name not in there]
    new = [NewTopic(each.name, DEFAULT_PARTITIONS, 1, config=each.config) for each in missing]
    for future in admin.create_topics(new).values() if new else ():
        future.result(30)
    _wait_for_leaders(bootstrap, [topic.name for topic in missing])
    return bootstrap


def _wait_for_leaders(bootstrap: str, names: list[str]) -> None:
    """Return when every partition answers: after a broker says that a topic was made, it leads none for a moment."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused"})
    places = [TopicPartition(name, partition) for name in names for partition in range(DEFAULT_PARTITIONS)]
    deadline = time.monotonic() + 60
    while places:
        try:
            consumer.get_watermark_offsets(places[-1], timeout=30)
            places.pop()
        except KafkaException:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    consumer.close()


@pytest.fixture
async def producer(topics: str) -> AsyncIterator[LoopProducer]:
    records = RecordProducer({"bootstrap.servers": topics}, patience_s=10)
    yield LoopProducer(records)
    records.close()
