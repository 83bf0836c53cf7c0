"""Topics of a test's own, and what arrived on them, read with a consumer that knows nothing of ours."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic


@contextmanager
def made_topic(bootstrap: str, *, partitions: int = 1, largest_bytes: int = 2 * 1024 * 1024) -> Iterator[str]:
    """Make a topic; delete it afterwards."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    name = f"test-{uuid4().hex}"
    admin.create_topics([NewTopic(name, partitions, 1, config={"max.message.bytes": str(largest_bytes)})])[name].result(
        30
    )
    try:
        yield name
    finally:
        admin.delete_topics([name])[name].result(30)


def arrived_on(
    bootstrap: str, topic: str, *, partitions: int = 1, until: Callable[[list[Message]], bool] = lambda _: True
) -> list[Message]:
    """Return the topic's records, partition by partition in order, once all that is there is read and `until` holds."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False, "fetch.wait.max.ms": 10}
    )
    found: list[Message] = []
    try:
        places = [TopicPartition(topic, partition, 0) for partition in range(partitions)]
        consumer.assign(places)
        for _ in range(200):
            ends = [consumer.get_watermark_offsets(place, timeout=30)[1] for place in places]
            while len(found) < sum(ends):
                found += [message for message in consumer.consume(1000, timeout=0.2) if message.error() is None]
            if until(found):
                return found
            found += [message for message in consumer.consume(1, timeout=0.1) if message.error() is None]
    finally:
        consumer.close()
    raise AssertionError(f"after {len(found)} records it still does not hold")


def closed_port() -> str:
    """Return an address where nobody listens."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listening.getsockname()[1]}"
