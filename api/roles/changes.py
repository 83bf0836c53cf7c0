"""Making, changing and deleting an organization's roles: every change is an event in the same transaction."""

from datetime import UTC, datetime
from typing import cast

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from api.announcing import announce_identity
from api.callers import check_may_give
from api.credentials import Caller
from api.errors import Conflict
from api.permissions import kept_permissions, permissions_of
from api.roles.bodies import NewRole, RolePatch, names_of
from api.roles.finding import check_unused
from api.roles.tables import RoleRow
from schemas.ids import new_role_id
from schemas.json_values import Json


async def create(db: AsyncSession, caller: Caller, body: NewRole) -> RoleRow:
    """Make a role in an organization that is there.

    Raises InvalidRequest when the caller lacks what it would give, Conflict when the name is taken.
    """
    permissions = permissions_of(body.permissions, pointer="/permissions")
    check_may_give(caller, permissions, pointer="/permissions")
    now = datetime.now(UTC)
    row = RoleRow(
        id=new_role_id(),
        organization_id=caller.organization_id,
        version=1,
        name=body.name,
        description=body.description,
        permissions=names_of(permissions),
        created_at=now,
        updated_at=now,
    )
    db.add(row)
    await _flush(db)
    await _announce(db, "role.created", row, {"permissions": [*row.permissions]})
    return row


async def change(db: AsyncSession, caller: Caller, row: RoleRow, body: RolePatch) -> dict[str, Json]:
    """Change what the body names of a locked row; return what was different before, by field.

    Only what is added to the permissions has to be the caller's. Raises InvalidRequest and Conflict as `create` does.
    """
    wanted: dict[str, object] = {name: getattr(body, name) for name in body.model_fields_set}
    if "permissions" in wanted:
        permissions = permissions_of(body.permissions, pointer="/permissions")
        check_may_give(caller, permissions - kept_permissions(row.permissions), pointer="/permissions")
        wanted["permissions"] = names_of(permissions)
    before = {name: cast(Json, getattr(row, name)) for name, value in wanted.items() if getattr(row, name) != value}
    if not before:
        return {}
    for name in before:
        setattr(row, name, wanted[name])
    row.version += 1
    row.updated_at = datetime.now(UTC)
    await _flush(db)
    data: dict[str, Json] = {"permissions": [*row.permissions], "changed": [*sorted(before)]}
    await _announce(db, "role.updated", row, data, previous=before)
    return before


async def delete(db: AsyncSession, row: RoleRow) -> None:
    """Delete a locked role of a locked organization; raises Conflict while anybody has it or is invited to it."""
    await check_unused(db, row.organization_id, row.id, now=datetime.now(UTC))
    await db.delete(row)
    await db.flush()
    await _announce(db, "role.deleted", row, {}, previous={"permissions": [*row.permissions]})


async def _flush(db: AsyncSession) -> None:
    try:
        await db.flush()
    except IntegrityError as error:
        if "roles_by_name" not in str(error.orig):
            raise
        raise Conflict("this organization has a role of this name, whatever its case") from None


async def _announce(
    db: AsyncSession, event: str, row: RoleRow, data: dict[str, Json], previous: dict[str, Json] | None = None
) -> None:
    await announce_identity(
        db,
        event,
        organization_id=row.organization_id,
        subject_id=row.id,
        data={"id": row.id, "name": row.name, **data},
        previous=previous,
    )
