"""A runner, and the topic that it writes, for tests: nothing here decides anything."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Consumer

from api.replays.queries import NOTHING_COUNTED, delivery_to_retry, queued, started
from api.replays.running import ReplayRunner
from api.replays.tables import ReplayRow
from producers.settings import KafkaSettings
from schemas.codec import decode
from schemas.ids import OrganizationId, new_replay_id
from schemas.records import Delivery
from schemas.topics import EVENTS
from tests.api.conftest import settings_of
from tests.api.replays.logged import Log

_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """A record of hookline.replay, and when the broker took it (seconds since 1970)."""

    delivery: Delivery
    key: bytes | None
    headers: dict[str, str | bytes | None]
    at: float


@asynccontextmanager
async def running(url: str, bootstrap: str, *, events_topic: str = EVENTS) -> AsyncIterator[ReplayRunner]:
    """Run a runner; it has ended, without an error, when the block has."""
    kafka = KafkaSettings(bootstrap_servers=bootstrap)
    runner = ReplayRunner(settings_of(url), kafka, patience_s=1.0, events_topic=events_topic)
    task = asyncio.create_task(runner.run())
    try:
        yield runner
    finally:
        runner.stop()
        async with asyncio.timeout(20):
            await task


async def asked(log: Log, *, rate_per_s: float = 1000.0, **fields: Any) -> str:
    """Ask for a replay as the route does; return its id."""
    row = _row_of(log, rate_per_s=rate_per_s, **fields)
    async with log.transaction() as db:
        await started(db, row)
    return row.id


async def asked_again(log: Log, delivery_id: str) -> str:
    """Ask for a retry as the route does; return the replay's id."""
    row = _row_of(log, is_retry=True, total=1)
    async with log.transaction() as db:
        delivery = await delivery_to_retry(db, OrganizationId(log.organization_id), delivery_id)
        assert delivery is not None
        assert await queued(db, row.id, delivery)
        await started(db, row)
    return row.id


def _row_of(log: Log, **fields: Any) -> ReplayRow:
    given = {"is_retry": False, "state": "pending", "rate_per_s": 1000.0, **NOTHING_COUNTED}
    return ReplayRow(
        id=new_replay_id(), organization_id=log.organization_id, created_at=datetime.now(UTC), **{**given, **fields}
    )


async def until(condition: Callable[[], Any], *, within_s: float = _WITHIN_S) -> Any:
    """Return what the condition comes to once it is true."""
    async with asyncio.timeout(within_s):
        while not (found := await condition()):  # noqa: ASYNC110 - nobody tells of a row that changes
            await asyncio.sleep(0.02)
    return found


async def replay_when(log: Log, replay_id: str, **wanted: object) -> dict[str, Any]:
    """Return a replay's row once its columns are as wanted."""

    async def row() -> dict[str, Any] | None:
        [found] = await log.run("SELECT * FROM replays WHERE id = :id", id=replay_id)
        return found if all(found[name] == value for name, value in wanted.items()) else None

    found: dict[str, Any] = await until(row)
    return found


async def outcomes(log: Log, replay_id: str, state: str = "succeeded") -> None:
    """End what was sent, as the projection does."""
    await log.run(
        "UPDATE replay_items SET state = :state, finished_at = now() WHERE replay_id = :id AND state = 'sent'",
        state=state,
        id=replay_id,
    )


async def arrivals(consumer: Consumer, replay_id: str, count: int) -> list[Arrival]:
    """Return a replay's records, at least `count` of them; fewer when no more come in time."""
    return await asyncio.to_thread(_read, consumer, replay_id, count)


def _read(consumer: Consumer, replay_id: str, count: int) -> list[Arrival]:
    found: list[Arrival] = []
    deadline = time.monotonic() + _WITHIN_S
    while len(found) < count and time.monotonic() < deadline:
        for message in consumer.consume(500, timeout=0.1):
            assert message.error() is None
            delivery = decode(Delivery, message.value())
            if delivery.round == replay_id:
                headers = dict(message.headers() or [])
                found.append(Arrival(delivery, message.key(), headers, message.timestamp()[1] / 1000))
    return found
