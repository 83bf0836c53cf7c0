"""Finding deliveries by text in the id of their event, or by the id that the publisher brought.

A GIN index holds, for each event, every four digits in a row of its id, from the fifth on: the first four are the same
for 49 days and would only make the index find everything. Events are many fewer than deliveries and never change, so
the index is theirs; their deliveries have the same `at`, which leads to the one table of the day.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    Select,
    Text,
    cast,
    column,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncSession

from api.deliveries.filters import SHORTEST_TEXT, EventText
from api.deliveries.tables import EVENT_DIGITS, DeliveryRow, EventRow
from api.lists import Place
from api.windows import planned_once
from schemas.ids import OrganizationId

_FIRST: Final = 30
EVENTS_AT_ONCE: Final = 1000  # four random digits in a row stand in one event of 2,600


async def deliveries_of_events(
    db: AsyncSession,
    organization_id: OrganizationId,
    text: EventText,
    *,
    conditions: Sequence[ColumnElement[bool]],
    since: datetime | None,
    until: datetime | None,
    limit: int,
) -> list[DeliveryRow]:
    """Return up to `limit` deliveries of the events that `text` is a fragment or a publisher's id of, newest first."""
    found: list[DeliveryRow] = []
    before: Place | None = None
    while len(found) < limit:
        events = await _events_of(db, organization_id, text, since=since, until=until, before=before)
        # The newest few first: PostgreSQL plans for their days only, and mostly they fill the page.
        for some in (events[:_FIRST], events[_FIRST:]):
            if some and len(found) < limit:
                found += (await db.execute(_of(some, conditions, limit - len(found)))).scalars().all()
        if len(events) < EVENTS_AT_ONCE:
            break
        before = events[-1]
    return found


async def _events_of(
    db: AsyncSession,
    organization_id: OrganizationId,
    text: EventText,
    *,
    since: datetime | None,
    until: datetime | None,
    before: Place | None,
) -> Sequence[Place]:
    named = EventRow.source_id == text.source_id
    if text.fragment is not None:
        named = or_(named, _holds(text.fragment))
    # Materialized: with the order and the limit in sight, PostgreSQL would rather walk through all events.
    hits = (
        select(EventRow.id, EventRow.at)
        .where(
            EventRow.organization_id == organization_id,
            named,
            true() if since is None else EventRow.at >= since,
            true() if until is None else EventRow.at < until,
        )
        .cte("hits")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    wanted = (
        select(hits.c.at, hits.c.id)
        .order_by(hits.c.at.desc(), hits.c.id.desc())
        .limit(literal(EVENTS_AT_ONCE, literal_execute=True))
    )
    if before is not None:
        wanted = wanted.where(tuple_(hits.c.at, hits.c.id) < tuple_(before.at, before.id))
    async with planned_once(db):
        return [Place(at, identifier) for at, identifier in (await db.execute(wanted)).all()]


def _holds(fragment: str) -> ColumnElement[bool]:
    fours = [fragment[start : start + SHORTEST_TEXT] for start in range(len(fragment) - SHORTEST_TEXT + 1)]
    has_all = EVENT_DIGITS.bool_op("@>")(cast(fours, ARRAY(Text)))
    return has_all if len(fours) == 1 else has_all & EventRow.id.contains(fragment)


def _of(events: Sequence[Place], conditions: Sequence[ColumnElement[bool]], limit: int) -> Select[DeliveryRow]:
    named = (
        func.unnest(
            cast([event.id for event in events], ARRAY(Text(collation="C"))),
            cast([event.at for event in events], ARRAY(DateTime(timezone=True))),
        )
        .table_valued(column("event_id", Text(collation="C")), column("at", DateTime(timezone=True)))
        .render_derived("named")
    )
    return (
        select(DeliveryRow)
        .join(named, (DeliveryRow.event_id == named.c.event_id) & (DeliveryRow.at == named.c.at))
        .where(*conditions, DeliveryRow.at.in_({event.at for event in events}))
        .order_by(DeliveryRow.at.desc(), DeliveryRow.id.desc())
        .limit(literal(limit, literal_execute=True))
    )
