"""The table of subscriptions and its queries: each takes the organization's id, none commits.

Every change is written to the outbox in the same transaction, for the workers: `stored` and `removed` are the only ways
to change a row, and both hold its lock, which keeps the order of its records (producers/outbox.py).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import ARRAY, BigInteger, DateTime, Index, LargeBinary, Text, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from api.database import Base
from producers.outbox import add_to_outbox
from producers.records import Outgoing
from schemas.codec import encode
from schemas.ids import OrganizationId, SubscriptionId
from schemas.records import Subscription
from schemas.redaction import Json
from schemas.topics import SUBSCRIPTIONS

MANUAL: Final = "manual"  # disabled_reason: a caller did it


class SubscriptionRow(Base):
    """A subscription; secrets and headers are sealed, bound to the organization and the id."""

    __tablename__ = "subscriptions"
    __table_args__ = (
        Index("subscriptions_of_organization", "organization_id", "id"),
        Index("subscriptions_by_state", "organization_id", "enabled", "id"),
        Index("subscriptions_by_event_type", "event_types", postgresql_using="gin"),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    organization_id: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(BigInteger)
    url: Mapped[str] = mapped_column(Text)
    event_types: Mapped[list[str]] = mapped_column(ARRAY(Text))
    description: Mapped[str | None] = mapped_column(Text)
    headers: Mapped[bytes | None] = mapped_column(LargeBinary, comment="sealed JSON object")
    secrets: Mapped[list[bytes]] = mapped_column(ARRAY(LargeBinary), comment="sealed, newest first")
    timeout_ms: Mapped[int]
    enabled: Mapped[bool]
    disabled_reason: Mapped[str | None] = mapped_column(Text)
    disabled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    enabled_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), comment="the last time; attempts from before do not count towards disabling"
    )
    secrets_expire_at: Mapped[list[datetime | None]] = mapped_column(
        ARRAY(DateTime(timezone=True)), comment="one for each of secrets, null: never"
    )
    about: Mapped[dict[str, Json]] = mapped_column("metadata", JSONB)  # `metadata` is SQLAlchemy's own name
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


async def stored(db: AsyncSession, row: SubscriptionRow) -> None:
    """Write a new row, or one that `subscription_to_change` locked, as its next version, and tell the workers."""
    row.version = (row.version or 0) + 1
    row.updated_at = datetime.now(UTC)
    db.add(row)
    await db.flush()
    await add_to_outbox(db, Outgoing(SUBSCRIPTIONS, row.id.encode(), encode(record_of(row)), []))


async def removed(db: AsyncSession, row: SubscriptionRow) -> None:
    """Delete a row that `subscription_to_change` locked, and tell the workers with a tombstone."""
    await db.delete(row)
    await db.flush()
    await add_to_outbox(db, Outgoing(SUBSCRIPTIONS, row.id.encode(), None, []))


async def subscription_of(
    db: AsyncSession, organization_id: OrganizationId, subscription_id: str
) -> SubscriptionRow | None:
    """Return an organization's subscription; None when there is none, or it is another's."""
    wanted = select(SubscriptionRow).where(
        SubscriptionRow.organization_id == organization_id, SubscriptionRow.id == subscription_id
    )
    return (await db.execute(wanted)).scalar_one_or_none()


async def subscription_to_change(
    db: AsyncSession, organization_id: OrganizationId, subscription_id: str
) -> SubscriptionRow | None:
    """Return the same, locked until the transaction ends: who changes it next waits and sees this change."""
    wanted = (
        select(SubscriptionRow)
        .where(SubscriptionRow.organization_id == organization_id, SubscriptionRow.id == subscription_id)
        .with_for_update()
    )
    return (await db.execute(wanted)).scalar_one_or_none()


async def subscriptions_of(
    db: AsyncSession,
    organization_id: OrganizationId,
    *,
    after: str = "",
    limit: int,
    enabled: bool | None = None,
    event_type: str | None = None,
    text: str | None = None,
) -> Sequence[SubscriptionRow]:
    """Return up to `limit` of an organization's subscriptions, oldest first, those past id `after`.

    `event_type` finds those that would receive it, whether they name it or have a pattern that takes it; a pattern
    (`user.*`) finds those that have this pattern or a wider one. `text` is looked for in URL and description.
    """
    wanted = select(SubscriptionRow).where(
        SubscriptionRow.organization_id == organization_id, SubscriptionRow.id > after
    )
    if enabled is not None:
        wanted = wanted.where(SubscriptionRow.enabled.is_(enabled))
    if event_type is not None:
        wanted = wanted.where(SubscriptionRow.event_types.bool_op("&&")(patterns_that_take(event_type)))
    if text is not None:
        wanted = wanted.where(
            SubscriptionRow.url.icontains(text, autoescape=True)
            | SubscriptionRow.description.icontains(text, autoescape=True)
        )
    return (await db.execute(wanted.order_by(SubscriptionRow.id).limit(limit))).scalars().all()


def patterns_that_take(event_type: str) -> list[str]:
    """Return every pattern that matches what `event_type` names: itself, `user.*` and the like, and `*`."""
    parts = event_type.removesuffix(".*").split(".")
    return ["*", event_type, *(".".join([*parts[:count], "*"]) for count in range(1, len(parts)))]


def record_of(row: SubscriptionRow) -> Subscription:
    """Return what the workers need to know of a row."""
    return Subscription(
        id=SubscriptionId(row.id),
        organization_id=OrganizationId(row.organization_id),
        version=row.version,
        url=row.url,
        event_types=tuple(row.event_types),
        secrets=tuple(row.secrets),
        enabled=row.enabled,
        timeout_ms=row.timeout_ms,
        updated_at=row.updated_at,
        headers=row.headers,
        disabled_reason=row.disabled_reason,
        secrets_expire_at=tuple(row.secrets_expire_at),
    )
