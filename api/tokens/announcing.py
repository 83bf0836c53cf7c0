"""What becomes of API tokens, as events: `api_token.created`, `.updated` and `.revoked`, never with the token."""

from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from api.announcing import announce_identity
from api.credentials import Caller
from api.tokens.tables import TokenRow
from schemas.json_values import Json

_CHANGING: Final = ("name", "expires_at", "allowed_addresses", "rate_limit")


def settings_of(row: TokenRow) -> dict[str, Json]:
    """Return what can change of a token, as JSON."""
    return {name: _json(getattr(row, name)) for name in _CHANGING}


async def announce_created(db: AsyncSession, row: TokenRow) -> None:
    """Publish that a token was made."""
    await _announce(db, row, "created", {**settings_of(row), "scopes": list(row.scopes), "created_by": row.created_by})


async def announce_updated(db: AsyncSession, row: TokenRow, previous: dict[str, Json]) -> None:
    """Publish that a token was changed; `previous` holds what changed, as it was."""
    await _announce(db, row, "updated", {**settings_of(row), "changed": list(previous)}, previous)


async def announce_revoked(db: AsyncSession, row: TokenRow, caller: Caller) -> None:
    """Publish that a token was revoked."""
    await _announce(db, row, "revoked", {"name": row.name, "revoked_by": caller.user_id or caller.id})


async def _announce(
    db: AsyncSession, row: TokenRow, what: str, data: dict[str, Json], previous: dict[str, Json] | None = None
) -> None:
    await announce_identity(
        db,
        f"api_token.{what}",
        organization_id=row.organization_id,
        subject_id=row.id,
        data={"token_id": row.id, **data},
        previous=previous,
    )


def _json(value: object) -> Json:
    if isinstance(value, datetime):
        return value.isoformat()
    return [str(each) for each in value] if isinstance(value, list) else value  # type: ignore[return-value] # text, a number or None
