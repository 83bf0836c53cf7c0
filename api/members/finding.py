"""Members and invitations by their ids. Every query takes the organization's id, none commits."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from api.errors import NotFound
from api.members.bodies import InvitationState
from api.members.tables import InvitationRow, MembershipRow
from api.permissions import OWNER
from api.users.tables import UserRow
from schemas.ids import is_time_ordered

PATH: Final = "/api/v1/members"
INVITATIONS: Final = f"{PATH}/invitations"

Member = tuple[MembershipRow, UserRow]


async def members_of(db: AsyncSession, organization_id: str, *, after: str, limit: int) -> Sequence[Member]:
    """Return up to `limit` of an organization's members, those past user id `after`, by their ids."""
    wanted = (
        select(MembershipRow, UserRow)
        .join(UserRow, UserRow.id == MembershipRow.user_id)
        .where(MembershipRow.organization_id == organization_id, MembershipRow.user_id > after)
        .order_by(MembershipRow.user_id)
        .limit(limit)
    )
    return [(member, user) for member, user in (await db.execute(wanted)).all()]


async def member_of(db: AsyncSession, organization_id: str, user_id: str) -> Member:
    """Return a member as it stands now, also when the transaction read it before; raises NotFound."""
    found = None
    if is_time_ordered(user_id, "usr"):
        wanted = (
            select(MembershipRow, UserRow)
            .join(UserRow, UserRow.id == MembershipRow.user_id)
            .where(MembershipRow.organization_id == organization_id, MembershipRow.user_id == user_id)
        )
        found = (await db.execute(wanted.execution_options(populate_existing=True))).one_or_none()
    if found is None:
        raise NotFound("this organization has no member of this id")
    member, user = found
    return member, user


async def role_id_of(db: AsyncSession, organization_id: str, user_id: str) -> str | None:
    """Return the id of a member's role, None when the user is no member."""
    wanted = select(MembershipRow.role_id).where(
        MembershipRow.organization_id == organization_id, MembershipRow.user_id == user_id
    )
    return (await db.execute(wanted)).scalar_one_or_none()


async def has_another_owner(db: AsyncSession, organization_id: str, user_id: str) -> bool:
    """Return whether somebody else is an owner and can sign in.

    It stays true until the transaction ends: the rows of all owners are locked, in the order in which `api/users/`
    locks them before it locks an owner out.
    """
    owners = MembershipRow.organization_id == organization_id, MembershipRow.role_id == OWNER
    await db.execute(select(MembershipRow.user_id).where(*owners).order_by(MembershipRow.user_id).with_for_update())
    # Another statement, so that it sees what those did who held the locks.
    others = (
        select(MembershipRow.user_id)
        .join(UserRow, UserRow.id == MembershipRow.user_id)
        .where(*owners, MembershipRow.user_id != user_id, UserRow.locked_at.is_(None))
        .limit(1)
    )
    return (await db.execute(others)).first() is not None


async def is_member_by_email(db: AsyncSession, organization_id: str, email_key: str) -> bool:
    """Return whether the account of an address is a member."""
    wanted = (
        select(MembershipRow.user_id)
        .join(UserRow, UserRow.id == MembershipRow.user_id)
        .where(MembershipRow.organization_id == organization_id, UserRow.email_key == email_key)
    )
    return (await db.execute(wanted)).first() is not None


async def is_invited(db: AsyncSession, organization_id: str, email: str, *, now: datetime) -> bool:
    """Return whether an address has an invitation that can be accepted."""
    wanted = (
        select(InvitationRow.id)
        .where(
            InvitationRow.organization_id == organization_id,
            func.lower(InvitationRow.email) == email.lower(),
            _stands(InvitationState.PENDING, now),
        )
        .limit(1)
    )
    return (await db.execute(wanted)).first() is not None


async def invitations_of(
    db: AsyncSession,
    organization_id: str,
    *,
    state: InvitationState | None,
    after: str,
    limit: int,
    now: datetime,
) -> Sequence[InvitationRow]:
    """Return up to `limit` of an organization's invitations, oldest first, those past id `after`."""
    wanted = (
        select(InvitationRow)
        .where(InvitationRow.organization_id == organization_id, InvitationRow.id > after)
        .order_by(InvitationRow.id)
        .limit(limit)
    )
    if state is not None:
        wanted = wanted.where(_stands(state, now))
    return (await db.execute(wanted)).scalars().all()


async def invitation_to_change(db: AsyncSession, organization_id: str, invitation_id: str) -> InvitationRow:
    """Return an invitation, locked; raises NotFound."""
    row = None
    if is_time_ordered(invitation_id, "inv"):
        wanted = select(InvitationRow).where(
            InvitationRow.organization_id == organization_id, InvitationRow.id == invitation_id
        )
        row = (await db.execute(wanted.with_for_update())).scalar_one_or_none()
    if row is None:
        raise NotFound("this organization has no invitation of this id")
    return row


def _stands(state: InvitationState, now: datetime) -> ColumnElement[bool]:
    accepted, withdrawn = InvitationRow.accepted_at.is_not(None), InvitationRow.withdrawn_at.is_not(None)
    is_open = ~or_(accepted, withdrawn)
    return {
        InvitationState.ACCEPTED: accepted,
        InvitationState.WITHDRAWN: and_(~accepted, withdrawn),
        InvitationState.PENDING: and_(is_open, InvitationRow.expires_at > now),
        InvitationState.EXPIRED: and_(is_open, InvitationRow.expires_at <= now),
    }[state]
