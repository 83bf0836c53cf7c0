"""An organization's applications, by id and as a list. No query here commits."""

from collections.abc import Sequence
from typing import Final

from fastapi import Request
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.applications.tables import ApplicationRow
from api.credentials import Caller
from api.errors import NotFound
from api.preconditions import etag_of, is_unchanged
from schemas.ids import is_time_ordered

PATH: Final = "/api/v1/applications"


async def found(db: AsyncSession, caller: Caller, application_id: str) -> ApplicationRow:
    """Return the caller's application; raises NotFound."""
    return await _found(db, caller, application_id, is_locked=False)


async def found_to_change(db: AsyncSession, caller: Caller, application_id: str, request: Request) -> ApplicationRow:
    """Return the same, locked; raises NotFound, and PreconditionFailed when If-Match names another version."""
    row = await _found(db, caller, application_id, is_locked=True)
    is_unchanged(request, etag_of(row.version))
    return row


async def applications_of(
    db: AsyncSession, organization_id: str, *, after: str, limit: int
) -> Sequence[ApplicationRow]:
    """Return up to `limit` of an organization's applications, oldest first, those past id `after`."""
    wanted = (
        select(ApplicationRow)
        .where(ApplicationRow.organization_id == organization_id, ApplicationRow.id > after)
        .order_by(ApplicationRow.id)
        .limit(limit)
    )
    return (await db.execute(wanted)).scalars().all()


async def _found(db: AsyncSession, caller: Caller, application_id: str, *, is_locked: bool) -> ApplicationRow:
    row = None
    if is_time_ordered(application_id, "app"):
        wanted = select(ApplicationRow).where(
            ApplicationRow.id == application_id, ApplicationRow.organization_id == caller.organization_id
        )
        row = (await db.execute(wanted.with_for_update() if is_locked else wanted)).scalar_one_or_none()
    if row is None:
        raise NotFound("this organization has no application of this id")
    return row
