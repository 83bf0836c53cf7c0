"""Whether patterns of event types match a type that the organization has, built in or its own."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from api.event_types import tables
from schemas.catalogue import catalogue
from schemas.ids import OrganizationId
from schemas.patterns import check_matches, matches


async def check_patterns(
    db: AsyncSession, organization_id: OrganizationId, patterns: Sequence[str], *, pointer: str = "/event_types"
) -> None:
    """Raise InvalidInput, with a pointer to the pattern, for one that matches no event type of the organization's.

    Own types are looked up only for what matches no built-in one.
    """
    unmatched = [
        (at, pattern)
        for at, pattern in enumerate(patterns)
        if not any(matches(pattern, known) for known in catalogue())
    ]
    if not unmatched:
        return
    own = await tables.names_of(db, organization_id)
    for at, pattern in unmatched:
        check_matches(pattern, own, pointer=f"{pointer}/{at}")
