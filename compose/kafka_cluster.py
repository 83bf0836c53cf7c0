"""Several embedded Kafkas as one cluster: for trying what happens to three copies when brokers go."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from confluent_kafka.admin import AdminClient

from compose.children import LOOPBACK, EmbeddedServerError, free_port
from compose.kafka import EmbeddedKafka, Seat, new_cluster_id

_ASK_TIMEOUT_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.1


class KafkaCluster:
    """`brokers` brokers, each a controller too, in folders below `data`; Kafka's own topics have a copy on each.

    It is started like a single one. `brokers` holds them for whoever wants to stop or kill one of them; their numbers
    in Kafka begin at 1. Memory: about 300 MB each. The ports stay for this object's life.
    """

    def __init__(self, data: Path, *, brokers: int = 3) -> None:
        """Prepare; nothing is started or written. `data` must be new: the ports are, and brokers remember theirs."""
        controllers = {node: free_port() for node in range(1, brokers + 1)}
        voters = ",".join(f"{node}@{LOOPBACK}:{port}" for node, port in controllers.items())
        cluster_id = new_cluster_id()
        self.brokers = [
            EmbeddedKafka(data / f"{node}", seat=Seat(node, port, voters, cluster_id, brokers))
            for node, port in controllers.items()
        ]

    @property
    def bootstrap_servers(self) -> str:
        """Return where all of them are, `host:port` between commas."""
        return ",".join(broker.bootstrap_servers for broker in self.brokers)

    @property
    def pid(self) -> int | None:
        """Return the process id of the first broker that runs."""
        return next((broker.pid for broker in self.brokers if broker.is_running), None)

    def start(self) -> None:
        """Start those that do not run; returns before they are ready, raises as `EmbeddedKafka.start` does."""
        self._at_once([broker.start for broker in self.brokers])

    def wait_until_ready(self, timeout_s: float = 60.0) -> None:
        """Return once every broker answers; raises `EmbeddedServerError` with the log of one that does not."""
        self._at_once([lambda broker=broker: broker.wait_until_ready(timeout_s) for broker in self.brokers])  # type: ignore[misc] # mypy infers no defaults

    def stop(self, timeout_s: float = 15.0) -> None:
        """Stop all in order, by SIGKILL after `timeout_s`: the last ones have no quorum to say goodbye to."""
        self._at_once([lambda broker=broker: broker.stop(timeout_s) for broker in self.brokers])  # type: ignore[misc] # mypy infers no defaults

    def kill(self) -> None:
        """End all of them at once."""
        self._at_once([broker.kill for broker in self.brokers])

    def leader_of(self, topic: str, partition: int) -> EmbeddedKafka:
        """Return the broker that leads a partition; raises `EmbeddedServerError` when none does."""
        found = self._admin().list_topics(topic, timeout=_ASK_TIMEOUT_S).topics[topic].partitions[partition].leader
        if found < 1:
            raise EmbeddedServerError(f"partition {partition} of {topic} has no leader")
        return self.brokers[found - 1]

    def wait_until_in_sync(self, within_s: float = 60.0) -> None:
        """Return once every copy of every partition is in sync; raises `EmbeddedServerError` naming some that are not.

        Killing the next broker before that would be two at once for some partitions.
        """
        deadline = time.monotonic() + within_s
        while behind := self._behind():
            if time.monotonic() > deadline:
                raise EmbeddedServerError(f"not in sync after {within_s:.0f} s: {', '.join(behind[:5])}")
            time.sleep(_LOOK_EVERY_S)

    def _behind(self) -> list[str]:
        topics = self._admin().list_topics(timeout=_ASK_TIMEOUT_S).topics
        return [
            f"{name} {number}"
            for name, topic in topics.items()
            for number, partition in topic.partitions.items()
            if partition.leader < 1 or len(partition.isrs) < len(partition.replicas)
        ]

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})

    def _at_once(self, calls: list[Callable[[], None]]) -> None:
        with ThreadPoolExecutor(max_workers=len(calls)) as pool:
            for result in [pool.submit(call) for call in calls]:
                result.result()
