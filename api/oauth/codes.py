"""Authorization codes (RFC 6749, 4.1.2): made when a user consents, good for one use and a short time."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import uuid_utils
from sqlalchemy.ext.asyncio import AsyncSession

from api.applications.tables import ApplicationRow
from api.oauth.opaque import CODE_PREFIX, digest_of, new_opaque
from api.oauth.tables import CodeRow, GrantRow


async def issue_code(
    db: AsyncSession,
    *,
    application: ApplicationRow,
    user_id: str,
    organization_id: str,
    scopes: Sequence[str],
    redirect_uri: str,
    redirect_uri_given: bool,
    code_challenge: str | None,
    lifetime_s: int,
) -> str:
    """Return a fresh code for what a user granted; only its digest is kept, with the grant that all comes of.

    `redirect_uri_given`: the authorization request named it, so the token request has to (RFC 6749, 4.1.3).
    `code_challenge` is that of S256 (RFC 7636, 4.2); None: PKCE was waived for the client. The caller's transaction is
    bound to no organization, and it has checked all of this.
    """
    now = datetime.now(UTC)
    code = new_opaque(CODE_PREFIX)
    expires_at = now + timedelta(seconds=lifetime_s)
    grant = GrantRow(
        id=f"grt_{uuid_utils.uuid7().hex}",
        organization_id=organization_id,
        application_id=application.id,
        user_id=user_id,
        scopes=list(scopes),
        created_at=now,
        expires_at=expires_at,
    )
    db.add(grant)
    await db.flush()
    db.add(
        CodeRow(
            digest=digest_of(code),
            grant_id=grant.id,
            redirect_uri=redirect_uri,
            redirect_uri_given=redirect_uri_given,
            code_challenge=code_challenge,
            expires_at=expires_at,
        )
    )
    await db.flush()
    return code
