"""Roles by their ids, and who has them. Every query takes the organization's id, none commits."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from fastapi import Request
from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from api.errors import Conflict, NotFound
from api.members.tables import InvitationRow, MembershipRow
from api.permissions import BUILT_IN_ROLES
from api.preconditions import etag_of, is_unchanged
from api.roles.bodies import RoleBody, body_of, built_in
from api.roles.tables import RoleRow
from schemas.ids import is_time_ordered

PATH: Final = "/api/v1/roles"
_NOT_THERE: Final = "this organization has no role of this id"


async def shown_role(db: AsyncSession, organization_id: str, role_id: str) -> RoleBody:
    """Return a role, built in or the organization's own; raises NotFound."""
    if role_id in BUILT_IN_ROLES:
        return built_in(role_id)
    row = await role_of(db, organization_id, role_id)
    if row is None:
        raise NotFound(_NOT_THERE)
    return body_of(row)


async def role_of(db: AsyncSession, organization_id: str, role_id: str) -> RoleRow | None:
    """Return the organization's own role, None when there is none of this id."""
    if not is_time_ordered(role_id, "rol"):
        return None
    wanted = select(RoleRow).where(RoleRow.organization_id == organization_id, RoleRow.id == role_id)
    return (await db.execute(wanted)).scalar_one_or_none()


async def role_to_change(db: AsyncSession, organization_id: str, role_id: str, request: Request) -> RoleRow:
    """Return the organization's own role, locked.

    Raises NotFound; Conflict for one that is built in; PreconditionFailed when If-Match names another version.
    """
    if role_id in BUILT_IN_ROLES:
        raise Conflict("built-in roles cannot be changed: make one of your own")
    row = None
    if is_time_ordered(role_id, "rol"):
        wanted = select(RoleRow).where(RoleRow.organization_id == organization_id, RoleRow.id == role_id)
        row = (await db.execute(wanted.with_for_update())).scalar_one_or_none()
    if row is None:
        raise NotFound(_NOT_THERE)
    is_unchanged(request, etag_of(row.version))
    return row


async def roles_of(db: AsyncSession, organization_id: str, *, after: str, limit: int) -> Sequence[RoleBody]:
    """Return up to `limit` roles past id `after`: the built-in ones, then the organization's own, oldest first."""
    names = list(BUILT_IN_ROLES)
    first = names.index(after) + 1 if after in BUILT_IN_ROLES else (len(names) if after else 0)
    found = [built_in(name) for name in names[first:]][:limit]
    wanted = (
        select(RoleRow)
        .where(RoleRow.organization_id == organization_id, RoleRow.id > ("" if after in BUILT_IN_ROLES else after))
        .order_by(RoleRow.id)
        .limit(limit - len(found))
    )
    return [*found, *(body_of(row) for row in (await db.execute(wanted)).scalars())]


async def check_unused(db: AsyncSession, organization_id: str, role_id: str, *, now: datetime) -> None:
    """Raise Conflict while members have a role, or somebody is invited to it; the organization is locked."""
    held = exists().where(MembershipRow.organization_id == organization_id, MembershipRow.role_id == role_id)
    offered = exists().where(
        InvitationRow.organization_id == organization_id,
        InvitationRow.role_id == role_id,
        InvitationRow.accepted_at.is_(None),
        InvitationRow.withdrawn_at.is_(None),
        InvitationRow.expires_at > now,
    )
    is_held, is_offered = (await db.execute(select(held, offered))).one()
    if is_held:
        raise Conflict("members have this role: give them another one first")
    if is_offered:
        raise Conflict("somebody is invited to this role: withdraw the invitation first")
