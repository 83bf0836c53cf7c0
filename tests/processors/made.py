"""Records made for tests: an event, a subscription whose secrets are sealed for it, a delivery of one to the other."""

from datetime import UTC, datetime
from typing import Final

import orjson

from processors.turn import Kept, Turn
from schemas.filters import checked_filters
from schemas.ids import (
    EventId,
    OrganizationId,
    SubscriptionId,
    delivery_id_of,
    new_event_id,
    new_subscription_id,
)
from schemas.json_values import Json
from schemas.records import Delivery, Event, Position, Subscription
from schemas.sealing import HEADERS_PURPOSE, SECRET_PURPOSE, new_master_key, sealer_of

KEY: Final = b"a signing key of 32 bytes, no less"[:32]
MASTER_KEY: Final = new_master_key()
SEALER: Final = sealer_of(MASTER_KEY)
ORGANIZATION: Final = OrganizationId("org_1")


class Noted(list[tuple[SubscriptionId, EventId, str]]):
    """Hears of filters that fail: of whose, about which event, why."""

    def note(self, subscription: Subscription, event: Event, error: str) -> None:
        """Take note."""
        self.append((subscription.id, event.id, error))


def turn(
    *,
    ours: bool = True,
    ordered: bool = False,
    attempt: int = 1,
    expired: bool = False,
    kept: list[Kept] | None = None,
) -> Turn:
    """Return a lane's turn; what an ordered record is to wait for goes into `kept`."""

    async def keep(what: Kept) -> None:
        if kept is not None:
            kept.append(what)

    return Turn(is_ours=lambda: ours, is_ordered=ordered, attempt=attempt, history=(), is_expired=expired, keep=keep)


def event(
    *, data: bytes = b'{"id":"u1"}', event_type: str = "user.created", organization: OrganizationId = ORGANIZATION
) -> Event:
    """Return an event of now."""
    return Event(
        id=new_event_id(),
        type=event_type,
        organization_id=organization,
        created_at=datetime.now(UTC),
        data=data,
        key="u1",
    )


def subscription(
    url: str = "https://example.com/hooks",
    *,
    identifier: SubscriptionId | None = None,
    organization: OrganizationId = ORGANIZATION,
    wants: tuple[str, ...] = ("*",),
    keys: tuple[bytes, ...] = (KEY,),
    headers: dict[str, str] | None = None,
    version: int = 1,
    enabled: bool = True,
    timeout_ms: int = 5000,
    disabled_reason: str | None = None,
    filters: Json = None,
) -> Subscription:
    """Return a subscription; it has a fresh id unless one is given."""
    own = identifier or new_subscription_id()

    def seal(plain: bytes, purpose: str) -> bytes:
        return SEALER.seal(plain, organization=organization, row=own, purpose=purpose)

    return Subscription(
        id=own,
        organization_id=organization,
        version=version,
        url=url,
        event_types=wants,
        secrets=tuple(seal(key, SECRET_PURPOSE) for key in keys),
        headers=None if headers is None else seal(orjson.dumps(headers), HEADERS_PURPOSE),
        enabled=enabled,
        timeout_ms=timeout_ms,
        updated_at=datetime.now(UTC),
        disabled_reason=disabled_reason,
        filters=None if filters is None else checked_filters(filters),
    )


def delivery(
    to: Subscription | None = None,
    *,
    body: bytes = b'{"id":"u1"}',
    attempt: int = 1,
    offset: int = 0,
    due_at: datetime | None = None,
    traceparent: str | None = None,
) -> Delivery:
    """Return a delivery that is due now, of an event of its own, to a subscription."""
    owed = to or subscription()
    now = datetime.now(UTC)
    event_id = new_event_id()
    return Delivery(
        id=delivery_id_of(event_id, owed.id),
        event_id=event_id,
        event_type="user.created",
        organization_id=owed.organization_id,
        subscription_id=owed.id,
        subscription_version=owed.version,
        body=body,
        event_position=Position(topic="hookline.events", partition=0, offset=offset),
        event_created_at=now,
        due_at=due_at or now,
        attempt=attempt,
        sequence=offset,
        traceparent=traceparent,
    )
