"""Redeeming an authorization code (RFC 6749, 4.1.3) with PKCE's verifier (RFC 7636, 4.6)."""

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from api.applications.tables import ApplicationRow
from api.oauth.errors import OAuthError, invalid_grant
from api.oauth.granting import Granted, TokenRequest, check_standing, locked_grant, revoke_grant
from api.oauth.opaque import digest_of
from api.oauth.refreshing import first_refresh_token
from api.oauth.tables import CodeRow, GrantRow
from api.settings import ApiSettings

_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636, 4.1
_NOT_GOOD: Final = "the code is unknown, expired, used, or not this client's"


async def redeem(db: AsyncSession, asked: TokenRequest, settings: ApiSettings) -> Granted | OAuthError:
    """Return what a code gives. An error that is returned, not raised, has changed something that must be committed:
    a second use revokes what the first one gave (RFC 9700, 2.1.1; RFC 6749, 4.1.2).

    Raises OAuthError when nothing was changed: a wrong verifier or redirect URI does not use up the code.
    """
    application, form = asked.application, asked.form
    if "code" not in form:
        raise OAuthError("invalid_request", "send the code")
    now, digest = datetime.now(UTC), digest_of(form["code"])
    code = (await db.execute(select(CodeRow).where(CodeRow.digest == digest))).scalar_one_or_none()
    grant = None if code is None else await locked_grant(db, code.grant_id)
    if code is None or grant is None or grant.application_id != application.id:
        raise invalid_grant(_NOT_GOOD)
    # One statement decides who is the first, whatever was read before it.
    if code.used_at is None:
        if code.expires_at <= now or grant.revoked_at is not None:
            raise invalid_grant(_NOT_GOOD)
        _check_redirect_uri(code, form.get("redirect_uri"))
        _check_verifier(code, form.get("code_verifier"))
        await check_standing(db, application, grant)
        first = update(CodeRow).where(CodeRow.digest == digest, CodeRow.used_at.is_(None)).returning(CodeRow.digest)
        if (await db.execute(first.values(used_at=now))).first() is not None:
            return await _given(db, application, grant, settings, now)
    await revoke_grant(db, asked, grant, "code_used_twice")
    return invalid_grant(_NOT_GOOD)


async def _given(
    db: AsyncSession, application: ApplicationRow, grant: GrantRow, settings: ApiSettings, now: datetime
) -> Granted:
    refresh_token = None
    if "refresh_token" in application.grants:
        refresh_token = await first_refresh_token(db, grant, settings, now)
    else:
        grant.expires_at = now + timedelta(seconds=settings.access_token_lifetime_s)
        await db.flush()
    return Granted(grant.organization_id, tuple(grant.scopes), grant.user_id, grant.id, refresh_token)


def _check_redirect_uri(code: CodeRow, given: str | None) -> None:
    if given is None and not code.redirect_uri_given:
        return
    if given != code.redirect_uri:
        raise invalid_grant("redirect_uri is not that of the authorization request")


def _check_verifier(code: CodeRow, verifier: str | None) -> None:
    if code.code_challenge is None:
        if verifier is not None:  # somebody took the challenge out of the authorization request (RFC 9700, 4.8.2)
            raise invalid_grant("the authorization request had no code_challenge")
        return
    if verifier is None:
        raise OAuthError("invalid_grant", "send the code_verifier")
    if not _VERIFIER.fullmatch(verifier):
        raise invalid_grant("code_verifier is not the one of the code_challenge")
    challenge = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
    if not hmac.compare_digest(challenge, code.code_challenge.encode()):
        raise invalid_grant("code_verifier is not the one of the code_challenge")
