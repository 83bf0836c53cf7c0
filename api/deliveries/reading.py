"""Reading the delivery log: lists by filter, one delivery with its attempts. No query commits.

Every list is read in windows (api/windows.py), so that a page of the newest rows costs what the newest days cost.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Select, literal, literal_column, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from api.deliveries.event_ids import deliveries_of_events
from api.deliveries.filters import Wanted
from api.deliveries.tables import AttemptRow, DeliveryRow, DeliveryState
from api.lists import Place
from api.windows import DAY, Window, newest_first, planned_once
from schemas.ids import FILED_BEFORE, OrganizationId, made_at, times_beginning_with

_WHOLE_ID: Final = len("evt_") + 32
MOST_ATTEMPTS: Final = 100  # shown with a delivery, the newest
_MICROSECOND: Final = timedelta(microseconds=1)
_EARLIER: Final = FILED_BEFORE + timedelta(days=1)  # an attempt is filed under its own clock, its event's under another


async def deliveries_of(
    db: AsyncSession, organization_id: OrganizationId, wanted: Wanted, *, before: Place | None, limit: int
) -> Sequence[DeliveryRow]:
    """Return up to `limit` of an organization's deliveries that are wanted, the newest first, those past `before`."""
    now = datetime.now(UTC)
    conditions = _conditions(organization_id, wanted, now)
    until = wanted.until
    if before is not None:
        conditions.append(tuple_(DeliveryRow.at, DeliveryRow.id) < tuple_(before.at, before.id))
        until = before.at + _MICROSECOND if until is None else min(until, before.at + _MICROSECOND)
    if wanted.event is None:
        return await _in_windows(db, conditions, newest_first(wanted.since, until, now=now), limit)
    named = await deliveries_of_events(
        db, organization_id, wanted.event, conditions=conditions, since=wanted.since, until=until, limit=limit
    )
    if wanted.event.beginning is not None:
        span = Window(wanted.since, until)
        named += await _beginning_with(db, wanted.event.beginning, conditions, span, limit)
    once = {row.id: row for row in named}
    return sorted(once.values(), key=lambda row: (row.at, row.id), reverse=True)[:limit]


async def delivery_of(db: AsyncSession, organization_id: OrganizationId, delivery_id: str) -> DeliveryRow | None:
    """Return an organization's delivery; None when there is none, or it is another's. The id is a well-formed one."""
    wanted = select(DeliveryRow).where(
        DeliveryRow.id == delivery_id,
        DeliveryRow.at == made_at(delivery_id),
        DeliveryRow.organization_id == organization_id,
    )
    return (await db.execute(wanted)).scalar_one_or_none()


async def attempts_of(db: AsyncSession, delivery: DeliveryRow) -> Sequence[AttemptRow]:
    """Return a delivery's attempts, the oldest first; of more than 100 the newest."""
    wanted = (
        select(AttemptRow)
        .where(AttemptRow.delivery_id == delivery.id, AttemptRow.at >= delivery.at - _EARLIER)
        .order_by(AttemptRow.at.desc(), AttemptRow.id.desc())
        .limit(literal(MOST_ATTEMPTS, literal_execute=True))
    )
    if datetime.now(UTC) - delivery.at < DAY:
        return (await db.execute(wanted)).scalars().all()[::-1]
    async with planned_once(db):
        return (await db.execute(wanted)).scalars().all()[::-1]


async def _in_windows(
    db: AsyncSession, conditions: Sequence[ColumnElement[bool]], windows: Iterable[Window], limit: int
) -> list[DeliveryRow]:
    found: list[DeliveryRow] = []
    for window in windows:
        wanted = _listed(conditions, window, limit)
        if window.is_wide:
            async with planned_once(db):
                found += (await db.execute(wanted)).scalars().all()
        else:
            found += (await db.execute(wanted)).scalars().all()
        if len(found) >= limit:
            break
    return found[:limit]


async def _beginning_with(
    db: AsyncSession,
    beginning: str,
    conditions: Sequence[ColumnElement[bool]],
    span: Window,
    limit: int,
) -> list[DeliveryRow]:
    """Return deliveries of events whose id begins so: their digits tell the time, which tells the tables.

    What is filed under another time, as its publisher's clock was wrong, is found by its whole id only.
    """
    if len(beginning) == _WHOLE_ID:
        whole = [*conditions, DeliveryRow.event_id == beginning]
        at = made_at(beginning)
        filed = await _in_windows(db, whole, [Window(at, at + _MICROSECOND)], limit) if _is_within(at, span) else []
        return filed or await _in_windows(db, whole, [span], limit)
    first, last = times_beginning_with(beginning)
    since = first if span.since is None else max(first, span.since)
    until = last if span.until is None else min(last, span.until)
    begins = [*conditions, DeliveryRow.event_id >= beginning, DeliveryRow.event_id < f"{beginning}g"]  # digits go to f
    windows = newest_first(since, until, now=datetime.now(UTC)) if since < until else ()
    return await _in_windows(db, begins, windows, limit)


def _is_within(at: datetime, span: Window) -> bool:
    return (span.since is None or span.since <= at) and (span.until is None or at < span.until)


def _listed(conditions: Sequence[ColumnElement[bool]], window: Window, limit: int) -> Select[DeliveryRow]:
    wanted = select(DeliveryRow).where(*conditions)
    if window.since is not None:
        wanted = wanted.where(DeliveryRow.at >= window.since)
    if window.until is not None:
        wanted = wanted.where(DeliveryRow.at < window.until)
    return wanted.order_by(DeliveryRow.at.desc(), DeliveryRow.id.desc()).limit(literal(limit, literal_execute=True))


def _conditions(organization_id: OrganizationId, wanted: Wanted, now: datetime) -> list[ColumnElement[bool]]:
    conditions = [DeliveryRow.organization_id == organization_id]
    columns = (
        (DeliveryRow.subscription_id, wanted.subscription_id),
        (DeliveryRow.event_type, wanted.event_type),
        (DeliveryRow.status, wanted.status),
        (DeliveryRow.error_kind, wanted.error_kind),
    )
    conditions += [column == value for column, value in columns if value is not None]
    if wanted.state is DeliveryState.SENDING:
        conditions += [DeliveryRow.state == DeliveryState.RETRYING, DeliveryRow.due_at <= now]
    elif wanted.state is not None:
        conditions.append(DeliveryRow.state == wanted.state)
    if wanted.state is DeliveryState.RETRYING:
        conditions.append(DeliveryRow.due_at > now)
    if wanted.state not in {None, DeliveryState.SUCCESS}:
        conditions.append(DeliveryRow.state != literal_column("'success'"))  # what the index of states is made of
    return conditions
