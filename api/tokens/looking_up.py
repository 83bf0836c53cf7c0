"""Finding out what a request's API token allows."""

import hmac
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.credentials import Caller, CredentialKind
from api.organizations.tables import OrganizationRow
from api.permissions import kept_permissions
from api.tokens.making import digest_of, is_token, prefix_of
from api.tokens.tables import TokenRow, TokenState, state_of
from schemas.addresses import networks_of
from schemas.ids import OrganizationId


async def caller_of_api_token(db: AsyncSession, value: str, organization_id: OrganizationId | None) -> Caller | None:
    """Return who calls with this API token; None when there is none such, or it is revoked or expired.

    `organization_id`, which the request names, changes nothing: a token belongs to one organization, and `Callers`
    refuses another.
    """
    del organization_id
    if not is_token(value):
        return None
    wanted = (
        select(TokenRow, OrganizationRow.limits)
        .join(OrganizationRow, OrganizationRow.id == TokenRow.organization_id)
        .where(TokenRow.prefix == prefix_of(value))
    )
    found = None
    digest = digest_of(value)
    # Every candidate is compared, each in constant time: how long it takes says nothing about which one it was.
    for row, limits in (await db.execute(wanted)).all():
        if hmac.compare_digest(row.digest, digest):
            found = row, limits
    if found is None or state_of(found[0], now=datetime.now(UTC)) is not TokenState.ACTIVE:
        return None
    return _caller_of(*found)


def _caller_of(row: TokenRow, limits: dict[str, int]) -> Caller:
    return Caller(
        organization_id=OrganizationId(row.organization_id),
        name=row.name,
        kind=CredentialKind.API_TOKEN,
        id=row.id,
        permissions=kept_permissions(row.scopes),
        expires_at=row.expires_at,
        allowed_addresses=networks_of(row.allowed_addresses),
        own_limit=row.rate_limit,
        limits=dict(limits),
    )
