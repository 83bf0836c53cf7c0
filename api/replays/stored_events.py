"""The log as PostgreSQL keeps it: bodies of events that Kafka has forgotten, in the order in which Kafka had them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, cast

import orjson
from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from api.deliveries.tables import EventRow
from api.replays.event_types import taken_by
from api.replays.log_reading import PastEvent
from api.replays.positions import Positions, Stretch
from schemas.ids import FILED_AFTER, FILED_BEFORE, EventId, OrganizationId
from schemas.json_values import Json
from schemas.records import Event

MOST_AT_ONCE: Final = 100  # bodies in memory: of a quarter of a megabyte each, at worst
_MARGIN: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Whose events are meant, of which time (None: any) and which types (None: all; patterns too)."""

    organization_id: str
    since: datetime | None
    until: datetime | None
    event_types: Sequence[str] | None


async def stored_events(
    db: AsyncSession, window: Window, number: int, stretch: Stretch, *, upto: int, limit: int = MOST_AT_ONCE
) -> list[PastEvent]:
    """Return the next stored events of a partition's stretch before offset `upto`, in the order of the log."""
    conditions = stretch_conditions(window, number, stretch, upto=upto)
    wanted = select(EventRow).where(*conditions, EventRow.offset >= stretch.next)
    rows = (await db.execute(wanted.order_by(EventRow.offset).limit(limit))).scalars()
    return [past_event_of(row) for row in rows]


async def with_stored_begin(db: AsyncSession, window: Window, positions: Positions) -> Positions:
    """Return positions that begin where something is stored: progress counts no offset that nobody has."""
    begun = dict(positions)
    for number, stretch in positions.items():
        if stretch.by_time_below <= stretch.begin:
            continue
        below = min(stretch.by_time_below, stretch.end)
        conditions = stretch_conditions(window, number, stretch, upto=below)
        found = await db.execute(select(func.min(EventRow.offset)).where(*conditions))
        first = cast(int | None, found.scalar_one())
        begin = below if first is None else first
        begun[number] = Stretch(begin=begin, next=begin, end=stretch.end, by_time_below=stretch.by_time_below)
    return begun


def stretch_conditions(window: Window, number: int, stretch: Stretch, *, upto: int) -> list[ColumnElement[bool]]:
    """Return what finds the stored events of a stretch before `upto`, by the index `events_by_place`.

    Where Kafka still had the log when it was asked for, the brokers' time has chosen the offsets. A row is filed under
    the event's own time, which may be earlier or later by what schemas/ids.py allows: a bound for the days' tables.
    """
    conditions: list[ColumnElement[bool]] = [
        EventRow.organization_id == window.organization_id,
        EventRow.partition == number,
        EventRow.offset >= stretch.begin,
        EventRow.offset < upto,
    ]
    by_time = []
    if window.since is not None:
        conditions.append(EventRow.at >= _earlier(window.since))
        by_time.append(EventRow.at >= window.since)
    if window.until is not None:
        conditions.append(EventRow.at < _later(window.until))
        by_time.append(EventRow.at < window.until)
    if by_time and stretch.by_time_below > 0:
        conditions.append(or_(EventRow.offset >= stretch.by_time_below, and_(*by_time)))
    if window.event_types is not None:
        conditions.append(taken_by(window.event_types, EventRow.type))
    return conditions


def past_event_of(row: EventRow) -> PastEvent:
    """Return a row as the event that it was."""
    body = cast(dict[str, Json], orjson.loads(row.body))  # ours: schemas/envelope.py, `body_of`
    previous = body.get("previous")
    event = Event(
        id=EventId(row.id),
        type=row.type,
        organization_id=OrganizationId(row.organization_id),
        created_at=row.created_at,
        data=orjson.dumps(body.get("data") or {}),
        key=row.key,
        previous=None if previous is None else orjson.dumps(previous),
        metadata=orjson.dumps(body.get("metadata") or {}),
        source_id=row.source_id,
        source=row.source,
    )
    return PastEvent(
        event=event, at=row.at, partition=row.partition, offset=row.offset, traceparent=row.traceparent, body=row.body
    )


def _earlier(moment: datetime) -> datetime:
    try:
        return moment - FILED_BEFORE - _MARGIN
    except OverflowError:
        return moment


def _later(moment: datetime) -> datetime:
    try:
        return moment + FILED_AFTER + _MARGIN
    except OverflowError:
        return moment
