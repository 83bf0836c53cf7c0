"""The revocation endpoint (RFC 7009): a client gives back its own tokens, and learns nothing about others."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from fastapi import Request, Response
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from api.database import transaction_of
from api.oauth.access_tokens import LEEWAY_S, verified
from api.oauth.client_authentication import ClientCredentials, authenticated
from api.oauth.endpoint import json_answer
from api.oauth.errors import OAuthError
from api.oauth.granting import TokenRequest, locked_grant, revoke_grant
from api.oauth.issuer import issuer_of
from api.oauth.opaque import digest_of
from api.oauth.tables import RefreshTokenRow, RevokedTokenRow
from api.services import Services


async def revoke(request: Request, services: Services, form: Mapping[str, str], shown: ClientCredentials) -> Response:
    """Revoke a token if it is the client's; the answer is the same when it is not, or is none (RFC 7009, 2.2).

    An access token is revoked alone, a refresh token with its grant and all that came of it (2.1). The hint is not
    needed: one kind looks unlike the other. Raises OAuthError and DatabaseAway.
    """
    async with transaction_of(services.engine) as db:
        asked = TokenRequest(request, await authenticated(db, shown), form)
        if "token" not in form:
            raise OAuthError("invalid_request", "send the token")
        await _revoke_refresh_token(db, asked)
        await _revoke_access_token(db, asked, services)
    services.callers.forget()
    return json_answer({})


async def _revoke_refresh_token(db: AsyncSession, asked: TokenRequest) -> None:
    """Revoke the grant of a refresh token, also of a used one: whoever has it was its client."""
    wanted = select(RefreshTokenRow.grant_id).where(RefreshTokenRow.digest == digest_of(asked.form["token"]))
    grant_id = (await db.execute(wanted)).scalar_one_or_none()
    grant = None if grant_id is None else await locked_grant(db, grant_id)
    if grant is not None and grant.application_id == asked.application.id:
        await revoke_grant(db, asked, grant, "revoked_by_client")


async def _revoke_access_token(db: AsyncSession, asked: TokenRequest, services: Services) -> None:
    token = await verified(db, services.keys, asked.form["token"], issuer=issuer_of(services.settings))
    if token is None or token.client_id != asked.application.id:
        return
    expires_at = datetime.fromtimestamp(token.expires_at, UTC) + timedelta(seconds=2 * LEEWAY_S)
    await db.execute(insert(RevokedTokenRow).values(id=token.id, expires_at=expires_at).on_conflict_do_nothing())
