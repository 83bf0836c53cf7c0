"""The tables of API tokens and of how much they are used. No query here commits."""

from collections.abc import Sequence
from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import BigInteger, ColumnElement, ForeignKey, Index, Select, Text, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from api.columns import BYTES, ID, MOMENT, TEXTS, of_organization
from api.database import Base


class TokenState(StrEnum):
    """Whether a token can be used: one that is revoked is so for good, whenever it would have expired."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


class TokenRow(Base):
    """An API token; the token itself was shown once and is kept nowhere."""

    __tablename__ = "api_tokens"
    __table_args__ = (
        Index("api_tokens_of_organization", "organization_id", "id"),
        Index("api_tokens_by_prefix", "prefix"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    organization_id: Mapped[str] = of_organization()
    version: Mapped[int]
    name: Mapped[str] = mapped_column(Text)
    prefix: Mapped[str] = mapped_column(ID, comment="its first 12 characters: by it a token is found")
    digest: Mapped[bytes] = mapped_column(BYTES, comment="SHA-256 of the whole token")
    scopes: Mapped[list[str]] = mapped_column(TEXTS)
    allowed_addresses: Mapped[list[str]] = mapped_column(TEXTS, server_default="{}", comment="CIDR; none: anywhere")
    rate_limit: Mapped[int | None] = mapped_column(comment="requests a minute; null: the organization's limits only")
    created_by: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(MOMENT)
    updated_at: Mapped[datetime] = mapped_column(MOMENT)
    expires_at: Mapped[datetime | None] = mapped_column(MOMENT)
    last_used_at: Mapped[datetime | None] = mapped_column(MOMENT, comment="written at most once a minute")
    revoked_at: Mapped[datetime | None] = mapped_column(MOMENT)


class TokenUseRow(Base):
    """How many requests a token made on a day (UTC)."""

    __tablename__ = "api_token_uses"

    organization_id: Mapped[str] = of_organization()
    token_id: Mapped[str] = mapped_column(ID, ForeignKey("api_tokens.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    requests: Mapped[int] = mapped_column(BigInteger)


def state_of(row: TokenRow, *, now: datetime) -> TokenState:
    """Return whether a token can be used at `now`."""
    if row.revoked_at is not None:
        return TokenState.REVOKED
    is_over = row.expires_at is not None and row.expires_at <= now
    return TokenState.EXPIRED if is_over else TokenState.ACTIVE


async def tokens_of(
    db: AsyncSession, organization_id: str, *, after: str, limit: int, state: TokenState | None, now: datetime
) -> Sequence[TokenRow]:
    """Return up to `limit` of an organization's tokens, oldest first, those past id `after`."""
    wanted = select(TokenRow).where(TokenRow.organization_id == organization_id, TokenRow.id > after)
    if state is not None:
        wanted = wanted.where(*_in_state(state, now))
    return (await db.execute(wanted.order_by(TokenRow.id).limit(limit))).scalars().all()


async def token_of(db: AsyncSession, organization_id: str, token_id: str) -> TokenRow | None:
    """Return an organization's token; None when it has none of this id."""
    return (await db.execute(_one(organization_id, token_id))).scalar_one_or_none()


async def token_to_change(db: AsyncSession, organization_id: str, token_id: str) -> TokenRow | None:
    """Return the same, locked until the transaction ends."""
    return (await db.execute(_one(organization_id, token_id).with_for_update())).scalar_one_or_none()


async def uses_of(db: AsyncSession, organization_id: str, token_id: str, *, since: date) -> Sequence[TokenUseRow]:
    """Return on which days from `since` on a token was used, oldest first."""
    wanted = select(TokenUseRow).where(
        TokenUseRow.organization_id == organization_id, TokenUseRow.token_id == token_id, TokenUseRow.day >= since
    )
    return (await db.execute(wanted.order_by(TokenUseRow.day))).scalars().all()


def _one(organization_id: str, token_id: str) -> Select[TokenRow]:
    return select(TokenRow).where(TokenRow.organization_id == organization_id, TokenRow.id == token_id)


def _in_state(state: TokenState, now: datetime) -> tuple[ColumnElement[bool], ...]:
    is_valid = or_(TokenRow.expires_at.is_(None), TokenRow.expires_at > now)
    match state:
        case TokenState.REVOKED:
            return (TokenRow.revoked_at.is_not(None),)
        case TokenState.EXPIRED:
            return (TokenRow.revoked_at.is_(None), TokenRow.expires_at <= now)
        case TokenState.ACTIVE:
            return (TokenRow.revoked_at.is_(None), is_valid)
