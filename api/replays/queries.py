"""What the routes ask and change: each query takes the organization's id, none commits."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from api.deliveries.tables import DeliveryRow
from api.replays.tables import NOTIFIED, ItemState, ReplayItemRow, ReplayRow, ReplayState
from schemas.ids import made_at

SENDING: Final = (ReplayState.PENDING, ReplayState.RUNNING)
NOTHING_COUNTED: Final = {
    "total": 0,
    "sent": 0,
    "succeeded": 0,
    "failed": 0,
    "held": 0,
    "skipped": 0,
    "cancelled": 0,
}


async def started(db: AsyncSession, row: ReplayRow) -> None:
    """Write a new replay and wake the runner when the transaction commits."""
    db.add(row)
    await db.flush()
    await notified(db, row.id)


async def notified(db: AsyncSession, replay_id: str) -> None:
    """Wake the runner when the transaction commits."""
    await db.execute(select(func.pg_notify(NOTIFIED, replay_id)))


async def sending_of(db: AsyncSession, organization_id: str) -> int:
    """Return how many of an organization's replays are still to send something, retries not counted.

    Until the transaction ends, whoever asks the same waits: two cannot both find room for one.
    """
    lock = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
    await db.execute(lock, {"name": f"hookline replays of {organization_id}"})
    counted = select(func.count()).where(
        ReplayRow.organization_id == organization_id,
        ReplayRow.finished_at.is_(None),
        ReplayRow.state.in_(SENDING),
        ReplayRow.is_retry.is_(False),
    )
    return (await db.execute(counted)).scalar_one()


async def replay_of(db: AsyncSession, organization_id: str, replay_id: str) -> ReplayRow | None:
    """Return an organization's replay; None when there is none, or it is another's."""
    wanted = select(ReplayRow).where(ReplayRow.organization_id == organization_id, ReplayRow.id == replay_id)
    return (await db.execute(wanted)).scalar_one_or_none()


async def replay_to_change(db: AsyncSession, organization_id: str, replay_id: str) -> ReplayRow | None:
    """Return the same, locked: it waits for the batch that is being sent (`api/replays/sending.py`)."""
    wanted = select(ReplayRow).where(ReplayRow.organization_id == organization_id, ReplayRow.id == replay_id)
    return (await db.execute(wanted.with_for_update())).scalar_one_or_none()


async def replays_of(db: AsyncSession, organization_id: str, *, before: str = "", limit: int) -> Sequence[ReplayRow]:
    """Return up to `limit` of an organization's replays, newest first, those older than id `before` ("": all)."""
    wanted = select(ReplayRow).where(ReplayRow.organization_id == organization_id)
    if before:
        wanted = wanted.where(ReplayRow.id < before)
    return (await db.execute(wanted.order_by(ReplayRow.id.desc()).limit(limit))).scalars().all()


async def items_of(
    db: AsyncSession, replay: ReplayRow, *, state: ItemState | None = None, after: str = "", limit: int
) -> Sequence[ReplayItemRow]:
    """Return up to `limit` items of an organization's replay by their deliveries' ids, those past id `after`."""
    wanted = select(ReplayItemRow).where(ReplayItemRow.replay_id == replay.id, ReplayItemRow.delivery_id > after)
    if state is not None:
        wanted = wanted.where(ReplayItemRow.state == state)
    return (await db.execute(wanted.order_by(ReplayItemRow.delivery_id).limit(limit))).scalars().all()


async def delivery_to_retry(db: AsyncSession, organization_id: str, delivery_id: str) -> DeliveryRow | None:
    """Return an organization's delivery; None when there is none, or it is another's."""
    wanted = select(DeliveryRow).where(
        DeliveryRow.id == delivery_id,
        DeliveryRow.at == made_at(delivery_id),
        DeliveryRow.organization_id == organization_id,
    )
    return (await db.execute(wanted)).scalar_one_or_none()


async def queued(db: AsyncSession, replay_id: str, delivery: DeliveryRow) -> bool:
    """Add a delivery to a replay; return False when it is under way in another one. Races are decided here."""
    added = (
        insert(ReplayItemRow)
        .values(
            replay_id=replay_id,
            delivery_id=delivery.id,
            subscription_id=delivery.subscription_id,
            event_id=delivery.event_id,
            state=ItemState.QUEUED,
        )
        .on_conflict_do_nothing()
        .returning(ReplayItemRow.delivery_id)
    )
    return (await db.execute(added)).scalar_one_or_none() is not None


async def taken_over(db: AsyncSession, delivery: DeliveryRow, *, by: str, now: datetime) -> None:
    """End the item of a round that waits for its next attempt: the replay `by` sends the delivery instead."""
    ended = (
        update(ReplayItemRow)
        .where(
            ReplayItemRow.replay_id == delivery.round,
            ReplayItemRow.delivery_id == delivery.id,
            ReplayItemRow.state == ItemState.SENT,
        )
        .values(state=ItemState.CANCELLED, detail=f"{by} sends it instead", finished_at=now)
    )
    await db.execute(ended)


async def cancelled(db: AsyncSession, replay_id: str, *, limit: int, now: datetime) -> int:
    """End up to `limit` items of a cancelled replay that were not sent; return how many."""
    unsent = (
        select(ReplayItemRow.delivery_id)
        .where(ReplayItemRow.replay_id == replay_id, ReplayItemRow.state == ItemState.QUEUED)
        .order_by(ReplayItemRow.delivery_id)
        .limit(limit)
        .with_for_update()
    )
    ended = (
        update(ReplayItemRow)
        .where(ReplayItemRow.replay_id == replay_id, ReplayItemRow.delivery_id.in_(unsent))
        .where(ReplayItemRow.state == ItemState.QUEUED)
        .values(state=ItemState.CANCELLED, finished_at=now)
        .returning(ReplayItemRow.delivery_id)
    )
    return len((await db.execute(ended)).all())
