"""Reading a topic from where it ends now, so that a test sees its own records."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # re-exported without __all__

PARTITIONS = 8
_READY_WITHIN_S = 15.0  # after a broker says that a topic was made, its partitions have no leader for a moment


def ensure_topic(bootstrap: str, topic: str) -> None:
    """Make a topic unless it is there."""
    admin = AdminClient({"bootstrap.servers": bootstrap})  # held: what it was asked for ends with it
    try:
        admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise


@contextmanager
def reading_from_now(bootstrap: str, topic: str) -> Iterator[Consumer]:
    """Yield a consumer of what comes to a topic from now on."""
    ensure_topic(bootstrap, topic)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "from-now", "enable.auto.commit": False})
    try:
        numbers = _partitions_of(consumer, topic)
        consumer.assign([TopicPartition(topic, number, _end_of(consumer, topic, number)) for number in numbers])
        yield consumer
    finally:
        consumer.close()


def _partitions_of(consumer: Consumer, topic: str) -> list[int]:
    """Return the topic's partitions, all of them: of a topic just made, a broker may know none yet."""
    deadline = time.monotonic() + _READY_WITHIN_S
    while len(found := list(consumer.list_topics(topic, timeout=30).topics[topic].partitions)) < PARTITIONS:
        assert time.monotonic() < deadline, f"{topic} has {len(found)} partitions"
        time.sleep(0.1)
    return found


def _end_of(consumer: Consumer, topic: str, number: int) -> int:
    deadline = time.monotonic() + _READY_WITHIN_S
    while True:
        try:
            return int(consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=30)[1])
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
