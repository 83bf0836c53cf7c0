"""Reading totals: a few rows of counts, never the log. No query commits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from typing import Final

from sqlalchemy import BigInteger, cast, func, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from api.projection.tables import HealthRow
from api.stats.bodies import DayBody, Totals
from api.stats.durations import percentile_ms
from api.stats.tables import EVERY, CountsRow
from api.subscriptions.tables import SubscriptionRow
from schemas.ids import OrganizationId

_DAYS: Final = 7


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted on one day, or on all of them together."""

    pending: int = 0
    retrying: int = 0
    success: int = 0
    failed: int = 0
    held: int = 0
    attempts: int = 0
    failed_attempts: int = 0
    duration_ms: int = 0

    def plus(self, other: "Counts") -> "Counts":
        """Return both together."""
        return Counts(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Counts)))


async def totals_of(db: AsyncSession, organization_id: OrganizationId, *, subscription_id: str = EVERY) -> Totals:
    """Return the totals of one subscription, or of all that an organization has."""
    days = await _days_of(db, organization_id, subscription_id)
    durations = await _durations_of(db, organization_id, subscription_id)
    return totals(days, durations, today=datetime.now(UTC).date())


async def subscriptions_of(db: AsyncSession, organization_id: OrganizationId) -> tuple[int, int]:
    """Return how many subscriptions an organization has, and how many of them are sent to."""
    active = SubscriptionRow.enabled & ~SubscriptionRow.paused
    counted = select(func.count(), func.count().filter(active)).where(
        SubscriptionRow.organization_id == organization_id
    )
    every, sent_to = (await db.execute(counted)).one()
    return every, sent_to


async def health_of(db: AsyncSession, organization_id: OrganizationId, subscription_id: str) -> HealthRow | None:
    """Return what is known of a subscription's failures in a row; None before its first attempt."""
    wanted = select(HealthRow).where(
        HealthRow.subscription_id == subscription_id, HealthRow.organization_id == organization_id
    )
    return (await db.execute(wanted)).scalar_one_or_none()


def totals(days: Mapping[date, Counts], durations: Sequence[int], *, today: date) -> Totals:
    """Return counts by day and a histogram of durations as they are shown; days without any count nothing."""
    every = Counts()
    for counts in days.values():
        every = every.plus(counts)
    ended = every.success + every.failed
    percentile = percentile_ms(durations, 0.95)
    return Totals(
        deliveries=ended + every.pending + every.retrying + every.held,
        success_rate=every.success / ended if ended else None,
        failures=every.failed_attempts,
        average_duration_ms=round(every.duration_ms / every.attempts, 1) if every.attempts else None,
        p95_duration_ms=None if percentile is None else round(percentile, 1),
        pending=every.pending,
        retrying=every.retrying,
        dead=every.failed,
        held=every.held,
        days=[_day(day, days.get(day, Counts())) for day in _last_days(today)],
    )


async def _days_of(db: AsyncSession, organization_id: str, subscription_id: str) -> dict[date, Counts]:
    summed = [cast(func.sum(getattr(CountsRow, each.name)), BigInteger) for each in fields(Counts)]
    wanted = (
        select(CountsRow.day, *summed)
        .where(CountsRow.organization_id == organization_id, CountsRow.subscription_id == subscription_id)
        .group_by(CountsRow.day)
    )
    return {day: Counts(*counts) for day, *counts in (await db.execute(wanted)).all()}


async def _durations_of(db: AsyncSession, organization_id: str, subscription_id: str) -> list[int]:
    bucket = func.unnest(CountsRow.durations).table_valued("attempts", with_ordinality="place").render_derived("bucket")
    wanted = (
        select(cast(func.sum(bucket.c.attempts), BigInteger))
        .select_from(CountsRow)
        .join(bucket, true())
        .where(CountsRow.organization_id == organization_id, CountsRow.subscription_id == subscription_id)
        .group_by(bucket.c.place)
        .order_by(bucket.c.place)
    )
    return list((await db.execute(wanted)).scalars())


def _last_days(today: date) -> list[date]:
    return [today - timedelta(days=before) for before in reversed(range(_DAYS))]


def _day(day: date, counts: Counts) -> DayBody:
    return DayBody(day=day, success=counts.success, failed=counts.failed, retrying=counts.retrying)
