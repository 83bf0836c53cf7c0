"""What the mover's tests share: topics of their own, deliveries that wait, a reader of what arrives, a mover.

`python -m tests.processors.moving BOOTSTRAP PREFIX TIERS_MS` runs a mover until SIGTERM; `… faust …` runs a Faust agent
that waits in its body instead: the control for FAUST.md, F11.
"""

import asyncio
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import FrameType

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from processors.mover import Mover
from processors.waiting import Bounds
from schemas.codec import decode, encode
from schemas.headers import delivery_headers
from schemas.ids import OrganizationId, SubscriptionId, delivery_id_of, new_event_id
from schemas.records import Delivery, Position
from schemas.waits import duration_name

PARTITIONS = 4
SUBSCRIPTION = SubscriptionId("sub_1")


@dataclass(frozen=True, slots=True)
class Arrived:
    """A record on the deliver or quarantine topic; `at` is when the mover produced it, floored to milliseconds."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    at: float
    read_at: float

    @property
    def delivery(self) -> Delivery:
        return decode(Delivery, self.value)

    @property
    def late_s(self) -> float:
        return self.read_at - self.delivery.due_at.timestamp()

    @property
    def is_early(self) -> bool:
        return self.at + 0.001 <= self.delivery.due_at.timestamp()


class Stage:
    """Topics under a prefix of their own on the real broker, and what a test does with them."""

    def __init__(self, bootstrap: str, tiers: Sequence[timedelta], prefix: str | None = None) -> None:
        self.kafka = {"bootstrap.servers": bootstrap}
        self.tiers = tuple(tiers)
        self.prefix = prefix or f"mover-{uuid.uuid4().hex[:8]}"
        self.deliver = f"{self.prefix}.deliver"
        self.quarantine = f"{self.prefix}.quarantine"

    def create(self) -> "Stage":
        topics = [self.deliver, self.quarantine, *map(self.retry, self.tiers)]
        admin = AdminClient({**self.kafka})  # kept in a name: its futures end with it
        for future in admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in topics]).values():
            future.result(30)
        return self

    def retry(self, tier: timedelta) -> str:
        return f"{self.prefix}.retry.{duration_name(tier)}"

    def mover(self, *, slot: str = "0", bounds: Bounds | None = None) -> Mover:
        return Mover(
            self.kafka,
            self.tiers,
            group=f"{self.prefix}-group",
            slot=slot,
            bounds=bounds,
            deliver_topic=self.deliver,
            quarantine_topic=self.quarantine,
            retry_topic_of=self.retry,
        )

    def put(self, tier: timedelta, deliveries: Sequence[Delivery], *, partition: int = 0) -> None:
        """Append deliveries to a tier; returns when the broker has them."""
        self.put_raw(tier, [(encode(one), delivery_headers(one)) for one in deliveries], partition=partition)

    def put_raw(
        self, tier: timedelta, records: Sequence[tuple[bytes, list[tuple[str, bytes]]]], *, partition: int = 0
    ) -> None:
        producer = Producer({**self.kafka, "linger.ms": 5})
        for value, headers in records:
            producer.produce(
                self.retry(tier), value, key=SUBSCRIPTION.encode(), headers=[*headers], partition=partition
            )
        assert producer.flush(30) == 0

    def arrived(self, topic: str, until: Callable[[list[Arrived]], bool], *, within_s: float = 40) -> list[Arrived]:
        """Read a topic from its beginning until `until` says that it is enough; fails after `within_s`."""
        found: list[Arrived] = []
        for batch in self.reading(topic):
            found += batch
            if until(found):
                return found
            within_s -= 0.1 if not batch else 0
            assert within_s > 0, f"only {len(found)} records arrived"
        raise AssertionError

    def reading(self, topic: str) -> Iterator[list[Arrived]]:
        """Yield what comes, for ever, at least an empty list each 0.1 s."""
        reader = Consumer({**self.kafka, "group.id": f"{self.prefix}-reader", "enable.auto.commit": False})
        reader.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
        try:
            while True:
                messages = reader.consume(500, 0)
                if not messages and (first := reader.poll(0.1)) is not None:
                    messages = [first]
                yield [
                    Arrived(m.key(), m.value(), [*(m.headers() or [])], m.timestamp()[1] / 1000, time.time())
                    for m in messages
                ]
        finally:
            reader.close()


def waiting(*, due_in_s: float, sequence: int = 0, body: bytes = b"{}") -> Delivery:
    """Return a delivery that is due in so many seconds."""
    now = datetime.now(UTC)
    event_id = new_event_id()
    return Delivery(
        id=delivery_id_of(event_id, SUBSCRIPTION),
        event_id=event_id,
        event_type="user.created",
        organization_id=OrganizationId("org_1"),
        subscription_id=SUBSCRIPTION,
        subscription_version=1,
        body=body,
        event_position=Position(topic="hookline.events", partition=0, offset=sequence),
        event_created_at=now,
        due_at=now + timedelta(seconds=due_in_s),
        attempt=2,
        sequence=sequence,
    )


@contextmanager
def running(mover: Mover) -> Iterator[Mover]:
    """Run a mover in a thread; what it raises is raised here."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            mover.run()
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield mover
    finally:
        mover.stop()
        thread.join(30)
    if failures:
        raise failures[0]
    assert not thread.is_alive()


@contextmanager
def process(stage: Stage, kind: str = "mover") -> Iterator[subprocess.Popen[bytes]]:
    """Run a mover in a process of its own; killed at the end."""
    tiers = ",".join(str(tier // timedelta(milliseconds=1)) for tier in stage.tiers)
    command = [sys.executable, "-m", "tests.processors.moving"]
    started = subprocess.Popen([*command, stage.kafka["bootstrap.servers"], stage.prefix, tiers, kind])
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def _main(bootstrap: str, prefix: str, tiers: str, kind: str) -> None:
    stage = Stage(bootstrap, [timedelta(milliseconds=int(tier)) for tier in tiers.split(",")], prefix)
    if kind == "faust":
        _run_faust(stage)
        return
    mover = stage.mover()

    def stop(_: int, __: FrameType | None) -> None:
        mover.stop()

    signal.signal(signal.SIGTERM, stop)
    mover.run()


def _run_faust(stage: Stage) -> None:
    import faust

    app = faust.App(
        stage.prefix,
        broker=f"kafka://{stage.kafka['bootstrap.servers']}",
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
    )
    producer = Producer({**stage.kafka, "linger.ms": 1})

    @app.agent(app.topic(stage.retry(stage.tiers[0]), value_serializer="raw", key_serializer="raw"))  # type: ignore[untyped-decorator]  # Faust has no types
    async def wait_in_the_body(values: "faust.StreamT[bytes]") -> None:
        async for value in values:
            await asyncio.sleep(max(0.0, decode(Delivery, value).due_at.timestamp() - time.time()))
            producer.produce(stage.deliver, value)
            producer.poll(0)

    sys.argv[1:] = ["worker", "--without-web", "--loglevel", "error"]
    app.main()


if __name__ == "__main__":
    _main(*sys.argv[1:])
