"""`python -m bench.projection`: how fast one projector writes the delivery log, and what that costs.

Puts deliveries and their outcomes straight onto the topics of an embedded Kafka, as workers would: 1 KB bodies, 100
subscriptions, one event for ten deliveries, 2 % failed. Then one projector, in a process of its own, writes them all.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import psutil
from confluent_kafka import Producer

from api.migrations import upgrade
from api.projection.days import DayKeeper
from compose.children import start_child
from compose.kafka import EmbeddedKafka
from compose.postgres import EmbeddedPostgres
from compose.topics import apply_topics
from processors.settings import WorkerSettings
from producers.settings import KafkaSettings
from schemas.codec import encode
from schemas.headers import delivery_headers
from schemas.ids import OrganizationId, delivery_id_of, new_attempt_id, new_event_id, new_subscription_id
from schemas.records import Attempt, AttemptState, Delivery, Event, Position
from schemas.sealing import new_master_key
from schemas.topics import ATTEMPTS, DELIVER, EVENTS, PARTITIONER

DELIVERIES = 100_000
PER_EVENT = 10
SUBSCRIPTIONS = 100
ONE_OF_FAILS = 50
BODY = json.dumps({"id": "u1", "name": "x" * 1000}).encode()
ORGANIZATION = OrganizationId("org_bench")
WITHIN_S = 600.0


def main() -> int:
    """Run it; exit 1 when rows are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deliveries", type=int, default=DELIVERIES)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--profile", type=Path, help="write the projector's profile (cProfile) to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hookline-bench-", ignore_cleanup_errors=True) as folder:
        figures = _run(Path(folder), arguments.deliveries, arguments.profile)
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0 if figures["deliveries"] == arguments.deliveries == figures["attempts"] else 1


def _run(folder: Path, deliveries: int, profile: Path | None) -> dict[str, Any]:
    kafka, postgres = EmbeddedKafka(folder / "kafka"), EmbeddedPostgres(folder / "postgres")
    try:
        for server in (kafka, postgres):
            server.start()
        for server in (kafka, postgres):
            server.wait_until_ready()
        apply_topics(WorkerSettings.model_validate({}), KafkaSettings(bootstrap_servers=kafka.bootstrap_servers))
        asyncio.run(_prepare(postgres.database_url))
        began = time.monotonic()
        _produce(kafka.bootstrap_servers, deliveries)
        print(f"# {deliveries} deliveries and outcomes are on their topics after {time.monotonic() - began:.1f} s")
        return _measure(folder, kafka, postgres, deliveries, profile)
    finally:
        kafka.stop()
        postgres.stop()


async def _prepare(database_url: str) -> None:
    await upgrade(database_url)
    await DayKeeper(database_url, retention=timedelta(days=90)).keep(datetime.now(UTC))


def _measure(
    folder: Path, kafka: EmbeddedKafka, postgres: EmbeddedPostgres, deliveries: int, profile: Path | None
) -> dict[str, Any]:
    env = {
        "DATABASE_URL": postgres.database_url,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "HOOKLINE_MASTER_KEYS": new_master_key(),
    }
    profiled = [] if profile is None else ["-m", "cProfile", "-o", str(profile.absolute())]
    argv = [sys.executable, *profiled, "-m", "compose.command", "projector"]
    ready = folder / "ready"
    before = _cpu_of_postgres(postgres)
    child = start_child(
        "projector",
        argv,
        log=folder / "projector.log",
        env={**os.environ, **env, "HOOKLINE_READY_FILE": str(ready)},
    )
    try:
        while not ready.exists():
            time.sleep(0.01)
        process = psutil.Process(child.pid)
        began, cpu_before = time.monotonic(), _cpu_s(process)
        counts = asyncio.run(_wait(postgres.database_url, deliveries))
        seconds = time.monotonic() - began
        cpu = {"projector": _cpu_s(process) - cpu_before, "postgresql": _cpu_of_postgres(postgres) - before}
        rss = process.memory_info().rss / 1e6
    finally:
        child.stop()
        print("#", *Path(folder / "projector.log").read_text().splitlines()[-3:], sep="\n# ")
    return {
        **counts,
        "seconds": round(seconds, 2),
        "deliveries_per_s": round(deliveries / seconds),
        "cpu_s_per_1000": {name: round(spent / deliveries * 1000, 3) for name, spent in cpu.items()},
        "projector_rss_mb": round(rss),
    }


async def _wait(database_url: str, deliveries: int) -> dict[str, int]:
    """Return the rows there are once the counts say that all is written; counting rows would cost the database."""
    connection = await asyncpg.connect(database_url)
    deadline = time.monotonic() + WITHIN_S
    done = 0
    while done < deliveries and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
        query = "SELECT coalesce(sum(success + failed), 0)::bigint FROM delivery_counts WHERE subscription_id = ''"
        done = await connection.fetchval(query)
    rows = {
        table: await connection.fetchval(f"SELECT count(*) FROM {table}")
        for table in ("events", "deliveries", "attempts")
    }
    await connection.close()
    return rows


def _produce(bootstrap: str, deliveries: int) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "partitioner": PARTITIONER})
    subscriptions = [new_subscription_id() for _ in range(SUBSCRIPTIONS)]
    for number in range(deliveries):
        if number % PER_EVENT == 0:
            event = Event(
                id=new_event_id(),
                type="user.created",
                organization_id=ORGANIZATION,
                created_at=datetime.now(UTC),
                data=BODY,
                key=f"u{number}",
            )
            producer.produce(EVENTS, encode(event), key=event.id.encode())
        subscription_id = subscriptions[number % SUBSCRIPTIONS]
        delivery, outcome = _pair(event, number, subscription_id)
        key = subscription_id.encode()
        producer.produce(DELIVER, encode(delivery), key=key, headers=[*delivery_headers(delivery)])
        producer.produce(ATTEMPTS, encode(outcome), key=key)
        if number % 1000 == 0:
            producer.flush()
    producer.flush()


def _pair(event: Event, number: int, subscription_id: Any) -> tuple[Delivery, Attempt]:
    position = Position(topic=EVENTS, partition=0, offset=number)
    failed = number % ONE_OF_FAILS == 0
    shared: dict[str, Any] = {
        "event_id": event.id,
        "event_type": event.type,
        "organization_id": event.organization_id,
        "subscription_id": subscription_id,
        "subscription_version": 1,
        "event_position": position,
        "event_created_at": event.created_at,
        "due_at": event.created_at,
        "key": event.key,
        "sequence": number,
    }
    delivery = Delivery(id=delivery_id_of(event.id, subscription_id), body=BODY, **shared)
    headers = {"content-type": "application/json", "webhook-id": event.id, "webhook-timestamp": "1", "user-agent": "x"}
    outcome = Attempt(
        id=new_attempt_id(),
        delivery_id=delivery.id,
        round="0",
        attempt=1,
        state=AttemptState.FAILED if failed else AttemptState.SUCCESS,
        source=position,
        started_at=event.created_at,
        duration_ms=number % 300 + 1,
        status=500 if failed else 200,
        error_kind="http" if failed else None,
        error="the receiver answered 500" if failed else None,
        url="https://example.com/hooks",
        address="203.0.113.7",
        request_headers={**headers, "webhook-signature": "***"},
        response_headers={"content-type": "text/plain", "content-length": "2", "server": "x"},
        response_body=b"ok",
        body_bytes=len(BODY),
        worker="worker-0",
        **shared,
    )
    return delivery, outcome


def _cpu_of_postgres(postgres: EmbeddedPostgres) -> float:
    """Return the CPU of the server and all its processes, also of those that have ended."""
    server = psutil.Process(postgres.pid)
    times = server.cpu_times()
    return times.children_user + times.children_system + sum(_cpu_s(one) for one in (server, *server.children()))


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


if __name__ == "__main__":
    sys.exit(main())
