"""`python -m bench.publisher`: events of 1 KB through `Publisher.publish`, from one process to one Kafka.

The limit is measured in the same run: raw confluent-kafka, ready bytes under ready headers, with a delivery report each
that counts. Figures are events a second until Kafka has them all, and CPU µs an event of this process, of all threads
and of the thread that publishes; `--profile` prints where the time goes.
"""

import argparse
import asyncio
import cProfile
import json
import pstats
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvloop
from confluent_kafka import Producer

from compose.kafka import EmbeddedKafka
from compose.topics import apply_topics
from processors.settings import WorkerSettings
from producers import AsyncPublisher, Publisher
from producers.publisher import event_record
from producers.records import RecordProducer, ReportThread
from producers.settings import KafkaSettings
from schemas.envelope import new_event
from schemas.topics import EVENTS

AT_ONCE = 1000  # events that are awaited together
FILLING = "x" * 800  # an event's record has 1,024 bytes with it


@dataclass(frozen=True)
class Figures:
    """What one way came to."""

    name: str
    events: int
    per_s: float
    cpu_us: float
    publishing_cpu_us: float


def main() -> int:
    """Measure each way, `--runs` times in turns; print the best of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--kafka", help="host:port of a Kafka that runs; otherwise one is started")
    parser.add_argument("--json", type=Path, help="write every figure of every run to this file")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hookline-bench-") as folder:
        kafka = None if asked.kafka else EmbeddedKafka(Path(folder) / "kafka")
        try:
            if kafka is not None:
                kafka.start()
                kafka.wait_until_ready()
            settings = KafkaSettings(bootstrap_servers=asked.kafka or (kafka.bootstrap_servers if kafka else ""))
            apply_topics(WorkerSettings(), settings)
            found = _measure(settings, asked)
        finally:
            if kafka is not None:
                kafka.stop()
    if asked.json:
        asked.json.write_text(json.dumps([asdict(each) for each in found], indent=2) + "\n")
    return 0


def _measure(settings: KafkaSettings, asked: argparse.Namespace) -> list[Figures]:
    ways: dict[str, Callable[[KafkaSettings, int], None]] = {
        "limit: raw produce, counted": raw,
        "RecordProducer, ready records": records,
        "Publisher.publish": publisher,
        "AsyncPublisher.publish": asynchronous,
        "Publisher, receipts awaited": awaited,
    }
    found = []
    for _ in range(asked.runs):
        for name, way in ways.items():
            if asked.profile and name == "Publisher.publish":
                _profiled(lambda way=way: way(settings, asked.events))  # type: ignore[misc] # its default is its own
            found.append(_timed(name, way, settings, asked.events))
            print(_line(found[-1]), flush=True)
    print("best:")
    for name in ways:
        print(_line(min((each for each in found if each.name == name), key=lambda each: each.cpu_us)))
    return found


def _timed(name: str, way: Callable[[KafkaSettings, int], None], settings: KafkaSettings, events: int) -> Figures:
    began, cpu, own = time.perf_counter(), time.process_time(), time.thread_time()
    way(settings, events)
    took, all_us = time.perf_counter() - began, (time.process_time() - cpu) / events * 1e6
    own_us = (time.thread_time() - own) / events * 1e6
    return Figures(name, events, round(events / took), round(all_us, 2), round(own_us, 2))


def _line(figures: Figures) -> str:
    return (
        f"{figures.name:32} {figures.per_s:>8,.0f} events/s; CPU {figures.cpu_us:5.1f} µs an event, "
        f"{figures.publishing_cpu_us:5.1f} of them in the publishing thread"
    )


def given(number: int) -> dict[str, Any]:
    """Return the arguments of one event."""
    return {
        "type": "user.created",
        "organization_id": "org_789",
        "data": {"id": f"user_{number % 1000}", "email": "user@example.com", "name": FILLING},
        "key": f"user_{number % 1000}",
    }


def raw(settings: KafkaSettings, events: int) -> None:
    """Produce ready bytes as fast as the client takes them."""
    record = event_record(new_event(**given(1)), source="/bench")
    keys = [f"user_{number}".encode() for number in range(1000)]
    done = 0

    def reported(error: object, _: object) -> None:
        nonlocal done
        done += error is None

    producer = RecordProducer(settings.client_config(), patience_s=30)  # for its settings
    client = Producer(producer._config)  # noqa: SLF001
    for number in range(events):
        while True:
            try:
                client.produce(
                    EVENTS, record.value, keys[number % 1000], headers=[*record.headers], on_delivery=reported
                )
                break
            except BufferError:
                client.poll(0.01)
        if number % 1000 == 0:
            client.poll(0)
    client.flush(60)
    producer.close()
    assert done == events, done


def records(settings: KafkaSettings, events: int) -> None:
    """Produce ready records through our producer, reports served in a thread."""
    record = event_record(new_event(**given(1)), source="/bench")
    producer = RecordProducer(settings.client_config(), patience_s=30)
    told = list[object]()
    reports = ReportThread(producer)
    for _ in range(events):
        producer.produce(record, told.append)
    assert producer.flush(60) == 0
    reports.stop()
    producer.close()
    assert told == [None] * events


def publisher(settings: KafkaSettings, events: int) -> None:
    """Publish events and keep each receipt; all say in the end that Kafka has theirs."""
    with Publisher(settings=settings, patience_s=30) as publishing:
        receipts = [publishing.publish(**given(number)) for number in range(events)]
        assert publishing.flush(60) == 0
        assert all(receipt.done() for receipt in receipts)
        receipts[-1].result(0)


def asynchronous(settings: KafkaSettings, events: int) -> None:
    """Publish in an event loop, a thousand awaited at once."""

    async def publishing() -> None:
        async with AsyncPublisher(settings=settings, patience_s=30) as publisher:
            for first in range(0, events, AT_ONCE):
                await asyncio.gather(
                    *(publisher.publish(**given(number)) for number in range(first, min(first + AT_ONCE, events)))
                )

    uvloop.run(publishing())


def awaited(settings: KafkaSettings, events: int) -> None:
    """Do the same with a Publisher, whose reports come in a thread."""

    async def publishing() -> None:
        with Publisher(settings=settings, patience_s=30) as publisher:
            for first in range(0, events, AT_ONCE):
                await asyncio.gather(
                    *(publisher.publish(**given(number)) for number in range(first, min(first + AT_ONCE, events)))
                )

    uvloop.run(publishing())


def _profiled(call: Callable[[], None]) -> None:
    profile = cProfile.Profile()
    profile.runcall(call)
    pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    sys.exit(main())
