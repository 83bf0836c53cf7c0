"""Reading events from the log, in windows as deliveries are (api/windows.py). No query commits."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import ColumnElement, Integer, Select, literal, literal_column, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from api.deliveries.tables import DeliveryRow, EventRow
from api.events.outcomes import EventOutcome, conditions_of
from api.lists import Place
from api.windows import Window, newest_first, oldest_first, planned_once
from schemas.ids import OrganizationId, made_at

MOST_DELIVERIES: Final = 1000  # shown with an event
_ONE: Final = literal_column("1", Integer)
_MICROSECOND: Final = timedelta(microseconds=1)


class Order(StrEnum):
    """In which order events are listed."""

    DESC = "desc"
    ASC = "asc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The filters of a list of events; None: any."""

    type: str | None = None
    source_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    order: Order = Order.DESC
    outcome: EventOutcome | None = None


async def events_of(
    db: AsyncSession, organization_id: OrganizationId, wanted: Wanted, *, after: Place | None, limit: int
) -> Sequence[EventRow]:
    """Return up to `limit` of an organization's events that are wanted, in their order, those past `after`."""
    conditions = [EventRow.organization_id == organization_id]
    if wanted.type is not None:
        conditions.append(EventRow.type == wanted.type)
    if wanted.source_id is not None:
        conditions.append(EventRow.source_id == wanted.source_id)
    if after is not None:
        conditions.append(_past(after, wanted.order))
    found: list[EventRow] = []
    for window in _windows(wanted, after):
        query = _listed([*conditions, *_outcome(wanted, organization_id, window)], window, wanted.order, limit)
        if window.is_wide:
            async with planned_once(db):
                found += (await db.execute(query)).scalars().all()
        else:
            found += (await db.execute(query)).scalars().all()
        if len(found) >= limit:
            break
    return found[:limit]


async def event_of(db: AsyncSession, organization_id: OrganizationId, event_id: str) -> EventRow | None:
    """Return an organization's event; None when there is none, or it is another's. The id is a well-formed one."""
    wanted = select(EventRow).where(EventRow.id == event_id, EventRow.organization_id == organization_id)
    filed = (await db.execute(wanted.where(EventRow.at == made_at(event_id)))).scalar_one_or_none()
    if filed is not None:
        return filed
    # Its clock was wrong, so that it is filed under another day; the newest, should there be two of one id.
    async with planned_once(db):
        return (await db.execute(wanted.order_by(EventRow.at.desc()).limit(_ONE))).scalar_one_or_none()


async def deliveries_of_event(db: AsyncSession, event: EventRow) -> Sequence[DeliveryRow]:
    """Return what became of an event, by subscription; of more than 1,000 the first."""
    wanted = (
        select(DeliveryRow)
        .where(
            DeliveryRow.event_id == event.id,
            DeliveryRow.at == event.at,
            DeliveryRow.organization_id == event.organization_id,
        )
        .order_by(DeliveryRow.subscription_id)
        .limit(MOST_DELIVERIES)
    )
    return (await db.execute(wanted)).scalars().all()


def _windows(wanted: Wanted, after: Place | None) -> Iterable[Window]:
    since, until = wanted.since, wanted.until
    if wanted.source_id is not None:  # a few rows, wherever they are
        return (Window(since, until),)
    if wanted.order is Order.ASC:
        if after is not None:
            since = after.at if since is None else max(since, after.at)
        return oldest_first(since, until)
    if after is not None:
        until = after.at + _MICROSECOND if until is None else min(until, after.at + _MICROSECOND)
    return newest_first(since, until, now=datetime.now(UTC))


def _outcome(wanted: Wanted, organization_id: OrganizationId, window: Window) -> list[ColumnElement[bool]]:
    if wanted.outcome is None:
        return []
    return conditions_of(wanted.outcome, organization_id, since=window.since, until=window.until)


def _past(place: Place, order: Order) -> ColumnElement[bool]:
    row, last = tuple_(EventRow.at, EventRow.id), tuple_(place.at, place.id)
    return row > last if order is Order.ASC else row < last


def _listed(conditions: Sequence[ColumnElement[bool]], window: Window, order: Order, limit: int) -> Select[EventRow]:
    wanted = select(EventRow).where(*conditions)
    if window.since is not None:
        wanted = wanted.where(EventRow.at >= window.since)
    if window.until is not None:
        wanted = wanted.where(EventRow.at < window.until)
    if order is Order.ASC:
        return wanted.order_by(EventRow.at, EventRow.id).limit(literal(limit, literal_execute=True))
    return wanted.order_by(EventRow.at.desc(), EventRow.id.desc()).limit(literal(limit, literal_execute=True))
