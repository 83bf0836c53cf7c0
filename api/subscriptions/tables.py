"""The table of subscriptions and its queries: each takes the organization's id, none commits.

Every change is written to the outbox in the same transaction, for the workers: `stored` and `removed` are the only ways
to change a row, and both hold its lock, which keeps the order of its records (producers/outbox.py).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    DateTime,
    Double,
    Index,
    LargeBinary,
    Text,
    case,
    delete,
    false,
    func,
    inspect,
    select,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from api.announcing import announce
from api.database import Base
from api.mail.telling import tell_of_disabling
from api.projection.tables import CursorRow, FilterErrorsRow, HealthRow
from api.subscriptions.announcing import SOURCE, Failures, Subject, disabled
from api.subscriptions.transformations import TransformationRow
from producers.outbox import add_to_outbox
from producers.records import Outgoing
from schemas.codec import encode
from schemas.filters import canonical
from schemas.ids import OrganizationId, SubscriptionId
from schemas.payloads import checked_payload
from schemas.records import OnExhaustion, Ordering, SignatureStyle, Subscription
from schemas.redaction import Json
from schemas.topics import SUBSCRIPTIONS

MANUAL: Final = "manual"  # disabled_reason: a caller did it


class SubscriptionState(StrEnum):
    """How a subscription stands, the first that is so: disabled, paused, failing, enabled.

    `failing` is derived: so many attempts in a row have failed.
    """

    ENABLED = "enabled"
    DISABLED = "disabled"
    PAUSED = "paused"
    FAILING = "failing"


class SubscriptionRow(Base):
    """A subscription; secrets and headers are sealed, bound to the organization and the id."""

    __tablename__ = "subscriptions"
    __table_args__ = (
        Index("subscriptions_of_organization", "organization_id", "id"),
        Index("subscriptions_by_state", "organization_id", "enabled", "id"),
        Index("subscriptions_by_event_type", "event_types", postgresql_using="gin"),
        Index("subscriptions_paused", "organization_id", "id", postgresql_where=text("paused")),
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
    paused: Mapped[bool] = mapped_column(server_default=false())
    paused_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    catch_up_per_s: Mapped[float | None] = mapped_column(
        Double, comment="while it is behind; null: as fast as the workers can"
    )
    most_in_flight: Mapped[int | None] = mapped_column(comment="null: the workers' own bound")
    rate_limit: Mapped[int | None] = mapped_column(comment="deliveries in rate_period_s; null: as many as come")
    rate_period_s: Mapped[int] = mapped_column(server_default="1")
    ordering: Mapped[str] = mapped_column(Text, server_default=Ordering.NONE.value)
    on_exhaustion: Mapped[str] = mapped_column(Text, server_default=OnExhaustion.DEAD_LETTER.value)
    allowed_addresses: Mapped[list[str]] = mapped_column(
        ARRAY(Text), server_default="{}", comment="CIDR blocks; none: any public address"
    )
    signature_style: Mapped[str] = mapped_column(Text, server_default=SignatureStyle.STANDARD.value)
    signature_header: Mapped[str | None] = mapped_column(Text)
    event_type_header: Mapped[str | None] = mapped_column(Text)
    delivery_id_header: Mapped[str | None] = mapped_column(Text)
    filters: Mapped[list[Json] | None] = mapped_column(
        JSONB(none_as_null=True), comment="which events of its types it wants; null: all"
    )
    filters_version: Mapped[int] = mapped_column(
        BigInteger, server_default="0", comment="the version that has had these filters first"
    )
    payload: Mapped[dict[str, Json] | None] = mapped_column(JSONB(none_as_null=True), comment="null: the full body")
    transformation_version: Mapped[int] = mapped_column(
        server_default="0", comment="rises with each change of payload; 0: it never had one"
    )
    about: Mapped[dict[str, Json]] = mapped_column("metadata", JSONB)  # `metadata` is SQLAlchemy's own name
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


async def stored(db: AsyncSession, row: SubscriptionRow, *, failures: Failures | None = None) -> None:
    """Write a new row, or one that `subscription_to_change` locked, as its next version, and tell the workers.

    Secrets that have expired go: they sign no more (the worker looks at their time itself). When it was enabled and is
    not any more, the organization is told, with the `failures` that led to it; when it was not a caller,
    its owners and admins get an e-mail too.
    """
    is_disabled_now = inspect(row).attrs.enabled.history.deleted == [True]
    row.version = (row.version or 0) + 1
    row.updated_at = datetime.now(UTC)
    if inspect(row).attrs.filters.history.has_changes():
        row.filters_version = row.version
        await db.execute(delete(FilterErrorsRow).where(FilterErrorsRow.subscription_id == row.id))
    _forget_expired_secrets(row, now=row.updated_at)
    db.add(row)
    _keep_payload(db, row)
    await db.flush()
    await add_to_outbox(db, Outgoing(SUBSCRIPTIONS, row.id.encode(), encode(record_of(row)), []))
    if is_disabled_now:
        at, reason = row.disabled_at or row.updated_at, row.disabled_reason or MANUAL
        event = disabled(subject_of(row), reason=reason, at=at, failures=failures)
        await announce(db, event, source=SOURCE)
        if reason != MANUAL:
            await tell_of_disabling(db, event)


def subject_of(row: SubscriptionRow) -> Subject:
    """Return what events say of a row."""
    return Subject(id=row.id, organization_id=row.organization_id, url=row.url)


def _forget_expired_secrets(row: SubscriptionRow, *, now: datetime) -> None:
    expiring = zip(row.secrets, row.secrets_expire_at, strict=True)
    kept = [(secret, at) for secret, at in expiring if at is None or at > now]
    if len(kept) < len(row.secrets):
        row.secrets, row.secrets_expire_at = [secret for secret, _ in kept], [at for _, at in kept]


def _keep_payload(db: AsyncSession, row: SubscriptionRow) -> None:
    if row.transformation_version and inspect(row).attrs.transformation_version.history.added:
        kept = TransformationRow(
            subscription_id=row.id,
            version=row.transformation_version,
            organization_id=row.organization_id,
            payload=row.payload,
            since=row.updated_at,
        )
        db.add(kept)


async def removed(db: AsyncSession, row: SubscriptionRow) -> None:
    """Delete a row that `subscription_to_change` locked, and tell the workers with a tombstone.

    What the projection knows of it goes after it: the projection locks in this order too. The versions of its payload
    stay, as the log does that they explain.
    """
    await db.delete(row)
    await db.flush()
    await db.execute(delete(HealthRow).where(HealthRow.subscription_id == row.id))
    await db.execute(delete(CursorRow).where(CursorRow.subscription_id == row.id))
    await db.execute(delete(FilterErrorsRow).where(FilterErrorsRow.subscription_id == row.id))
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


async def subscriptions_to_change(
    db: AsyncSession, organization_id: OrganizationId, subscription_ids: Sequence[str]
) -> dict[str, SubscriptionRow]:
    """Return those of an organization's subscriptions that are there, by id, all locked.

    They are locked in the order of their ids: two who change the same ones wait for each other, never in a circle.
    """
    wanted = (
        select(SubscriptionRow)
        .where(SubscriptionRow.organization_id == organization_id, SubscriptionRow.id.in_(subscription_ids))
        .order_by(SubscriptionRow.id)
        .with_for_update()
    )
    return {row.id: row for row in (await db.execute(wanted)).scalars()}


async def state_of(db: AsyncSession, row: SubscriptionRow, *, failing_after: int) -> SubscriptionState:
    """Return how a subscription stands; failing: `failing_after` attempts in a row failed since it was enabled.

    Whether it is enabled and paused is the row's to say: it may have changed since, and an answer says one thing.
    """
    if not row.enabled:
        return SubscriptionState.DISABLED
    if row.paused:
        return SubscriptionState.PAUSED
    known = select(_is_failing(failing_after)).where(SubscriptionRow.id == row.id)
    is_failing = (await db.execute(known)).scalar_one_or_none()  # none: deleted meanwhile
    return SubscriptionState.FAILING if is_failing else SubscriptionState.ENABLED


async def subscriptions_of(
    db: AsyncSession,
    organization_id: OrganizationId,
    *,
    failing_after: int,
    after: str = "",
    limit: int,
    state: SubscriptionState | None = None,
    event_type: str | None = None,
    text: str | None = None,
) -> Sequence[tuple[SubscriptionRow, SubscriptionState]]:
    """Return up to `limit` of an organization's subscriptions and how they stand, oldest first, those past id `after`.

    `state` finds those that stand so: one that is failing is not among the enabled. `event_type` finds those that would
    receive it, whether they name it or have a pattern that takes it; a pattern (`user.*`) finds those that have this
    pattern or a wider one. `text` is looked for in URL and description.
    """
    wanted = select(SubscriptionRow, _state(failing_after)).where(
        SubscriptionRow.organization_id == organization_id, SubscriptionRow.id > after
    )
    if state is not None:
        wanted = wanted.where(*_stands(state, failing_after))
    if event_type is not None:
        wanted = wanted.where(SubscriptionRow.event_types.bool_op("&&")(patterns_that_take(event_type)))
    if text is not None:
        wanted = wanted.where(
            SubscriptionRow.url.icontains(text, autoescape=True)
            | SubscriptionRow.description.icontains(text, autoescape=True)
        )
    found = await db.execute(wanted.order_by(SubscriptionRow.id).limit(limit))
    return [(row, SubscriptionState(state)) for row, state in found]


def _is_failing(failing_after: int) -> ColumnElement[bool]:
    """Return whether an enabled subscription is failing: looked up by key for each row, whatever the planner thinks."""
    its = HealthRow.subscription_id == SubscriptionRow.id
    since_enabled = func.coalesce(HealthRow.last_attempt_at >= SubscriptionRow.enabled_at, true())
    failing = select((HealthRow.failed_attempts >= failing_after) & since_enabled).where(its)
    return func.coalesce(failing.correlate(SubscriptionRow).scalar_subquery(), false())


def _stands(state: SubscriptionState, failing_after: int) -> list[ColumnElement[bool]]:
    if state is SubscriptionState.DISABLED:
        return [SubscriptionRow.enabled.is_(False)]
    if state is SubscriptionState.PAUSED:
        return [SubscriptionRow.enabled.is_(True), SubscriptionRow.paused.is_(True)]
    failing = _is_failing(failing_after)
    stands = failing if state is SubscriptionState.FAILING else ~failing
    return [SubscriptionRow.enabled.is_(True), SubscriptionRow.paused.is_(False), stands]


def _state(failing_after: int) -> ColumnElement[str]:
    return case(
        (SubscriptionRow.enabled.is_(False), SubscriptionState.DISABLED.value),
        (SubscriptionRow.paused.is_(True), SubscriptionState.PAUSED.value),
        (_is_failing(failing_after), SubscriptionState.FAILING.value),
        else_=SubscriptionState.ENABLED.value,
    )


def patterns_that_take(event_type: str) -> list[str]:
    """Return every pattern that matches what `event_type` names: itself, `user.*` and the like, and `*`.

    Two stars say the same as one.
    """
    parts = event_type.split(".")
    beginnings = ["", *(f"{'.'.join(parts[:count])}." for count in range(1, len(parts)))]
    patterns = [beginning + stars for beginning in beginnings for stars in ("*", "**")]
    return patterns if event_type in patterns else [*patterns, event_type]


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
        paused=row.paused,
        catch_up_per_s=row.catch_up_per_s,
        most_in_flight=row.most_in_flight or 0,
        rate_limit=row.rate_limit,
        rate_period_s=row.rate_period_s,
        ordering=Ordering(row.ordering),
        on_exhaustion=OnExhaustion(row.on_exhaustion),
        allowed_addresses=tuple(row.allowed_addresses),
        signature_style=SignatureStyle(row.signature_style),
        signature_header=row.signature_header,
        event_type_header=row.event_type_header,
        delivery_id_header=row.delivery_id_header,
        filters=None if row.filters is None else canonical(row.filters),
        payload=None if row.payload is None else checked_payload(row.payload),
        transformation_version=row.transformation_version,
    )
