"""The embedded Kafka keeps what it acknowledged, comes back after a crash, and says why when it does not."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from compose import children
from compose.children import LOOPBACK, EmbeddedServerError, PortTakenError, free_port
from compose.kafka import EmbeddedKafka

pytestmark = [pytest.mark.slow, pytest.mark.kafka]

PARENT = """
import sys
from pathlib import Path
from compose.kafka import EmbeddedKafka
kafka = EmbeddedKafka(Path(sys.argv[1]))
kafka.start()
print(kafka.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[EmbeddedKafka]:
    """Return a Kafka that was not started, in a folder whose name no settings file of Java's would take."""
    kafka = EmbeddedKafka(tmp_path / "ké, a=b")
    yield kafka
    kafka.kill()


def start(kafka: EmbeddedKafka) -> None:
    kafka.start()
    kafka.wait_until_ready()


def publish(kafka: EmbeddedKafka, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "acks": "all"})
    producer.produce("kept", value, partition=0)
    assert producer.flush(20) == 0


def values_of(kafka: EmbeddedKafka, count: int) -> list[bytes | None]:
    consumer = Consumer(
        {"bootstrap.servers": kafka.bootstrap_servers, "group.id": "g", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe(["kept"])
    try:
        return [message.value() for message in consumer.consume(count, timeout=60)]
    finally:
        consumer.close()


def test_what_was_acknowledged_is_there_after_a_stop_and_after_a_crash(kafka: EmbeddedKafka) -> None:
    start(kafka)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result(20)
    port, cluster = kafka.port, admin.list_topics(timeout=30).cluster_id
    publish(kafka, b"before a stop")
    kafka.stop()
    start(kafka)
    publish(kafka, b"before a crash")
    kafka.kill()
    start(kafka)
    assert values_of(kafka, 2) == [b"before a stop", b"before a crash"]
    assert kafka.port == port
    assert AdminClient({"bootstrap.servers": kafka.bootstrap_servers}).list_topics(timeout=30).cluster_id == cluster


def test_only_this_machine_can_connect_and_a_topic_is_made_by_nobody_but_us(kafka: EmbeddedKafka) -> None:
    start(kafka)
    assert kafka.pid
    listening = [c.laddr.ip for c in psutil.Process(kafka.pid).net_connections() if c.status == psutil.CONN_LISTEN]
    assert {address.removeprefix("::ffff:") for address in listening} == {LOOPBACK}
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "allow.auto.create.topics": True})
    admin.list_topics("nobody-made-me", timeout=30)
    assert admin.list_topics(timeout=30).topics == {}


def test_a_formatting_that_was_interrupted_is_done_again(kafka: EmbeddedKafka) -> None:
    (kafka.data / "topics").mkdir(parents=True)
    (kafka.data / "topics" / "meta.properties").write_text("version=1\ncluster.id=AAAAAAAAAAAAAAAAAAAAAA\n")
    start(kafka)


def test_a_second_broker_on_the_folder_says_who_is_there_and_harms_nothing(kafka: EmbeddedKafka) -> None:
    start(kafka)
    written = (kafka.data / "server.properties").read_text()
    with pytest.raises(EmbeddedServerError, match="another Kafka runs on"):
        EmbeddedKafka(kafka.data).start()
    assert (kafka.data / "server.properties").read_text() == written
    kafka.wait_until_ready()


def test_a_taken_port_is_named_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "LEAVING_S", 0.0)
    with socket.create_server((LOOPBACK, free_port())) as server:
        kafka = EmbeddedKafka(tmp_path / "kafka", port=server.getsockname()[1])
        with pytest.raises(PortTakenError, match=f"port {kafka.port} .* --kafka-port"):
            kafka.start()
    assert not kafka.data.exists()


def test_waiting_for_what_was_not_started_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedServerError, match="not started"):
        EmbeddedKafka(tmp_path).wait_until_ready()


def test_no_broker_is_left_when_its_parent_gets_sigkill(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "kafka")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout
        broker = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    psutil.wait_procs([broker], timeout=30)
    assert not broker.is_running()
