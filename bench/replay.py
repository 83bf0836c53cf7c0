"""Replay: how fast the runner puts dead letters on their topic, and what counting and choosing cost at 100,000.

A log is written straight into PostgreSQL, then the runner sends it at the rate asked for; Kafka and PostgreSQL are the
embedded ones. What the workers make of it, and what it does to live deliveries, needs the whole stack.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil
import uvloop
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # re-exported without __all__
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from api.database import engine_of, transaction_of
from api.migrations import upgrade
from api.replays.choosing import choice_of, count_of
from api.replays.progress import counted
from api.replays.queries import NOTHING_COUNTED, cancelled, started
from api.replays.running import ReplayRunner
from api.replays.tables import ReplayRow
from api.settings import ApiSettings
from compose.kafka import EmbeddedKafka
from compose.postgres import EmbeddedPostgres
from producers.settings import KafkaSettings
from schemas.ids import new_replay_id, new_subscription_id
from schemas.topics import DEFAULT_PARTITIONS, REPLAY, ROUNDS

ORGANIZATION = "org_default"
ITEMS = 5000
PER_S = 1000.0
MANY = 100_000
BODY_BYTES = 1024

# Ids as schemas/ids.py writes them: 48 bits of milliseconds, the version, and what makes them differ.
_LOG = """
WITH n AS (
    SELECT number, CAST(EXTRACT(EPOCH FROM now()) * 1000 AS bigint) - 86400000 + number AS ms
    FROM generate_series(1, :count) AS number
), ids AS (
    SELECT number, to_timestamp(0) + ms * interval '1 millisecond' AS at,
        lpad(to_hex(ms), 12, '0') || '7000' || '8' || lpad(to_hex(number), 15, '0') AS hex
    FROM n
), e AS (
    INSERT INTO events (id, at, organization_id, type, created_at, body, partition, "offset")
    SELECT 'evt_' || hex, at, :organization, 'user.created', at, convert_to(repeat('x', :bytes), 'UTF8'), 0, number
    FROM ids
)
INSERT INTO deliveries (id, at, organization_id, subscription_id, event_id, event_type, state, round, attempts,
    created_at, due_at, last_attempt_at, finished_at, is_test, sequence, transformation_version, event_partition,
    event_offset)
SELECT 'dlv_' || hex, at, :organization, :subscription, 'evt_' || hex, 'user.created', 'failed', '0', 7, at, at, at, at,
    false, number, 0, 0, number
FROM ids
"""
_SUBSCRIPTION = """
INSERT INTO subscriptions (id, organization_id, version, url, event_types, secrets, secrets_expire_at, timeout_ms,
    enabled, metadata, created_at, updated_at)
VALUES (:id, :organization, 1, 'https://example.com', '{*}', '{}', '{}', 15000, true, '{}', now(), now())
"""


def main() -> None:
    """Run all parts and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=ITEMS, help="deliveries that are sent (default 5000)")
    parser.add_argument("--per-second", type=float, default=PER_S, help="their rate (default 1000)")
    parser.add_argument("--many", type=int, default=MANY, help="items that are counted (default 100000)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hookline-bench-") as folder:
        kafka, postgres = EmbeddedKafka(Path(folder) / "kafka"), EmbeddedPostgres(Path(folder) / "postgres")
        postgres.start()
        kafka.start()
        try:
            postgres.wait_until_ready()
            kafka.wait_until_ready()
            _make_topics(kafka.bootstrap_servers)
            settings = ApiSettings(database_url=postgres.database_url, database_query_s=120)
            uvloop.run(_measure(settings, KafkaSettings(bootstrap_servers=kafka.bootstrap_servers), arguments))
        finally:
            kafka.stop()
            postgres.stop()


async def _measure(settings: ApiSettings, kafka: KafkaSettings, arguments: argparse.Namespace) -> None:
    await upgrade(settings.database_url)
    engine = engine_of(settings)
    async with _running(settings, kafka):
        await _measure_sending(engine, arguments.items, arguments.per_second)
        await _measure_retry(engine)
    await _measure_counting(engine, arguments.many)
    await engine.dispose()


@asynccontextmanager
async def _running(settings: ApiSettings, kafka: KafkaSettings) -> AsyncIterator[None]:
    runner = ReplayRunner(settings, kafka)
    task = asyncio.create_task(runner.run())
    await runner.wait_active()
    yield
    runner.stop()
    await task


async def _measure_sending(engine: AsyncEngine, items: int, per_second: float) -> None:
    subscription_id = await _log(engine, items)
    cpu = psutil.Process().cpu_times()
    began = time.perf_counter()
    row = await _asked(engine, subscription_id, per_second)
    await _left(engine, row.id, "pending")
    collected = time.perf_counter()
    await _left(engine, row.id, "running")
    took, after = time.perf_counter() - collected, psutil.Process().cpu_times()
    cpu_s = after.user + after.system - cpu.user - cpu.system
    print(f"collecting {items:,} items: {collected - began:.2f} s")
    print(f"sending them, {per_second:g}/s asked for: {items / took:,.0f}/s, CPU {cpu_s / items * 1e6:,.0f} µs each")


async def _measure_retry(engine: AsyncEngine) -> None:
    subscription_id = await _log(engine, 20)
    waits = []
    for number in range(20):
        row = ReplayRow(**_given(subscription_id, PER_S), is_retry=True, **{**NOTHING_COUNTED, "total": 1})
        began = time.perf_counter()
        async with transaction_of(engine) as db:
            item = (
                "INSERT INTO replay_items (replay_id, delivery_id, subscription_id, event_id, state)"
                " SELECT :replay, id, subscription_id, event_id, 'queued' FROM deliveries"
                " WHERE subscription_id = :subscription ORDER BY id OFFSET :number LIMIT 1"
            )
            await db.execute(text(item), {"replay": row.id, "subscription": subscription_id, "number": number})
            await started(db, row)
        await _left(engine, row.id, "pending")
        waits.append((time.perf_counter() - began) * 1000)
    print(f"a retry, from its request to Kafka: {sorted(waits)[10]:.0f} ms median, {max(waits):.0f} ms at most of 20")


async def _measure_counting(engine: AsyncEngine, many: int) -> None:
    subscription_id = await _log(engine, many)
    row = await _asked(engine, subscription_id, 0.001)
    async with transaction_of(engine) as db:
        print(f"count of a dry run, {many:,}: {await _ms(count_of(db, choice_of(row))):.0f} ms")
        fill = (
            "INSERT INTO replay_items (replay_id, delivery_id, subscription_id, event_id, state, sent_at)"
            " SELECT :replay, id, subscription_id, event_id, (ARRAY['queued','sent','succeeded','failed'])"
            "[1 + event_offset % 4], now() FROM deliveries WHERE subscription_id = :subscription"
        )
        await db.execute(text(fill), {"replay": row.id, "subscription": subscription_id})
    async with transaction_of(engine) as db:
        print(f"counting {many:,} items onto their replay: {await _ms(counted(db, [row.id])):.0f} ms")
    async with transaction_of(engine) as db:
        took = await _ms(cancelled(db, row.id, limit=10_000, now=datetime.now(UTC)))
        print(f"cancelling 10,000 of them: {took:.0f} ms")


async def _ms(work: object) -> float:
    began = time.perf_counter()
    await work  # type: ignore[misc] # any awaitable
    return (time.perf_counter() - began) * 1000


async def _log(engine: AsyncEngine, count: int) -> str:
    subscription_id = new_subscription_id()
    given = {"count": count, "organization": ORGANIZATION, "subscription": subscription_id, "bytes": BODY_BYTES}
    async with transaction_of(engine) as db:
        await db.execute(text(_SUBSCRIPTION), {"id": subscription_id, "organization": ORGANIZATION})
        await db.execute(text(_LOG), given)
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("ANALYZE deliveries"))
    return subscription_id


async def _asked(engine: AsyncEngine, subscription_id: str, per_second: float) -> ReplayRow:
    row = ReplayRow(**_given(subscription_id, per_second), is_retry=False, **NOTHING_COUNTED)
    async with transaction_of(engine) as db:
        await started(db, row)
    return row


def _given(subscription_id: str, per_second: float) -> dict[str, object]:
    return {
        "id": new_replay_id(),
        "organization_id": ORGANIZATION,
        "state": "pending",
        "subscription_id": subscription_id,
        "rate_per_s": per_second,
        "created_at": datetime.now(UTC),
    }


async def _left(engine: AsyncEngine, replay_id: str, state: str) -> None:
    """Return when a replay is not in this state any more."""
    asked = select(ReplayRow.state).where(ReplayRow.id == replay_id)
    while True:
        async with transaction_of(engine) as db:
            if (await db.execute(asked)).scalar_one() != state:
                return
        await asyncio.sleep(0.005)


def _make_topics(bootstrap: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for made in admin.create_topics([NewTopic(name, DEFAULT_PARTITIONS, 1) for name in (REPLAY, ROUNDS)]).values():
        made.result(30)


if __name__ == "__main__":
    main()
