"""A table for each day, made and dropped beside writers that never wait long."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from api.projection.days import AHEAD, BEHIND, LOCK, TABLES, DayKeeper, drop_days, make_days
from schemas.ids import new_attempt_id
from tests.api.projection.projecting import Db

pytestmark = pytest.mark.postgres

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
KEPT = 90 * DAY
HELD_S = 2.0


@pytest_asyncio.fixture
async def db(upgraded_url: str) -> AsyncIterator[Db]:
    connection = await asyncpg.connect(upgraded_url)
    yield connection
    await connection.close()


async def insert_attempt(db: Db, at: datetime) -> None:
    row: dict[str, Any] = {
        "id": new_attempt_id(), "at": at, "delivery_id": "dlv_1", "round": "0", "attempt": 1, "state": "success",
        "started_at": at, "due_at": at, "duration_ms": 1, "response_truncated": False, "body_bytes": 1,
        "subscription_version": 1, "worker": "w",
    }  # fmt: skip
    places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    await db.execute(f"INSERT INTO attempts ({', '.join(row)}) VALUES ({places})", *row.values())


async def tables_of(db: Db) -> set[str]:
    rows = await db.fetch("SELECT DISTINCT tableoid::regclass::text AS name FROM attempts")
    return {row["name"] for row in rows}


async def days_there(db: Db) -> list[str]:
    return [
        row["relname"] for row in await db.fetch("SELECT relname FROM pg_class WHERE relname ~ '^attempts_2[0-9]{7}$'")
    ]


def name_of(at: datetime) -> str:
    return f"days.attempts_{at:%Y%m%d}"


async def test_days_are_made_around_today_and_what_default_took_moves_there(db: Db, upgraded_url: str) -> None:
    for at in (NOW, NOW - DAY, NOW + 400 * DAY):
        await insert_attempt(db, at)
    assert await tables_of(db) == {"days.attempts_default"}
    keeper = DayKeeper(upgraded_url, retention=KEPT)
    assert await keeper.keep(NOW)
    assert await tables_of(db) == {name_of(NOW), name_of(NOW - DAY), "days.attempts_default"}
    assert await db.fetchval("SELECT count(*) FROM attempts") == 3
    assert len(await days_there(db)) == BEHIND + 1 + AHEAD
    await insert_attempt(db, NOW + DAY)
    assert name_of(NOW + DAY) in await tables_of(db)
    assert await keeper.keep(NOW)  # there is nothing left to do


async def test_a_new_days_table_has_every_index_of_the_parent(db: Db, upgraded_url: str) -> None:
    await DayKeeper(upgraded_url, retention=KEPT).keep(NOW)
    for table in TABLES:
        query = "SELECT count(*) FROM pg_index WHERE indrelid = $1::text::regclass AND indisvalid"
        assert await db.fetchval(query, table) == await db.fetchval(query, f"days.{table}_{NOW:%Y%m%d}")


async def test_one_keeper_at_a_time(db: Db, upgraded_url: str) -> None:
    await db.execute("SELECT pg_advisory_lock($1)", LOCK)
    assert not await DayKeeper(upgraded_url, retention=KEPT).keep(NOW)
    assert await days_there(db) == []


async def test_what_is_too_old_goes_and_the_rest_stays(db: Db, upgraded_url: str) -> None:
    keeper = DayKeeper(upgraded_url, retention=3 * DAY)
    await insert_attempt(db, NOW - 30 * DAY)  # no day's table takes it
    for days in range(6):
        await insert_attempt(db, NOW - days * DAY)
    old, recent = NOW - timedelta(hours=25), NOW - timedelta(hours=23)
    for created_at in (old, recent):
        await db.execute("INSERT INTO idempotency_keys VALUES ('o', $1, '', 200, '', $2)", str(created_at), created_at)
    for created_at in (NOW - 8 * DAY, NOW - 6 * DAY):
        await db.execute("INSERT INTO event_claims VALUES ('o', $1, 'e', '', $2)", str(created_at), created_at)
    await keeper.keep(NOW)
    kept = {row["day"] for row in await db.fetch("SELECT (at AT TIME ZONE 'UTC')::date AS day FROM attempts")}
    assert kept == {(NOW - days * DAY).date() for days in range(4)}
    assert (
        await db.fetchval("SELECT count(*) FROM pg_class WHERE relname = $1", f"attempts_{NOW - 5 * DAY:%Y%m%d}") == 0
    )
    assert await db.fetchval("SELECT count(*) FROM idempotency_keys") == 1
    assert await db.fetchval("SELECT count(*) FROM event_claims") == 1


async def test_a_table_taken_out_by_a_keeper_that_was_killed_is_dropped_by_the_next(db: Db, upgraded_url: str) -> None:
    await make_days(db, NOW.date())
    gone = f"days.attempts_{NOW - 7 * DAY:%Y%m%d}"
    await db.execute(f"ALTER TABLE attempts DETACH PARTITION {gone}")
    await drop_days(db, (NOW - 3 * DAY).date())
    assert await db.fetchval("SELECT to_regclass($1)", gone) is None


async def test_dropping_days_holds_up_no_writer_even_while_a_reader_holds_it_up(db: Db, upgraded_url: str) -> None:
    first = NOW.date() - 30 * DAY
    for offset in range(3):
        await make_days(db, first + offset * 5 * DAY)
    await make_days(db, NOW.date())
    for days in range(1, 10):
        await db.execute(
            "INSERT INTO attempts SELECT 'att_' || i, $1::timestamptz, 'dlv_1', '0', 1, 'success', 200, NULL, NULL, $1,"
            " $1, 1, NULL, NULL, NULL, NULL, NULL, repeat('x', 500)::bytea, false, 1, 1, 'w'"
            " FROM generate_series(1, 500) AS i",
            datetime.combine(first + days * DAY, datetime.min.time(), UTC),
        )
    reader, writer = await asyncpg.connect(upgraded_url), await asyncpg.connect(upgraded_url)
    reading = reader.transaction()
    await reading.start()
    await reader.fetch("SELECT FROM attempts LIMIT 1")  # whoever wants to take a day out waits for this one to end
    dropping = asyncio.create_task(drop_days(db, first + 20 * DAY))
    held_until = time.monotonic() + HELD_S
    inserts = 0
    while time.monotonic() < held_until or inserts < 20:
        await asyncio.wait_for(insert_attempt(writer, NOW), 60)  # or it waits for the reader, who ends after it
        inserts += 1
    assert not dropping.done()
    await reading.rollback()
    await dropping
    await reader.close()
    await writer.close()
    assert min(map(_day_of, await days_there(db))) >= first + 20 * DAY


def _day_of(name: str) -> date:
    return datetime.strptime(name.rpartition("_")[2], "%Y%m%d").date()  # noqa: DTZ007
