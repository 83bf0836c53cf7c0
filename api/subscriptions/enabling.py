"""Enabling and disabling by hand: a row that stands so already gets no new version."""

from sqlalchemy.ext.asyncio import AsyncSession

from api.subscriptions import tables
from api.subscriptions.changes import set_enabled
from api.subscriptions.tables import MANUAL, SubscriptionRow


async def enable(db: AsyncSession, row: SubscriptionRow) -> None:
    """Enable a locked row; why it was disabled is forgotten."""
    if not row.enabled:
        set_enabled(row, True, reason=MANUAL)
        await tables.stored(db, row)


async def disable(db: AsyncSession, row: SubscriptionRow) -> None:
    """Disable a locked row; one that is disabled keeps its reason and its time."""
    if row.enabled:
        set_enabled(row, False, reason=MANUAL)
        await tables.stored(db, row)
