"""Which deliveries a replay takes: one builder for the count that a caller sees first and for what is sent.

The set is fixed by the moment at which it was asked for: a delivery that ended later is not in it. What is pending or
retrying is on its way already and never taken, nor is a test.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from api.deliveries.tables import DeliveryRow, DeliveryState
from api.replays.event_types import taken_by
from api.replays.tables import ReplayRow
from schemas.ids import FILED_AFTER, made_at

ENDED: Final = (DeliveryState.FAILED, DeliveryState.HELD, DeliveryState.SUCCESS)
UNDELIVERED: Final = "undelivered"  # a state to choose by, none that a delivery has
_STATES: Final[dict[str | None, tuple[DeliveryState, ...]]] = {
    None: ENDED,
    UNDELIVERED: (DeliveryState.FAILED, DeliveryState.HELD),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What was asked for, and when (`asked_at`). None leaves a filter out; `event_types` may be patterns."""

    organization_id: str
    subscription_id: str | None
    event_types: Sequence[str] | None
    state: str | None
    since: datetime | None
    until: datetime | None
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class Chosen:
    """A delivery that a replay takes."""

    id: str
    subscription_id: str
    event_id: str


def choice_of(row: ReplayRow) -> Choice:
    """Return what a replay was asked to take."""
    return Choice(
        organization_id=row.organization_id,
        subscription_id=row.subscription_id,
        event_types=row.event_types,
        state=row.delivery_state,
        since=row.since,
        until=row.until,
        asked_at=row.created_at,
    )


async def count_of(db: AsyncSession, choice: Choice) -> int:
    """Return how many deliveries a replay of this choice would take."""
    counted = select(func.count()).select_from(DeliveryRow).where(*_conditions(choice))
    return (await db.execute(counted)).scalar_one()


async def chosen_after(db: AsyncSession, choice: Choice, *, after: str, limit: int) -> list[Chosen]:
    """Return the next `limit` deliveries of the choice, in the order of their ids: those past id `after` ("": all)."""
    wanted = select(DeliveryRow.id, DeliveryRow.subscription_id, DeliveryRow.event_id).where(*_conditions(choice))
    if after:
        at = made_at(after)  # a delivery's id carries its row's `at`, so both orders are the same
        wanted = wanted.where(DeliveryRow.at >= at, tuple_(DeliveryRow.at, DeliveryRow.id) > tuple_(at, after))
    rows = await db.execute(wanted.order_by(DeliveryRow.at, DeliveryRow.id).limit(limit))
    return [Chosen(*row) for row in rows]


def _conditions(choice: Choice) -> list[ColumnElement[bool]]:
    states = _STATES.get(choice.state, (choice.state,))
    conditions = [
        DeliveryRow.organization_id == choice.organization_id,
        DeliveryRow.state.in_(states),
        DeliveryRow.is_test.is_(False),
        DeliveryRow.finished_at <= choice.asked_at,
        DeliveryRow.at <= choice.asked_at + FILED_AFTER,  # a bound for the partitions: none is filed later
    ]
    if choice.subscription_id is not None:
        conditions.append(DeliveryRow.subscription_id == choice.subscription_id)
    if choice.since is not None:
        conditions.append(DeliveryRow.at >= choice.since)
    if choice.until is not None:
        conditions.append(DeliveryRow.at < choice.until)
    if choice.event_types is not None:
        conditions.append(taken_by(choice.event_types, DeliveryRow.event_type))
    return conditions
