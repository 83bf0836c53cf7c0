"""The row of the organization that a caller acts in: what belongs to it refers to it."""

from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from api.announcing import announce_identity
from api.credentials import Caller, CredentialKind
from api.errors import NotFound
from api.organizations.tables import OrganizationRow


async def settled_organization(db: AsyncSession, caller: Caller) -> OrganizationRow:
    """Return the caller's organization.

    The administrator may act in one that was never created, by naming it: it is created then, under its id as its name,
    when something is made that refers to it. Raises NotFound for anybody else.
    """
    wanted = select(OrganizationRow).where(OrganizationRow.id == caller.organization_id)
    found = (await db.execute(wanted)).scalar_one_or_none()
    if found is not None:
        return found
    if caller.kind is not CredentialKind.ADMINISTRATOR:
        raise NotFound("there is no such organization")
    now = datetime.now(UTC)
    made = (
        insert(OrganizationRow)
        .values(id=caller.organization_id, version=1, name=caller.organization_id, created_at=now, updated_at=now)
        .on_conflict_do_nothing()
        .returning(OrganizationRow.id)
    )
    if (await db.execute(made)).scalar_one_or_none() is not None:
        data = {"id": caller.organization_id, "name": str(caller.organization_id)}
        await announce_identity(
            db,
            "organization.created",
            organization_id=caller.organization_id,
            subject_id=caller.organization_id,
            data=dict(data),
        )
    return (await db.execute(wanted)).scalar_one()
