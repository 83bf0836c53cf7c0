"""What waits to be sent to a subscription: counted by day while it is written, looked up where it waits.

How many are pending, retrying or held are a few rows of `delivery_counts`. Of the log only the oldest of those is read,
what a replay sends, and what waits for a retry, by the partial index `deliveries_waiting`, in the days that have any.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from schemas.waits import Schedule, duration_name

_A_DAY: Final = timedelta(days=1)
_ROUNDED: Final = 0.99  # of a tier: an attempt's duration is whole milliseconds, and its wait began when it ended

_DAYS: Final = text("""
SELECT day, sum(pending)::bigint AS pending, sum(retrying)::bigint AS retrying, sum(held)::bigint AS held
FROM delivery_counts WHERE organization_id = :organization_id AND subscription_id = :subscription_id
GROUP BY day HAVING sum(pending) > 0 OR sum(retrying) > 0 OR sum(held) > 0
""")
_ITS: Final = "subscription_id = :subscription_id AND organization_id = :organization_id AND NOT is_test"
_THEN: Final = f"{_ITS} AND at >= :first AND at < :last"
_PLACES: Final = text(f"""
(SELECT 'pending' AS place, NULL::int AS tier, NULL::bigint AS count, id, at, NULL::timestamptz AS due_at
FROM deliveries WHERE state = 'pending' AND round = '0' AND {_THEN} ORDER BY at, id LIMIT 1)
UNION ALL
(SELECT 'held', NULL, NULL, id, at, NULL FROM deliveries WHERE state = 'held' AND round = '0' AND {_THEN}
ORDER BY at, id LIMIT 1)
UNION ALL
SELECT 'held again', NULL, count(*), min(id), min(at), NULL FROM deliveries
WHERE state = 'held' AND round > '0' AND {_THEN}
UNION ALL
SELECT 'replay', NULL, count(*), min(id), min(at), NULL FROM deliveries
WHERE state = 'pending' AND round > '0' AND {_THEN}
UNION ALL
SELECT 'retry', width_bucket(
        (extract(epoch FROM due_at - last_attempt_at) * 1000 - coalesce(duration_ms, 0))::float8,
        CAST(:bounds AS float8[])
    ), count(*), min(id), min(at), min(due_at) FROM deliveries
WHERE state = 'retrying' AND {_THEN} GROUP BY 2
""")  # noqa: S608 - our own words
_EVENT: Final = text(f"SELECT event_id FROM deliveries WHERE id = :id AND at = :at AND {_ITS}")  # noqa: S608


@dataclass(frozen=True, slots=True, kw_only=True)
class Heap:
    """Deliveries that wait at one place: how many, the oldest one, and when the next is due (None: nobody says)."""

    count: int = 0
    oldest_id: str = ""
    oldest: datetime | None = None
    next_due_at: datetime | None = None


@dataclass(slots=True)
class Waiting:
    """All that waits: first sendings, what a replay sends, retries by their tier's name, and what is held."""

    pending: Heap = field(default_factory=Heap)
    replayed: Heap = field(default_factory=Heap)
    retries: dict[str, Heap] = field(default_factory=dict)
    held: Heap = field(default_factory=Heap)


async def waiting_for(db: AsyncSession, organization_id: str, subscription_id: str, *, schedule: Schedule) -> Waiting:
    """Return what waits to be sent to an organization's subscription, and what is held."""
    its = {"organization_id": organization_id, "subscription_id": subscription_id}
    days = (await db.execute(_DAYS, its)).all()
    if not days:
        return Waiting()
    bounds = [tier / timedelta(milliseconds=1) * _ROUNDED for tier in schedule.tiers]
    first, last = _moments([row.day for row in days])
    found = (await db.execute(_PLACES, {**its, "first": first, "last": last, "bounds": bounds})).all()
    return _waiting(days, found, [duration_name(tier) for tier in schedule.tiers])


async def event_of(db: AsyncSession, organization_id: str, subscription_id: str, oldest: Heap) -> str | None:
    """Return the event of a heap's oldest delivery; None when retention took it meanwhile."""
    given = {"organization_id": organization_id, "subscription_id": subscription_id}
    return (await db.execute(_EVENT, {**given, "id": oldest.oldest_id, "at": oldest.oldest})).scalar_one_or_none()


def _moments(days: Sequence[date]) -> tuple[datetime, datetime]:
    midnights = [datetime.combine(day, time.min, UTC) for day in (min(days), max(days))]
    return midnights[0], midnights[1] + _A_DAY


def _waiting(days: Sequence[Any], found: Sequence[Any], tiers: Sequence[str]) -> Waiting:
    """Put both answers together; between them deliveries go on, so that a count may be one of a moment before."""
    waiting, heaps = Waiting(), {row.place: row for row in found if row.place != "retry"}
    replayed = heaps["replay"]
    waiting.replayed = _heap(replayed, replayed.count)
    waiting.pending = _heap(heaps.get("pending"), sum(row.pending for row in days) - replayed.count)
    oldest = [row for row in (heaps.get("held"), heaps["held again"]) if row is not None and row.id is not None]
    waiting.held = _heap(min(oldest, key=lambda row: row.id, default=None), sum(row.held for row in days))
    for row in sorted((row for row in found if row.place == "retry"), key=lambda row: row.tier or 0):
        name = tiers[max((row.tier or 0) - 1, 0)]
        waiting.retries[name] = _both(waiting.retries.get(name), _heap(row, row.count))
    return waiting


def _heap(row: Any, count: int) -> Heap:
    if row is None or row.id is None or count <= 0:
        return Heap()
    return Heap(count=count, oldest_id=row.id, oldest=row.at, next_due_at=row.due_at)


def _both(one: Heap | None, other: Heap) -> Heap:
    if one is None or one.oldest is None or other.oldest is None:
        return other if one is None or one.oldest is None else one
    older = min(one, other, key=lambda heap: heap.oldest_id)
    due = [heap.next_due_at for heap in (one, other) if heap.next_due_at is not None]
    return Heap(
        count=one.count + other.count,
        oldest_id=older.oldest_id,
        oldest=older.oldest,
        next_due_at=min(due, default=None),
    )
