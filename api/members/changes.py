"""Giving members other roles, and removing them; the organization is locked, so that an owner is always left."""

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncSession

from api.credentials import Caller
from api.members.announcing import announce_removed, announce_role_changed, name_of
from api.members.finding import Member
from api.members.giving import check_may_give_role, check_may_take_role
from api.members.tables import MembershipRow
from api.oauth.tables import ConsentRow, GrantRow
from api.sessions.tables import SessionRow

REMOVED: Final = "member_removed"  # why a grant was revoked


async def give_role(db: AsyncSession, caller: Caller, member: MembershipRow, role_id: str) -> str | None:
    """Give a member of a locked organization another role; return the one before, None when it is the same.

    Raises InvalidRequest, Forbidden and Conflict as `api/members/giving.py` says.
    """
    before = member.role_id
    if role_id == before:
        return None
    await check_may_give_role(db, caller, role_id)
    await check_may_take_role(db, caller, member)
    member.role_id = role_id
    member.updated_at = datetime.now(UTC)
    await db.flush()
    await announce_role_changed(db, member, before=before, by=name_of(caller))
    return before


async def remove(db: AsyncSession, caller: Caller, found: Member) -> None:
    """Remove a member of a locked organization, and all that the user had in it: sessions, consents, OAuth grants.

    Raises Forbidden and Conflict as `api/members/giving.py` says.
    """
    member, user = found
    await check_may_take_role(db, caller, member)
    await db.delete(member)
    await db.flush()
    await _revoke_all(db, member.organization_id, user.id)
    await announce_removed(db, member, user, by=name_of(caller))


async def _revoke_all(db: AsyncSession, organization_id: str, user_id: str) -> None:
    now = datetime.now(UTC)
    await db.execute(
        update(SessionRow)
        .where(
            SessionRow.organization_id == organization_id,
            SessionRow.user_id == user_id,
            SessionRow.revoked_at.is_(None),
        )
        .values(revoked_at=now)
    )
    await db.execute(
        update(GrantRow)
        .where(GrantRow.organization_id == organization_id, GrantRow.user_id == user_id, GrantRow.revoked_at.is_(None))
        .values(revoked_at=now, revoked_reason=REMOVED)
    )
    await db.execute(
        delete(ConsentRow).where(ConsentRow.organization_id == organization_id, ConsentRow.user_id == user_id)
    )
