"""Refresh tokens (RFC 6749, 6): each is good for one use, which gives the next one (RFC 9700, 4.14.2).

The next one is derived from the one before it with a key that is not in the database. So whoever asks again within the
grace, because the answer was lost, gets the same answer, though only digests are kept; and of any number of uses at
once there is one live token.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from api.oauth.errors import OAuthError, invalid_grant
from api.oauth.granting import Granted, TokenRequest, check_standing, revoke_grant, scopes_asked
from api.oauth.opaque import REFRESH_PREFIX, digest_of, new_opaque
from api.oauth.tables import GrantRow, RefreshTokenRow
from api.settings import ApiSettings

NEXT_PURPOSE: Final = "oauth-next-refresh-token"
_NOT_GOOD: Final = "the refresh token is unknown, expired, used, revoked, or not this client's"


async def first_refresh_token(db: AsyncSession, grant: GrantRow, settings: ApiSettings, now: datetime) -> str:
    """Return a grant's first refresh token."""
    token = new_opaque(REFRESH_PREFIX)
    await _add(db, grant, token, settings, now)
    return token


async def refresh(
    db: AsyncSession, asked: TokenRequest, settings: ApiSettings, keys: Sequence[bytes]
) -> Granted | OAuthError:
    """Return what a refresh token gives; `keys` are those that the next ones are derived with, the current one first.

    An error that is returned, not raised, has changed something that must be committed: a token that is used again, and
    not because an answer was lost, revokes its whole family. Raises OAuthError when nothing was changed.
    """
    application, form = asked.application, asked.form
    if "refresh_token" not in form:
        raise OAuthError("invalid_request", "send the refresh_token")
    given, now = form["refresh_token"], datetime.now(UTC)
    grant = await _grant_of(db, given)
    if grant is None or grant.application_id != application.id or grant.revoked_at is not None:
        raise invalid_grant(_NOT_GOOD)
    token = await _token(db, digest_of(given))  # read when the grant is locked: nobody else uses it now
    if token is None or token.expires_at <= now:
        raise invalid_grant(_NOT_GOOD)
    scopes = scopes_asked(form.get("scope"), grant.scopes)
    await check_standing(db, application, grant)
    if token.used_at is None:
        follower = next_refresh_token(given, keys[0])
        await _add(db, grant, follower, settings, now, used=token)
    else:
        lost = await _lost_answer(db, token, given, keys, now - timedelta(seconds=settings.refresh_grace_s))
        if lost is None:
            await revoke_grant(db, asked, grant, "refresh_token_used_again")
            return invalid_grant(_NOT_GOOD)
        follower = lost
    return Granted(grant.organization_id, scopes, grant.user_id, grant.id, follower)


def next_refresh_token(token: str, key: bytes) -> str:
    """Return the token that follows: as long as a random one, and nobody without the key can make it."""
    derived = hmac.digest(key, token.encode("utf-8", "surrogateescape"), sha256)
    return REFRESH_PREFIX + urlsafe_b64encode(derived).rstrip(b"=").decode()


async def _lost_answer(
    db: AsyncSession, token: RefreshTokenRow, given: str, keys: Sequence[bytes], since: datetime
) -> str | None:
    """Return the token that a use within the grace gave; None when it came too late, or that token was used already:
    then the answer was not lost.
    """
    if token.used_at is None or token.used_at < since or token.followed_by is None:
        return None
    follower = await _token(db, token.followed_by)
    if follower is None or follower.used_at is not None:
        return None
    derived = (next_refresh_token(given, key) for key in keys)
    return next((each for each in derived if hmac.compare_digest(digest_of(each), token.followed_by)), None)


async def _grant_of(db: AsyncSession, given: str) -> GrantRow | None:
    of_token = select(RefreshTokenRow.grant_id).where(RefreshTokenRow.digest == digest_of(given))
    wanted = select(GrantRow).where(GrantRow.id == of_token.scalar_subquery()).with_for_update()
    return (await db.execute(wanted)).scalar_one_or_none()


async def _token(db: AsyncSession, digest: bytes) -> RefreshTokenRow | None:
    return (await db.execute(select(RefreshTokenRow).where(RefreshTokenRow.digest == digest))).scalar_one_or_none()


async def _add(
    db: AsyncSession,
    grant: GrantRow,
    token: str,
    settings: ApiSettings,
    now: datetime,
    *,
    used: RefreshTokenRow | None = None,
) -> None:
    """Add a token, let the grant live as long, and mark the one that was `used` for it: in one statement."""
    ends_at = grant.created_at + timedelta(days=settings.grant_lifetime_days)
    expires_at = min(now + timedelta(days=settings.refresh_token_lifetime_days), ends_at)
    digest = digest_of(token)
    added = insert(RefreshTokenRow).values(digest=digest, grant_id=grant.id, created_at=now, expires_at=expires_at)
    longer = update(GrantRow).where(GrantRow.id == grant.id).values(expires_at=expires_at)
    statement = added.add_cte(longer.cte("longer"))
    if used is not None:
        marked = update(RefreshTokenRow).where(RefreshTokenRow.digest == used.digest)
        statement = statement.add_cte(marked.values(used_at=now, followed_by=digest).cte("marked"))
    await db.execute(statement)
