"""What the grants of the token endpoint have in common: which scopes, and who stands behind them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from fastapi import Request
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from api.announcing import announce_identity
from api.applications.approving import may_use
from api.applications.tables import ApplicationRow
from api.audit.recording import Actor, record
from api.oauth.errors import OAuthError, invalid_grant
from api.oauth.standing import is_member_in_standing
from api.oauth.tables import GrantRow
from api.permissions import kept_permissions, permissions_of
from schemas.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What an authenticated client asks for."""

    request: Request
    application: ApplicationRow
    form: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Granted:
    """What a token request comes to: the access token's scopes, and what else goes with it."""

    organization_id: str
    scopes: tuple[str, ...]
    user_id: str | None = None
    grant_id: str | None = None
    refresh_token: str | None = None


def scopes_asked(asked: str | None, allowed: Sequence[str]) -> tuple[str, ...]:
    """Return the scopes to give, those allowed when none are asked for; raises OAuthError when they are more.

    Scopes are sums of permissions: `deliveries:read` is less than `read`, though it is another word (RFC 6749, 6).
    """
    wanted = tuple(dict.fromkeys((asked or "").split()))
    if not wanted:
        return tuple(allowed)
    try:
        is_within = permissions_of(wanted) <= kept_permissions(allowed)
    except InvalidInput:
        is_within = False
    if not is_within:
        raise OAuthError("invalid_scope", "scope asks for more than was granted, or for what is no scope")
    return wanted


async def locked_grant(db: AsyncSession, grant_id: str) -> GrantRow | None:
    """Return a grant, locked: what becomes of it is decided by one request after the other."""
    wanted = select(GrantRow).where(GrantRow.id == grant_id).with_for_update()
    return (await db.execute(wanted)).scalar_one_or_none()


async def check_standing(db: AsyncSession, application: ApplicationRow, grant: GrantRow) -> None:
    """Raise OAuthError unless the user and the organization behind a grant still stand behind it."""
    if not await may_use(db, application, grant.organization_id):
        raise invalid_grant("the organization does not allow this application")
    if not await is_member_in_standing(db, grant.organization_id, grant.user_id):
        raise invalid_grant("who granted it is no member any more, or locked")


async def revoke_grant(db: AsyncSession, asked: TokenRequest, grant: GrantRow, reason: str) -> None:
    """Revoke a grant with all that came of it, and say so in an event and the audit log; once it is, it stays so."""
    now = datetime.now(UTC)
    gone = update(GrantRow).where(GrantRow.id == grant.id, GrantRow.revoked_at.is_(None)).returning(GrantRow.id)
    if (await db.execute(gone.values(revoked_at=now, revoked_reason=reason))).first() is None:
        return
    await announce_identity(
        db,
        "application.grant_revoked",
        organization_id=grant.organization_id,
        subject_id=grant.application_id,
        data={"id": grant.application_id, "grant_id": grant.id, "user_id": grant.user_id, "reason": reason},
    )
    await record(
        db,
        asked.request,
        actor=Actor(
            organization_id=grant.organization_id,
            kind="application",
            id=asked.application.id,
            name=asked.application.name,
            application_id=asked.application.id,
        ),
        action="auth.grant_revoked",
        target_kind="oauth_grants",
        target_id=grant.id,
        changes={"reason": reason, "user_id": grant.user_id},
    )
