"""Pausing and resuming: nothing is sent meanwhile and nothing is lost. A row that stands so already gets no version."""

from datetime import UTC, datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from api.subscriptions import tables
from api.subscriptions.tables import SubscriptionRow

log = structlog.get_logger("api.subscriptions")


async def pause(db: AsyncSession, row: SubscriptionRow) -> None:
    """Pause a locked row; one that is paused keeps its time."""
    if row.paused:
        return
    row.paused, row.paused_at = True, datetime.now(UTC)
    await _store(db, row, event="subscription.paused")


async def resume(db: AsyncSession, row: SubscriptionRow, *, rate_per_s: float | None = None) -> None:
    """Resume a locked row; a rate becomes the one at which it catches up, now and later."""
    is_new = rate_per_s is not None and rate_per_s != row.catch_up_per_s
    if not row.paused and not is_new:
        return
    row.paused, row.paused_at = False, None
    if rate_per_s is not None:
        row.catch_up_per_s = rate_per_s
    await _store(db, row, event="subscription.resumed")


async def _store(db: AsyncSession, row: SubscriptionRow, *, event: str) -> None:
    await tables.stored(db, row)
    log.info(
        event,
        organization_id=row.organization_id,
        subscription_id=row.id,
        version=row.version,
        catch_up_per_s=row.catch_up_per_s,
    )
