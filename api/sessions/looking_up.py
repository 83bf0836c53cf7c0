"""Finding out what a request's session allows."""

from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from api.credentials import Caller, CredentialKind
from api.organizations.tables import OrganizationRow
from api.roles.permissions import membership_permissions
from api.sessions.cookies import SessionCookies, csrf_token_of, digest_of
from api.sessions.tables import SessionRow
from api.users.tables import UserRow
from schemas.ids import OrganizationId

_SEEN_EVERY: Final = timedelta(minutes=1)


async def caller_of_session(
    db: AsyncSession, value: str, organization_id: OrganizationId | None, *, cookies: SessionCookies
) -> Caller | None:
    """Return who calls with this session; None when it is not valid (any more).

    It acts in the organization that is named, of which the user has to be a member, else in its own. A member of
    nothing has no permission, and their own affairs.
    """
    secret = cookies.secret_in(value)
    if secret is None:
        return None
    now = datetime.now(UTC)
    wanted = (
        select(SessionRow, UserRow)
        .join(UserRow, UserRow.id == SessionRow.user_id)
        .where(
            SessionRow.digest == digest_of(secret),
            SessionRow.revoked_at.is_(None),
            SessionRow.expires_at > now,
            UserRow.locked_at.is_(None),
            UserRow.must_reset.is_(False),
        )
    )
    found = (await db.execute(wanted)).one_or_none()
    if found is None:
        return None
    session, user = found.SessionRow, found.UserRow
    acting_in = OrganizationId(organization_id or session.organization_id)
    permissions = await membership_permissions(db, acting_in, user.id)
    if permissions is None and (organization_id is not None or acting_in != user.organization_id):
        return None
    if session.last_seen_at < now - _SEEN_EVERY:
        seen = update(SessionRow).where(SessionRow.id == session.id).values(last_seen_at=now)
        await db.execute(seen.execution_options(synchronize_session=False))
    limits = select(OrganizationRow.limits).where(OrganizationRow.id == acting_in)
    return Caller(
        organization_id=acting_in,
        name=user.name,
        kind=CredentialKind.SESSION,
        id=session.id,
        permissions=permissions or frozenset(),
        user_id=user.id,
        expires_at=session.expires_at,
        csrf_token=csrf_token_of(secret),
        limits=dict((await db.execute(limits)).scalar_one()),
    )
