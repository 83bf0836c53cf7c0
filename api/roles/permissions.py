"""What a role allows, and what a member may do by it: sessions, OAuth and the routes of members ask here.

Always read when it is asked for, never kept: what is kept is a caller's verdict (`api/callers.py`), for two seconds.
"""

from typing import Final

from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncSession

from api.members.tables import MembershipRow
from api.permissions import BUILT_IN_ROLES, Permission, kept_permissions
from api.roles.tables import RoleRow

_NOTHING: Final[frozenset[Permission]] = frozenset()


async def permissions_of_role(db: AsyncSession, organization_id: str, role_id: str) -> frozenset[Permission]:
    """Return what a role allows: a built-in one by its name, `rol_…` by its row.

    Empty for a role that the organization does not have: whoever still has it may do nothing.
    """
    built_in = BUILT_IN_ROLES.get(role_id)
    if built_in is not None:
        return built_in
    wanted = select(RoleRow.permissions).where(RoleRow.id == role_id, RoleRow.organization_id == organization_id)
    kept = (await db.execute(wanted)).scalar_one_or_none()
    return _NOTHING if kept is None else kept_permissions(kept)


async def membership_permissions(db: AsyncSession, organization_id: str, user_id: str) -> frozenset[Permission] | None:
    """Return what a user may do in an organization, None when they are no member of it; one query."""
    wanted = (
        select(MembershipRow.role_id, RoleRow.permissions)
        .outerjoin(
            RoleRow, and_(RoleRow.id == MembershipRow.role_id, RoleRow.organization_id == MembershipRow.organization_id)
        )
        .where(MembershipRow.organization_id == organization_id, MembershipRow.user_id == user_id)
    )
    found = (await db.execute(wanted)).one_or_none()
    if found is None:
        return None
    return BUILT_IN_ROLES.get(found.role_id) or kept_permissions(found.permissions or ())
