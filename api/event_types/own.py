"""The event types that an organization defined, for the routes that show the catalogue. Every query takes its id."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncSession

from api.event_types import tables
from api.event_types.tables import EventTypeRow
from schemas.catalogue import BUILT_IN, Catalogue, EventType, EventTypeState, defined
from schemas.ids import OrganizationId
from schemas.marks import Sensitivity


async def own_types(db: AsyncSession, organization_id: OrganizationId) -> Sequence[EventType]:
    """Return what an organization defined, by name, in its newest version."""
    return [event_type_in(row) for row in await tables.event_types_of(db, organization_id)]


async def own_type(db: AsyncSession, organization_id: OrganizationId, name: str) -> EventType | None:
    """Return an organization's own event type; None when it has none of this name."""
    row = await own_row(db, organization_id, name)
    return None if row is None else event_type_in(row)


async def own_row(db: AsyncSession, organization_id: OrganizationId, name: str) -> EventTypeRow | None:
    """Return the same as the table has it, with its revision."""
    return await tables.event_type_of(db, organization_id, name)


async def own_versions(db: AsyncSession, organization_id: OrganizationId, name: str) -> list[int]:
    """Return the numbers of its versions, the newest first."""
    return [row.version for row in await tables.versions_of(db, organization_id, name)]


def event_type_in(row: EventTypeRow) -> EventType:
    """Return the event type of a row, in its newest version and as it was written: without what was dropped."""
    return defined(replace(tables.definition_of(row), schema=row.schema))


async def catalogue_of_all_versions(db: AsyncSession, names: Iterable[tuple[OrganizationId, str]]) -> Catalogue:
    """Return a catalogue that has those of these that are own types, with what only earlier versions had.

    Events of those are kept. A name that a built-in type has as well may be an own one, which came before it.
    """
    found = Catalogue()
    for row in await tables.event_types_named(db, set(names)):
        found.put(defined(tables.definition_of(row)))
    return found


async def catalogue_of_secrets(db: AsyncSession, organization_id: OrganizationId) -> Catalogue:
    """Return a catalogue that has the organization's own types that mark something secret, in whatever version."""
    found = Catalogue()
    for row in await tables.event_types_of(db, organization_id):
        if f'"{Sensitivity.SECRET}"' in row.accepts:
            found.put(defined(tables.definition_of(row)))
    return found


async def catalogue_knowing(db: AsyncSession, organization_id: OrganizationId, name: str) -> Catalogue:
    """Return a catalogue that has the event type that an organization means by `name`, if there is one.

    It is for tests, so drafts and archived ones are as good as active ones.
    """
    own = await own_type(db, organization_id, name)
    if own is None:
        return BUILT_IN
    found = Catalogue()
    found.put(replace(own, state=EventTypeState.ACTIVE))
    return found


def built_in_for(organization_id: OrganizationId, name: str, known: Catalogue) -> EventType | None:
    """Return the built-in type that an organization means by `name`; None when it means its own, or there is none."""
    found = known.get(name, organization_id)
    return found if found is not None and found.organization_id is None else None
