"""Three brokers on this machine behave like three: two carry on alone, one refuses what it cannot copy."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from compose.children import EmbeddedServerError
from compose.kafka_cluster import KafkaCluster

pytestmark = [pytest.mark.slow, pytest.mark.kafka, pytest.mark.timeout(180)]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[KafkaCluster]:
    cluster = KafkaCluster(tmp_path / "cluster")
    yield cluster
    cluster.kill()


def published(cluster: KafkaCluster, value: bytes, *, within_s: int) -> KafkaError | None:
    """Return why a record was not acknowledged, None when all that are in sync have it."""
    said: list[KafkaError | None] = []
    config = {"bootstrap.servers": cluster.bootstrap_servers, "acks": "all", "log_level": 0}
    producer = Producer({**config, "message.timeout.ms": within_s * 1000})
    producer.produce("copied", value, partition=0, on_delivery=lambda error, _: said.append(error))
    producer.flush(
        60
    )  # a request on its way to a broker that was killed is given up by its socket, later than the record
    assert said, "the client said nothing of the record within a minute"
    return said[0]


def test_two_of_three_go_on_and_one_refuses(cluster: KafkaCluster) -> None:
    cluster.start()
    cluster.wait_until_ready()
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers, "log_level": 0})
    admin.create_topics([NewTopic("copied", 1, 3, config={"min.insync.replicas": "2"})])["copied"].result(20)
    cluster.wait_until_in_sync()
    assert published(cluster, b"by three", within_s=20) is None

    first = cluster.leader_of("copied", 0)
    first.kill()
    assert published(cluster, b"by two", within_s=40) is None
    with pytest.raises(EmbeddedServerError, match="copied 0"):
        cluster.wait_until_in_sync(within_s=0.1)

    next(broker for broker in cluster.brokers if broker.is_running).kill()
    assert published(cluster, b"by one", within_s=4) is not None
    assert cluster.pid is not None

    cluster.start()  # those that do not run
    cluster.wait_until_ready()
    cluster.wait_until_in_sync()
    consumer = Consumer({"bootstrap.servers": cluster.bootstrap_servers, "group.id": "unused", "log_level": 0})
    consumer.assign([TopicPartition("copied", 0, 0)])
    assert [message.value() for message in consumer.consume(2, timeout=60)] == [b"by three", b"by two"]
    consumer.close()
