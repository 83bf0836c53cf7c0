"""The introspection endpoint (RFC 7662): what a token allows at this moment, for those whom it concerns.

A confidential client learns about access tokens of its own organization's applications, so that a resource server
registered beside them can ask, and about its own refresh tokens. Any other token is inactive, like one that is none.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from fastapi import Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.applications.approving import may_use
from api.applications.tables import ApplicationRow
from api.database import transaction_of
from api.oauth.access_tokens import claims_of, verified
from api.oauth.client_authentication import ClientCredentials, authenticated
from api.oauth.endpoint import json_answer
from api.oauth.errors import OAuthError, invalid_client
from api.oauth.issuer import issuer_of
from api.oauth.opaque import digest_of
from api.oauth.standing import is_member_in_standing, standing_of
from api.oauth.tables import GrantRow, RefreshTokenRow
from api.services import Services

_INACTIVE: Final[Mapping[str, Any]] = {"active": False}


async def introspect(services: Services, form: Mapping[str, str], shown: ClientCredentials) -> Response:
    """Return what a token says, or that it is not active; raises OAuthError and DatabaseAway."""
    async with transaction_of(services.engine) as db:
        application = await authenticated(db, shown)
        if application.kind != "confidential":
            raise invalid_client()
        if "token" not in form:
            raise OAuthError("invalid_request", "send the token")
        said = await _of_access_token(db, services, application, form["token"])
        said = said or await _of_refresh_token(db, services, application, form["token"])
    return json_answer(said or _INACTIVE)


async def _of_access_token(
    db: AsyncSession, services: Services, application: ApplicationRow, value: str
) -> Mapping[str, Any] | None:
    issuer = issuer_of(services.settings)
    token = await verified(db, services.keys, value, issuer=issuer)
    standing = None if token is None else await standing_of(db, token)
    if token is None or standing is None or standing.application.organization_id != application.organization_id:
        return None
    return {"active": True, "token_type": "Bearer", **claims_of(token, issuer=issuer), "org": token.organization_id}


async def _of_refresh_token(
    db: AsyncSession, services: Services, application: ApplicationRow, value: str
) -> Mapping[str, Any] | None:
    wanted = (
        select(RefreshTokenRow, GrantRow)
        .join(GrantRow, GrantRow.id == RefreshTokenRow.grant_id)
        .where(
            RefreshTokenRow.digest == digest_of(value),
            RefreshTokenRow.used_at.is_(None),
            RefreshTokenRow.expires_at > datetime.now(UTC),
            GrantRow.application_id == application.id,
            GrantRow.revoked_at.is_(None),
        )
    )
    found = (await db.execute(wanted)).one_or_none()
    if found is None:
        return None
    token, grant = found
    if not await may_use(db, application, grant.organization_id):
        return None
    if not await is_member_in_standing(db, grant.organization_id, grant.user_id):
        return None
    return {
        "active": True,
        "iss": issuer_of(services.settings),
        "client_id": application.id,
        "sub": grant.user_id,
        "scope": " ".join(grant.scopes),
        "iat": int(token.created_at.timestamp()),
        "exp": int(token.expires_at.timestamp()),
        "org": grant.organization_id,
    }
