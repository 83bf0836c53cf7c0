"""One batch of records into PostgreSQL: all of it and the positions behind it in one transaction, or nothing."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final, cast

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from api.projection import behind, disabling, filter_errors
from api.projection.disabling import Decision, Limits
from api.projection.folding import COUNTED_STATES, Changed, Fold, Known
from api.projection.positions import Connection, Identities, Move, Partition, move_on, positions_of
from api.projection.reading import AttemptSeen, DeliverySeen, EventSeen, QuarantineSeen, Seen
from api.projection.rows import (
    ATTEMPT_COLUMNS,
    CHANGE_DELIVERIES,
    DELIVERY_COLUMNS,
    EVENT_COLUMNS,
    attempt_row,
    delivery_row,
    event_row,
    quarantine_row,
)
from api.subscriptions.outcomes import CHANNEL
from schemas.ids import DeliveryId, made_at
from schemas.records import Attempt

_LOCKS: Final = 0x6C6F67  # "log", the first of two keys: the second is a number of partitions
_A_DAY: Final = timedelta(days=1)
_SESSION: Final = {
    "application_name": "hookline-projector",
    # What is lost with the last commits of a crash is read again: their positions are lost with them.
    "synchronous_commit": "off",
    # Plans for the day at hand, by its index, whatever statistics say of a table that was empty a minute ago.
    "plan_cache_mode": "force_custom_plan",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "jit": "off",
    # A projector that is frozen within a transaction holds up the one that took over.
    "idle_in_transaction_session_timeout": "10s",
}

_LOCK: Final = text("SELECT pg_advisory_xact_lock(:locks, number) FROM unnest(CAST(:numbers AS int[])) AS number")
# OFFSET 0 keeps the planner from making a join of it: one look into the day's index for each id, whatever the
# statistics of a table say that was empty a minute ago.
_KNOWN: Final = """
SELECT d.* FROM unnest($1::text[], $2::timestamptz[]) AS w(id, at) CROSS JOIN LATERAL (
    SELECT id, round, state, attempts, last_attempt_at FROM deliveries AS d
    WHERE d.id = w.id COLLATE "C" AND d.at = w.at AND d.at >= $3 AND d.at < $4 OFFSET 0
) AS d
"""
_THERE: Final = """
SELECT t.* FROM unnest($1::text[], $2::timestamptz[]) AS w(id, at) CROSS JOIN LATERAL (
    SELECT id, at FROM {table} AS t WHERE t.id = w.id COLLATE "C" AND t.at = w.at OFFSET 0
) AS t
"""
_COUNT: Final = f"""
INSERT INTO delivery_counts AS c (organization_id, subscription_id, day, partition, {", ".join(COUNTED_STATES)},
    attempts, failed_attempts, duration_ms, durations)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (organization_id, subscription_id, day, partition) DO UPDATE SET
    {", ".join(f"{state} = c.{state} + excluded.{state}" for state in COUNTED_STATES)},
    attempts = c.attempts + excluded.attempts, failed_attempts = c.failed_attempts + excluded.failed_attempts,
    duration_ms = c.duration_ms + excluded.duration_ms,
    durations = (SELECT array_agg(coalesce(was, 0) + coalesce(more, 0) ORDER BY place)
        FROM unnest(c.durations, excluded.durations) WITH ORDINALITY AS bucket(was, more, place))
"""  # noqa: S608 - names of our own states
# Whoever sends a replay's items says when they were sent; here it says how they ended. What was taken stays taken.
_END_ITEMS: Final = """
UPDATE replay_items AS i SET state = e.state, finished_at = e.finished_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) AS e(replay_id, delivery_id, state, finished_at)
WHERE i.replay_id = e.replay_id COLLATE "C" AND i.delivery_id = e.delivery_id COLLATE "C"
    AND i.state IN ('queued', 'sent', 'failed', 'held')
"""
_QUARANTINE: Final = """
INSERT INTO quarantine (id, at, topic, partition, "offset", stage, error_class, error, key, value, headers)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING
"""
_NOTIFY: Final = "SELECT pg_notify($1, id) FROM unnest($2::text[]) AS id"


@dataclass(frozen=True, slots=True)
class Batch:
    """What a run of records tells, and how far it goes."""

    seen: Sequence[Seen]
    moves: Sequence[Move]


def projecting_engine(database_url: str, *, wait_s: float, query_s: float) -> AsyncEngine:
    """Return the engine of one projector; it connects when it is first used."""

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(database_url, timeout=wait_s, command_timeout=query_s, server_settings=_SESSION)

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        pool_size=1,
        max_overflow=0,
        pool_pre_ping=False,  # a connection that is gone is an error of the batch, which is tried again
        hide_parameters=True,
    )


class Writer:
    """Writes batches, one at a time."""

    def __init__(self, engine: AsyncEngine, limits: Limits, *, behind: str) -> None:
        """Prepare; `behind` is the name of the topic of cursors."""
        self._engine = engine
        self._limits = limits
        self._behind = behind

    async def positions(self, partitions: Iterable[Partition], identities: Identities) -> dict[Partition, int]:
        """Return the next offset of each partition, noting those that are new."""
        wanted = sorted(partitions)
        async with self._transaction(number for _, number in wanted) as (_, raw):
            positions = await positions_of(raw, wanted, identities)
            begun = [number for (topic, number), offset in positions.items() if topic == self._behind and offset == 0]
            await behind.forget(raw, begun)  # the topic may have been made anew
            return positions

    async def write(self, batch: Batch, *, known_rows: bool = False) -> None:
        """Write a batch and commit; raises Refused when somebody else has, and what PostgreSQL says.

        `known_rows`: leave out events and attempts that are there already. Without it they are a unique violation,
        which costs nothing where there are none.
        """
        async with self._transaction(move.partition for move in batch.moves) as (connection, raw):
            await move_on(raw, batch.moves)
            seen = await _without_known(raw, batch.seen) if known_rows else batch.seen
            disabled = await self._write_seen(connection, raw, seen)
        disabling.tell(disabled)

    async def measure(self, partitions: Iterable[Partition]) -> None:
        """Say for Prometheus how many subscriptions of these partitions are behind."""
        numbers = sorted({number for topic, number in partitions if topic == self._behind})
        async with self._transaction([]) as (_, raw):
            await behind.measure(raw, numbers)

    async def _write_seen(self, connection: AsyncConnection, raw: Connection, seen: Sequence[Seen]) -> list[Decision]:
        fold = Fold(await _known_of(raw, _deliveries_in(seen)))
        for one in seen:
            if isinstance(one, AttemptSeen):
                fold.attempt(one.attempt, one.partition)
            elif isinstance(one, DeliverySeen):
                fold.deliver(one.delivery, one.partition)
        attempts = [one for one in seen if isinstance(one, AttemptSeen)]
        await _copy(raw, "events", EVENT_COLUMNS, [event_row(one) for one in seen if isinstance(one, EventSeen)])
        await _copy(raw, "deliveries", DELIVERY_COLUMNS, [delivery_row(*item) for item in fold.new.items()])
        await _change(raw, fold.changed)
        await _copy(raw, "attempts", ATTEMPT_COLUMNS, [attempt_row(one) for one in attempts])
        disabled = await disabling.judge(connection, raw, [one.attempt for one in attempts], self._limits)
        await behind.follow(raw, seen)
        await filter_errors.add(raw, seen)  # after subscriptions were locked, as whoever deletes one does
        await _count(raw, fold)
        await _end_items(raw, fold)
        await _quarantine(raw, [one for one in seen if isinstance(one, QuarantineSeen)])
        await _notify(raw, [one.attempt for one in attempts])
        return disabled

    @asynccontextmanager
    async def _transaction(self, numbers: Iterable[int]) -> AsyncIterator[tuple[AsyncConnection, Connection]]:
        """Begin, and be alone with the partitions of these numbers in every topic.

        Records of a delivery come from several topics. Two projectors may hold partitions of one number for a moment
        while Kafka hands them over: they must not read each other's rows before they are committed.
        """
        async with self._engine.connect() as connection, connection.begin():
            await connection.execute(_LOCK, {"locks": _LOCKS, "numbers": sorted(set(numbers))})
            driver = (await connection.get_raw_connection()).driver_connection
            yield connection, cast(Connection, driver)


def _deliveries_in(seen: Iterable[Seen]) -> set[DeliveryId]:
    found = set()
    for one in seen:
        if isinstance(one, AttemptSeen):
            found.add(one.attempt.delivery_id)
        elif isinstance(one, DeliverySeen):
            found.add(one.delivery.id)
    return found


async def _known_of(raw: Connection, deliveries: Iterable[DeliveryId]) -> dict[DeliveryId, Known]:
    known: dict[DeliveryId, Known] = {}
    for first, last, ids in _by_day(deliveries):
        for row in await raw.fetch(_KNOWN, ids, [made_at(identifier) for identifier in ids], first, last):
            known[row["id"]] = Known(row["round"], row["state"], row["attempts"], row["last_attempt_at"])
    return known


def _by_day(deliveries: Iterable[DeliveryId]) -> list[tuple[datetime, datetime, list[DeliveryId]]]:
    """Return ids by the day of their table, and the day's bounds: a plan for one day looks at one table."""
    ordered = sorted(deliveries, key=lambda identifier: identifier[4:])
    days = groupby(
        ordered, key=lambda identifier: made_at(identifier).replace(hour=0, minute=0, second=0, microsecond=0)
    )
    return [(day, day + _A_DAY, list(ids)) for day, ids in days]


async def _change(raw: Connection, changed: Mapping[DeliveryId, Changed]) -> None:
    if changed:
        rows = [delivery_row(identifier, changed[identifier]) for identifier in sorted(changed)]
        await raw.execute(CHANGE_DELIVERIES, *zip(*rows, strict=True))


async def _count(raw: Connection, fold: Fold) -> None:
    rows = [
        (
            place.organization_id,
            place.subscription_id,
            place.day,
            place.partition,
            *(tally.states[state] for state in COUNTED_STATES),
            tally.attempts,
            tally.failed_attempts,
            tally.duration_ms,
            tally.durations,
        )
        for place, tally in sorted(fold.counts().items(), key=lambda item: item[0])
    ]
    if rows:
        await raw.executemany(_COUNT, rows)


async def _end_items(raw: Connection, fold: Fold) -> None:
    if not fold.items:
        return
    ends = sorted(fold.items.items(), key=lambda item: item[0])
    await raw.execute(
        _END_ITEMS,
        [replay for (replay, _), _ in ends],
        [delivery for (_, delivery), _ in ends],
        [end.state.value for _, end in ends],
        [end.finished_at for _, end in ends],
    )


async def _quarantine(raw: Connection, seen: Sequence[QuarantineSeen]) -> None:
    if seen:
        await raw.executemany(_QUARANTINE, [quarantine_row(one) for one in seen])


async def _notify(raw: Connection, attempts: Iterable[Attempt]) -> None:
    if tests := [attempt.delivery_id for attempt in attempts if attempt.is_test]:
        await raw.execute(_NOTIFY, CHANNEL, tests)


async def _without_known(raw: Connection, seen: Sequence[Seen]) -> list[Seen]:
    """Return what was seen without events and attempts that are in their tables, or twice in here."""
    keys = {id(one): key for one in seen if (key := _key_of(one)) is not None}
    there: set[tuple[str, str, datetime]] = set()
    for table in ("events", "attempts"):
        wanted = sorted({key for key in keys.values() if key[0] == table})
        rows = await raw.fetch(_THERE.format(table=table), [key[1] for key in wanted], [key[2] for key in wanted])
        there |= {(table, row["id"], row["at"]) for row in rows}
    kept: list[Seen] = []
    for one in seen:
        key = keys.get(id(one))
        if key is None or key not in there:
            kept.append(one)
        if key is not None:
            there.add(key)
    return kept


def _key_of(seen: Seen) -> tuple[str, str, datetime] | None:
    if isinstance(seen, EventSeen):
        return "events", seen.event.id, seen.at
    if isinstance(seen, AttemptSeen):
        return "attempts", seen.attempt.id, seen.at
    return None


async def _copy(raw: Connection, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    if rows:
        await raw.copy_records_to_table(table, records=rows, columns=columns)
