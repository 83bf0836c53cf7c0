"""Finding out what a request's access token allows."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.credentials import Caller, CredentialKind, Lookup
from api.oauth.access_tokens import LEEWAY_S, verified
from api.oauth.issuer import issuer_of
from api.oauth.signing import SigningKeys
from api.oauth.standing import standing_of
from api.organizations.tables import OrganizationRow
from api.settings import ApiSettings
from schemas.ids import OrganizationId


def access_token_lookup(keys: SigningKeys, settings: ApiSettings) -> Lookup:
    """Return what finds a token's caller, with the keys and the issuer that it needs."""
    issuer = issuer_of(settings)

    async def look_up(db: AsyncSession, value: str, _: OrganizationId | None) -> Caller | None:
        return await caller_of_access_token(db, value, keys=keys, issuer=issuer)

    return look_up


async def caller_of_access_token(db: AsyncSession, value: str, *, keys: SigningKeys, issuer: str) -> Caller | None:
    """Return who calls with this access token; None when it is not valid (any more)."""
    token = await verified(db, keys, value, issuer=issuer)
    standing = None if token is None else await standing_of(db, token)
    if token is None or standing is None:
        return None
    limits = select(OrganizationRow.limits).where(OrganizationRow.id == token.organization_id)
    name = standing.application.name
    return Caller(
        organization_id=OrganizationId(token.organization_id),
        name=name if standing.user_name is None else f"{standing.user_name} through {name}",
        kind=CredentialKind.ACCESS_TOKEN,
        id=token.id,
        permissions=standing.permissions,
        user_id=token.user_id,
        application_id=standing.application.id,
        expires_at=datetime.fromtimestamp(token.expires_at, UTC) + timedelta(seconds=LEEWAY_S),
        limits=(await db.execute(limits)).scalar_one_or_none() or {},
    )
