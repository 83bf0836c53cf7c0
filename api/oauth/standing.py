"""Whether those that a token speaks for may still do anything: its application, its grant, its user."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncSession

from api.applications.approving import may_use
from api.applications.tables import ApplicationRow
from api.members.tables import MembershipRow
from api.oauth.access_tokens import AccessToken
from api.oauth.clients import application_of
from api.oauth.tables import GrantRow, RevokedTokenRow
from api.permissions import Permission, kept_permissions
from api.roles.permissions import membership_permissions
from api.users.tables import UserRow

CLIENT_CREDENTIALS: Final = "client_credentials"


@dataclass(frozen=True, slots=True)
class Standing:
    """What a valid token comes to at this moment."""

    application: ApplicationRow
    permissions: frozenset[Permission]
    user_name: str | None = None


async def standing_of(db: AsyncSession, token: AccessToken) -> Standing | None:
    """Return what a verified token allows; None when it, its grant or its application's approval was taken back.

    A token allows no more than its scopes, its application's scopes as they are now, and its user's role.
    """
    application = await application_of(db, token.client_id)
    if application is None or not await may_use(db, application, token.organization_id):
        return None
    if (await db.execute(select(RevokedTokenRow.id).where(RevokedTokenRow.id == token.id))).first() is not None:
        return None
    allowed = kept_permissions(token.scopes) & kept_permissions(application.scopes)
    if token.grant_id is None:
        is_own = application.organization_id == token.organization_id and CLIENT_CREDENTIALS in application.grants
        return Standing(application, allowed) if is_own else None
    return await _of_user(db, token, application, allowed)


async def user_permissions(
    db: AsyncSession, organization_id: str, user_id: str
) -> tuple[str, frozenset[Permission]] | None:
    """Return the name of a user and what their role allows in an organization.

    None when they are locked, gone, no member, or have to set another password first.
    """
    wanted = select(UserRow.name).where(UserRow.id == user_id, UserRow.locked_at.is_(None), ~UserRow.must_reset)
    name = (await db.execute(wanted)).scalar_one_or_none()
    role = None if name is None else await membership_permissions(db, organization_id, user_id)
    return None if name is None or role is None else (name, role)


async def is_member_in_standing(db: AsyncSession, organization_id: str, user_id: str) -> bool:
    """Return whether `user_permissions` would say that a user may do something at all."""
    wanted = (
        select(UserRow.id)
        .join(MembershipRow, MembershipRow.user_id == UserRow.id)
        .where(
            MembershipRow.organization_id == organization_id,
            UserRow.id == user_id,
            UserRow.locked_at.is_(None),
            ~UserRow.must_reset,
        )
    )
    return (await db.execute(wanted)).first() is not None


async def _of_user(
    db: AsyncSession, token: AccessToken, application: ApplicationRow, allowed: frozenset[Permission]
) -> Standing | None:
    grant = select(GrantRow.id).where(
        and_(
            GrantRow.id == token.grant_id,
            GrantRow.revoked_at.is_(None),
            GrantRow.application_id == application.id,
            GrantRow.user_id == token.user_id,
            GrantRow.organization_id == token.organization_id,
        )
    )
    if (await db.execute(grant)).first() is None:
        return None
    user = await user_permissions(db, token.organization_id, token.user_id or "")
    return None if user is None else Standing(application, allowed & user[1], user[0])
