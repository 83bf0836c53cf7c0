"""The newest events of an organization, some at a time: each chunk in a transaction of its own, so that none is long.

Of a few types, each is looked up by the index of types, no further than one chunk: what the others publish costs
nothing. Bodies are read of those alone that are looked at.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import ARRAY, Select, Text, bindparam, column, func, literal, select, true, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from api.database import tenant_transaction_of
from api.deliveries.tables import EventRow
from api.lists import Place
from api.windows import Window, newest_first, planned_once
from schemas.ids import OrganizationId

CHUNK: Final = 100  # bodies in memory: of a quarter of a megabyte each, at worst
_TESTS: Final = -1  # the partition of test events, which no subscription is asked about


async def newest_events(
    engine: AsyncEngine,
    organization_id: OrganizationId,
    event_types: Sequence[str] | None,
    *,
    since: datetime | None,
) -> AsyncIterator[Sequence[EventRow]]:
    """Yield an organization's events of these types (None: of all), the newest first, 100 at most at a time."""
    before: Place | None = None
    for window in newest_first(since, None, now=datetime.now(UTC)):
        is_more = True
        while is_more:
            async with tenant_transaction_of(engine, organization_id) as db:
                rows = await _chunk(db, organization_id, event_types, window, before)
            is_more = len(rows) == CHUNK
            if rows:
                before = Place(rows[-1].at, rows[-1].id)
                yield rows


async def _chunk(
    db: AsyncSession,
    organization_id: OrganizationId,
    event_types: Sequence[str] | None,
    window: Window,
    before: Place | None,
) -> Sequence[EventRow]:
    if event_types is None:
        found = select(EventRow.id, EventRow.at)
        wanted = _newest(found, organization_id, window, before)
    else:
        wanted = _newest_of_types(organization_id, event_types, window, before)
    if window.is_wide:
        async with planned_once(db):
            places = (await db.execute(wanted)).all()
    else:
        places = (await db.execute(wanted)).all()
    if not places:
        return []
    rows = (
        select(EventRow)
        .where(
            EventRow.organization_id == organization_id,
            EventRow.id.in_([identifier for identifier, _ in places]),
            EventRow.at <= places[0][1],
            EventRow.at >= places[-1][1],
        )
        .order_by(EventRow.at.desc(), EventRow.id.desc())
    )
    return (await db.execute(rows)).scalars().all()


def _newest(
    wanted: Select[str, datetime], organization_id: OrganizationId, window: Window, before: Place | None
) -> Select[str, datetime]:
    wanted = wanted.where(EventRow.organization_id == organization_id, EventRow.partition != _TESTS)
    if window.since is not None:
        wanted = wanted.where(EventRow.at >= window.since)
    if window.until is not None:
        wanted = wanted.where(EventRow.at < window.until)
    if before is not None:
        wanted = wanted.where(EventRow.at <= before.at, tuple_(EventRow.at, EventRow.id) < tuple_(before.at, before.id))
    return wanted.order_by(EventRow.at.desc(), EventRow.id.desc()).limit(literal(CHUNK, literal_execute=True))


def _newest_of_types(
    organization_id: OrganizationId, event_types: Sequence[str], window: Window, before: Place | None
) -> Select[str, datetime]:
    names = func.unnest(bindparam("event_types", [*event_types], type_=ARRAY(Text))).table_valued(
        column("name", Text), name="wanted"
    )
    names = names.render_derived()
    of_one = _newest(
        select(EventRow.id, EventRow.at).where(EventRow.type == names.c.name), organization_id, window, before
    ).lateral("of_one")
    return (
        select(of_one.c.id, of_one.c.at)
        .select_from(names.join(of_one, true()))
        .order_by(of_one.c.at.desc(), of_one.c.id.desc())
        .limit(literal(CHUNK, literal_execute=True))
    )
