"""What the projection's tests share: topics of their own, records as workers write them, a projector, and the recount.

`python -m tests.api.projection.projecting BOOTSTRAP PREFIX DATABASE_URL` runs a projector until SIGTERM.
"""

import asyncio
import contextlib
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import asyncpg
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from api.projection.disabling import Limits
from api.projection.projector import Projector
from api.projection.reading import Topics
from schemas.codec import Record, encode
from schemas.headers import Headers, delivery_headers
from schemas.ids import (
    EventId,
    OrganizationId,
    SubscriptionId,
    delivery_id_of,
    new_attempt_id,
    new_event_id,
    new_subscription_id,
)
from schemas.records import Attempt, AttemptState, Delivery, Event, FilterErrors, Position

PARTITIONS = 2
ORGANIZATION = OrganizationId("org_1")
Db: TypeAlias = "asyncpg.Connection[asyncpg.Record]"  # generic in its stubs only

RECOUNT = """
SELECT d.organization_id, d.subscription_id, (d.at AT TIME ZONE 'UTC')::date AS day,
    count(*) FILTER (WHERE state = 'pending') AS pending, count(*) FILTER (WHERE state = 'retrying') AS retrying,
    count(*) FILTER (WHERE state = 'success') AS success, count(*) FILTER (WHERE state = 'failed') AS failed,
    count(*) FILTER (WHERE state = 'held') AS held,
    coalesce(sum(made), 0)::bigint AS attempts, coalesce(sum(broke), 0)::bigint AS failed_attempts,
    coalesce(sum(took), 0)::bigint AS duration_ms
FROM deliveries d LEFT JOIN (
    SELECT delivery_id, count(*) AS made, count(*) FILTER (WHERE state <> 'success') AS broke, sum(duration_ms) AS took
    FROM attempts WHERE duration_ms > 0 AND state <> 'held' GROUP BY 1
) a ON a.delivery_id = d.id
WHERE NOT is_test GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
COUNTED = """
SELECT organization_id, subscription_id, day, sum(pending)::bigint AS pending, sum(retrying)::bigint AS retrying,
    sum(success)::bigint AS success, sum(failed)::bigint AS failed, sum(held)::bigint AS held,
    sum(attempts)::bigint AS attempts, sum(failed_attempts)::bigint AS failed_attempts,
    sum(duration_ms)::bigint AS duration_ms
FROM delivery_counts WHERE (subscription_id = '') = $1 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""


class Stage:
    """Topics under a prefix of their own on the real broker, a group of its own, and one database."""

    def __init__(self, bootstrap: str, database_url: str, prefix: str | None = None) -> None:
        self.kafka = {"bootstrap.servers": bootstrap}
        self.database_url = database_url
        self.prefix = prefix or f"projector-{uuid.uuid4().hex[:8]}"
        names = ("events", "deliver", "replay", "attempts", "quarantine", "behind", "filter_errors")
        self.topics = Topics(**{name: f"{self.prefix}.{name}" for name in names})
        self.producer = Producer({**self.kafka, "linger.ms": 5, "partitioner": "murmur2_random"})

    def create(self, names: Sequence[str] = ()) -> "Stage":
        admin = AdminClient({**self.kafka})  # kept in a name: its futures end with it
        for future in admin.create_topics(
            [NewTopic(name, PARTITIONS, 1) for name in names or self.topics.names]
        ).values():
            future.result(30)
        return self

    def delete(self, *names: str) -> None:
        admin = AdminClient({**self.kafka})
        for future in admin.delete_topics(list(names)).values():
            future.result(30)

    def projector(self, *, slot: str = "0", group: str = "group", limits: Limits | None = None) -> Projector:
        return Projector(
            self.database_url, self.kafka, topics=self.topics, group=f"{self.prefix}-{group}", slot=slot, limits=limits
        )

    def put(self, *records: Record, again: bool = False) -> None:
        """Append records to where they belong; return when the broker has them."""
        self.put_some(*records, again=again)
        assert self.producer.flush(30) == 0

    def put_some(self, *records: Record, again: bool = False) -> None:
        """Append records, keyed as workers key them; `again`: as a replay's."""
        for record in records:
            if isinstance(record, Delivery):
                topic = self.topics.replay if again else self.topics.deliver
                self.put_raw(topic, encode(record), key=record.subscription_id, headers=delivery_headers(record))
            elif isinstance(record, Attempt):
                self.put_raw(self.topics.attempts, encode(record), key=record.subscription_id)
            elif isinstance(record, FilterErrors):
                self.put_raw(self.topics.filter_errors, encode(record), key=record.subscription_id)
            else:
                assert isinstance(record, Event)
                self.put_raw(self.topics.events, encode(record), key=record.key or record.id)

    def put_raw(self, topic: str, value: bytes | None, *, key: str = "k", headers: Headers | None = None) -> None:
        self.producer.produce(topic, value, key=key.encode(), headers=[*(headers or [])])
        self.producer.poll(0)


def event(**changes: Any) -> Event:
    """Return an event of now."""
    given = {"id": new_event_id(), "type": "user.created", "organization_id": ORGANIZATION, "data": b'{"id":"u1"}'}
    return Event(**{"created_at": datetime.now(UTC), "key": "u1", **given, **changes})


def delivery(to: SubscriptionId | None = None, *, event_id: EventId | None = None, **changes: Any) -> Delivery:
    """Return the first attempt of a delivery that is due now, of an event of its own unless one is given."""
    subscription_id, now = to or new_subscription_id(), datetime.now(UTC)
    of = event_id or new_event_id()
    given = {
        "id": delivery_id_of(of, subscription_id),
        "event_id": of,
        "event_type": "user.created",
        "organization_id": ORGANIZATION,
        "subscription_id": subscription_id,
        "subscription_version": 1,
        "body": b'{"id":"u1"}',
        "event_position": Position(topic="hookline.events", partition=0, offset=1),
        "event_created_at": now,
        "due_at": now,
    }
    return Delivery(**{**given, **changes})


def outcome(of: Delivery, state: AttemptState = AttemptState.SUCCESS, **changes: Any) -> Attempt:
    """Return what an attempt of a delivery came to: 5 ms, 200 or 500."""
    failed = state is not AttemptState.SUCCESS
    given = {
        "id": new_attempt_id(),
        "delivery_id": of.id,
        "event_id": of.event_id,
        "event_type": of.event_type,
        "organization_id": of.organization_id,
        "subscription_id": of.subscription_id,
        "subscription_version": 1,
        "round": of.round,
        "attempt": of.attempt,
        "state": state,
        "source": None,
        "event_position": of.event_position,
        "event_created_at": of.event_created_at,
        "due_at": of.due_at,
        "started_at": of.due_at + timedelta(milliseconds=1),
        "duration_ms": 0 if state is AttemptState.HELD else 5,
        "status": 500 if failed else 200,
        "error_kind": "http" if failed else None,
        "request_headers": {"content-type": "application/json"},
        "next_attempt_at": of.due_at + timedelta(minutes=1) if state is AttemptState.RETRYING else None,
        "is_test": of.is_test,
        "key": of.key,
        "worker": "w",
    }
    return Attempt(**{**given, **changes})


@asynccontextmanager
async def running(projector: Projector) -> AsyncIterator[Projector]:
    """Run a projector until the end; what it raises is raised here."""
    task = asyncio.create_task(projector.run())
    placed = asyncio.create_task(projector.placed.wait())
    try:
        await asyncio.wait([task, placed], return_when=asyncio.FIRST_COMPLETED)
        yield projector
    finally:
        placed.cancel()
        projector.stop()
        async with asyncio.timeout(30):
            await task


@contextmanager
def process(stage: Stage) -> Iterator[subprocess.Popen[bytes]]:
    """Run a projector in a process of its own; killed at the end."""
    command = [sys.executable, "-m", "tests.api.projection.projecting"]
    started = subprocess.Popen([*command, stage.kafka["bootstrap.servers"], stage.prefix, stage.database_url])
    try:
        yield started
    finally:
        started.kill()
        started.wait()


async def until(holds: Callable[[], Awaitable[bool]], *, within_s: float = 30) -> None:
    """Look until it holds; nobody announces a commit."""
    async with asyncio.timeout(within_s):
        while not await holds():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.02)


async def until_count(db: Db, table: str, count: int, *, within_s: float = 30, where: str = "true") -> None:
    """Return when a table has so many rows; fails when there are more."""
    query = f"SELECT count(*) FROM {table} WHERE {where}"

    async def holds() -> bool:
        found = await db.fetchval(query)
        assert found <= count, f"{found} rows in {table}"
        return bool(found == count)

    with contextlib.suppress(TimeoutError):
        await until(holds, within_s=within_s)
    found = await db.fetchval(query)
    assert found == count, f"{found} rows in {table}, not {count}"


async def assert_counts_are_the_rows(db: Db) -> None:
    """Fail when delivery_counts says another thing than the rows, by subscription and by organization."""
    rows = [dict(row) for row in await db.fetch(RECOUNT)]
    assert [dict(row) for row in await db.fetch(COUNTED, False)] == rows
    totals: dict[tuple[str, Any], dict[str, Any]] = {}
    for row in rows:
        total = totals.setdefault((row["organization_id"], row["day"]), {})
        for name, value in row.items():
            if isinstance(value, int):
                total[name] = total.get(name, 0) + value
    every = {
        (row["organization_id"], row["day"]): {name: value for name, value in row.items() if isinstance(value, int)}
        for row in await db.fetch(COUNTED, True)
    }
    assert every == totals


async def _main(bootstrap: str, prefix: str, database_url: str) -> None:
    projector = Stage(bootstrap, database_url, prefix).projector()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, projector.stop)
    await projector.run()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
