"""The token endpoint (RFC 6749, 3.2): a code, a refresh token or a client itself becomes an access token."""

from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.database import transaction_of
from api.oauth.access_tokens import new_access_token, signed
from api.oauth.client_authentication import ClientCredentials, authenticated
from api.oauth.endpoint import json_answer
from api.oauth.errors import OAuthError
from api.oauth.granting import Granted, TokenRequest, scopes_asked
from api.oauth.issuer import issuer_of
from api.oauth.redeeming import redeem
from api.oauth.refreshing import NEXT_PURPOSE, refresh
from api.oauth.standing import CLIENT_CREDENTIALS
from api.services import Services

GRANT_TYPES = ("authorization_code", "refresh_token", CLIENT_CREDENTIALS)


async def issue(request: Request, services: Services, form: Mapping[str, str], shown: ClientCredentials) -> Response:
    """Return the answer with tokens; raises OAuthError and DatabaseAway."""
    await services.keys.ready(services.engine)  # before anything is used up that an answer must follow
    async with transaction_of(services.engine) as db:
        application = await authenticated(db, shown)
        granted = await _granted(db, TokenRequest(request, application, form), services)
    if isinstance(granted, OAuthError):  # after what it revoked is committed
        services.callers.forget()
        raise granted
    signer = await services.keys.signer(services.engine, application.signing_algorithm)
    token = new_access_token(
        client_id=application.id,
        organization_id=granted.organization_id,
        scopes=granted.scopes,
        lifetime_s=services.settings.access_token_lifetime_s,
        user_id=granted.user_id,
        grant_id=granted.grant_id,
    )
    body: dict[str, Any] = {
        "access_token": signed(token, signer, issuer=issuer_of(services.settings)),
        "token_type": "Bearer",
        "expires_in": services.settings.access_token_lifetime_s,
        "scope": " ".join(granted.scopes),
    }
    return json_answer(body if granted.refresh_token is None else {**body, "refresh_token": granted.refresh_token})


async def _granted(db: AsyncSession, asked: TokenRequest, services: Services) -> Granted | OAuthError:
    grant_type = asked.form.get("grant_type")
    if grant_type is None:
        raise OAuthError("invalid_request", "send grant_type")
    if grant_type not in GRANT_TYPES:
        raise OAuthError("unsupported_grant_type", f"grant types are {', '.join(GRANT_TYPES)}")
    if grant_type not in asked.application.grants:
        raise OAuthError("unauthorized_client", "the application is not registered for this grant type")
    match grant_type:
        case "authorization_code":
            return await redeem(db, asked, services.settings)
        case "refresh_token":
            return await refresh(db, asked, services.settings, services.sealer.derived(NEXT_PURPOSE))
        case _:
            return _of_client(asked)


def _of_client(asked: TokenRequest) -> Granted:
    """Return what a client may do by itself (RFC 6749, 4.4): in its own organization, no refresh token."""
    application = asked.application
    if application.kind != "confidential":
        raise OAuthError("unauthorized_client", "client_credentials is for confidential applications only")
    return Granted(application.organization_id, scopes_asked(asked.form.get("scope"), application.scopes))
