"""The tables of the days: made ahead, filled up behind, dropped when they are too old, without holding up writers.

Each of the log's tables has a DEFAULT partition for what no day takes, so that nothing is ever refused. What takes a
lock that writers would wait behind waits for it 50 ms at most, and tries again.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Final

import asyncpg
import structlog

from api.events.tables import KEPT_FOR as CLAIMS_KEPT_FOR
from api.idempotency.tables import KEPT_FOR as ANSWERS_KEPT_FOR
from api.projection.positions import Connection
from producers.postgres import AWAY

log = structlog.get_logger("api.projection.days")

TABLES: Final = ("events", "deliveries", "attempts")
BEHIND: Final = 7  # days: what is filed late (schemas/ids.py, FILED_BEFORE)
AHEAD: Final = 3
EVERY_S: Final = 300.0
LOCK: Final = 0x6C6F6764_61797300  # "logdays": one keeper at a time
_LOCK_TIMEOUT_MS: Final = 50
_TRIES: Final = 200
_PAUSE_S: Final = 0.2  # between two tries, half of it at random: writers go on meanwhile
_MOST_MOVED: Final = 20_000  # rows out of a DEFAULT partition while it is locked; more stay there
_BATCH: Final = 2000  # rows of one DELETE
_DAY: Final = timedelta(days=1)

# Names of tables and days are ours; none comes from outside. What PostgreSQL's DDL takes are no parameters.
_PARTITIONS: Final = """
SELECT p.relname AS parent, c.relname AS name, c.relispartition AS attached
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = i.inhparent
WHERE n.nspname = 'days' AND c.relkind = 'r'
"""
_OLD: Final[Sequence[tuple[str, str, str]]] = (
    ("days.events_default", "at < $1", "log"),
    ("days.deliveries_default", "at < $1", "log"),
    ("days.attempts_default", "at < $1", "log"),
    ("delivery_counts", "day < $1::timestamptz::date", "log"),
    ("quarantine", "at < $1", "log"),
    ("replay_items", "replay_id IN (SELECT id FROM replays WHERE finished_at < $1)", "log"),
    ("replays", "finished_at < $1 AND NOT EXISTS (SELECT FROM replay_items WHERE replay_id = replays.id)", "log"),
    ("event_claims", "created_at < $1", "claims"),
    ("idempotency_keys", "created_at < $1", "answers"),
)
_KEPT: Final = {"claims": CLAIMS_KEPT_FOR, "answers": ANSWERS_KEPT_FOR}


@dataclass(frozen=True, slots=True)
class Partition:
    """A table of the schema `days`."""

    table: str
    day: date
    attached: bool

    @property
    def name(self) -> str:
        """Its name with the schema."""
        return f"days.{self.table}_{self.day:%Y%m%d}"


class DayKeeper:
    """Keeps the days' tables until it is cancelled; of several, one does at a time."""

    def __init__(self, database_url: str, *, retention: timedelta, every_s: float = EVERY_S) -> None:
        self._database_url = database_url
        self._retention = retention
        self._every_s = every_s

    async def run(self) -> None:
        """Look after them at once and then every few minutes; PostgreSQL may be away meanwhile."""
        while True:
            try:
                await self.keep(datetime.now(UTC))
            except AWAY as error:
                log.warning("days.not_kept", error=type(error).__name__)
                await asyncio.sleep(min(self._every_s, 10.0))
            else:
                await asyncio.sleep(self._every_s)

    async def keep(self, now: datetime) -> bool:
        """Make what is missing, remove what is too old; return False when another keeper is at it."""
        settings = {"application_name": "hookline-days", "timezone": "UTC"}
        connection: Connection = await asyncpg.connect(
            self._database_url, timeout=5, command_timeout=60, server_settings=settings
        )
        try:
            if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
                return False
            await make_days(connection, now.date())
            await drop_days(connection, (now - self._retention).date())
            await delete_old(connection, now, self._retention)
            return True
        finally:
            with suppress(*AWAY):
                await connection.close(timeout=2)


async def make_days(connection: Connection, today: date) -> None:
    """Make the tables of the days around `today` that are missing; rows that DEFAULT took for them move there."""
    there = {(one.table, one.day) for one in await _partitions(connection)}
    for offset in (*range(AHEAD + 1), *range(-1, -BEHIND - 1, -1)):
        for table in TABLES:
            if (table, today + offset * _DAY) not in there:
                partition = Partition(table, today + offset * _DAY, attached=True)
                await _patiently(partition.name, partial(_make, connection, partition))


async def drop_days(connection: Connection, first_kept: date) -> None:
    """Drop the tables of all days before `first_kept`.

    First out of the table, which takes a lock on all of it for a moment, then its files, which takes long and is
    nobody's business any more. A table that was taken out and not dropped, by a process that was killed, goes now.
    """
    for partition in await _partitions(connection):
        if partition.day >= first_kept:
            continue
        if partition.attached:
            detach = f"ALTER TABLE {partition.table} DETACH PARTITION {partition.name}"
            if not await _patiently(partition.name, partial(_within_timeout, connection, detach)):
                continue
        await connection.execute(f"DROP TABLE {partition.name}")
        log.info("days.dropped", partition=partition.name)


async def delete_old(connection: Connection, now: datetime, retention: timedelta) -> None:
    """Delete rows that are too old from the tables without days, a few at a time."""
    for table, too_old, kept in _OLD:
        before = now - _KEPT.get(kept, retention)
        some = f"DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE {too_old} LIMIT {_BATCH}))"  # noqa: S608
        deleted = _BATCH
        while deleted == _BATCH:
            deleted = int((await connection.execute(some, before)).rpartition(" ")[2])
    await connection.execute(
        "DELETE FROM subscription_health h WHERE NOT EXISTS (SELECT FROM subscriptions WHERE id = h.subscription_id)"
    )


async def _partitions(connection: Connection) -> list[Partition]:
    found = []
    for row in await connection.fetch(_PARTITIONS):
        table, _, day = row["name"].rpartition("_")
        if table in TABLES and day.isdigit():
            found.append(Partition(table, datetime.strptime(day, "%Y%m%d").date(), row["attached"]))  # noqa: DTZ007
    return sorted(found, key=lambda one: (one.day, one.table))


async def _make(connection: Connection, partition: Partition) -> None:
    """Make a day's table with what DEFAULT has of that day, and put it in its place."""
    default = f"days.{partition.table}_default"
    since, until = f"'{partition.day} 00:00:00+00'", f"'{partition.day + _DAY} 00:00:00+00'"
    of_the_day = f"at >= {since} AND at < {until}"
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}")
        await connection.execute(
            f"CREATE TABLE {partition.name} (LIKE {partition.table}"
            " INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES INCLUDING STORAGE)"
        )
        # ATTACH takes this lock itself; before it, rows of that day could come between the move and it.
        await connection.execute(f"LOCK TABLE {default} IN ACCESS EXCLUSIVE MODE")
        counted = f"SELECT count(*) FROM (SELECT FROM {default} WHERE {of_the_day} LIMIT {_MOST_MOVED + 1}) AS counted"  # noqa: S608
        if await connection.fetchval(counted) > _MOST_MOVED:
            raise _TooMany
        await connection.execute(
            f"WITH moved AS (DELETE FROM {default} WHERE {of_the_day} RETURNING *)"  # noqa: S608
            f" INSERT INTO {partition.name} SELECT * FROM moved"
        )
        await connection.execute(
            f"ALTER TABLE {partition.table} ATTACH PARTITION {partition.name} FOR VALUES FROM ({since}) TO ({until})"
        )


async def _within_timeout(connection: Connection, statement: str) -> None:
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}")
        await connection.execute(statement)


async def _patiently(name: str, act: Callable[[], Awaitable[None]]) -> bool:
    """Act once the locks can be had; return False when they could not for long, or it would take too long."""
    for _ in range(_TRIES):
        try:
            await act()
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            await asyncio.sleep(_PAUSE_S * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
        except _TooMany:
            log.warning("days.stays_in_default", partition=name, more_than=_MOST_MOVED)
            return False
        else:
            return True
    log.warning("days.locked", partition=name)
    return False


class _TooMany(Exception):
    """More rows would have to be moved than a lock may be held for."""
