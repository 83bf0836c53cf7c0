"""What is done with a delivery when its turn in a replay comes: pure, the log's rows in and a decision out."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from api.deliveries.tables import DeliveryState
from api.replays.tables import ItemState, Transformation
from schemas.catalogue import BUILT_IN, Catalogue
from schemas.errors import InvalidInput
from schemas.ids import DeliveryId, EventId, OrganizationId, ReplayId, SubscriptionId
from schemas.payloads import PayloadSource, payload_of
from schemas.records import Delivery, Position
from schemas.topics import EVENTS, LARGEST_DELIVERY_BYTES

# A retry that is due this soon goes out before the workers could hear that another round takes over.
DUE_WITHIN: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """What the log has of a delivery, and the bytes of its event (None: retention took them)."""

    organization_id: OrganizationId
    subscription_id: SubscriptionId
    event_id: EventId
    event_type: str
    state: str
    round: str
    created_at: datetime
    due_at: datetime
    last_attempt_at: datetime | None
    key: str | None
    sequence: int
    transformation_version: int
    event_partition: int
    event_offset: int
    traceparent: str | None
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a subscription's payload (schemas/payloads); None: the full body."""

    number: int
    payload: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """An item whose turn has come. `subscription_version` is None when the subscription was deleted.

    `original` is the version that the delivery had when it was first made, None when it had none (it was held without
    a body) or nobody keeps it; `current` is the subscription's own. `refused` is why nothing was
    logged: routing takes no such event.
    """

    replay_id: ReplayId
    delivery_id: DeliveryId
    asked_at: datetime
    logged: Logged | None
    subscription_version: int | None
    subscription_enabled: bool
    original: Version | None
    current: Version
    wanted: Transformation
    refused: str | None = None

    @property
    def version(self) -> Version:
        """Return which version of the payload it is sent with."""
        return self.current if self.wanted is Transformation.CURRENT or self.original is None else self.original


@dataclass(frozen=True, slots=True)
class Decision:
    """The state that the item gets, why, and what is sent (None: nothing).

    `takes_over` when another round of the delivery waits in a tier: the workers are told first.
    """

    state: ItemState
    detail: str | None = None
    delivery: Delivery | None = None
    takes_over: bool = False


def is_being_sent(state: str, due_at: datetime, *, now: datetime) -> bool:
    """Return whether an attempt of a delivery is on its way to the receiver, or about to be."""
    if state == DeliveryState.PENDING:
        return True
    return state == DeliveryState.RETRYING and due_at <= now + DUE_WITHIN


def original_of(version: int | None, kept: int | None, payload: str | None) -> Version | None:
    """Return the version that a delivery had, of which the log says `version` and the table of them `kept`.

    0, the full body for all, is in no table.
    """
    if version == 0:
        return Version(0, None)
    return None if kept is None else Version(kept, payload)


def decided(turn: Turn, *, now: datetime, catalogue: Catalogue = BUILT_IN) -> Decision:
    """Return what is done with an item; `catalogue` says which fields are masked."""
    logged = turn.logged
    if logged is None or logged.body is None:
        return Decision(ItemState.SKIPPED, turn.refused or "the log does not keep the event any more")
    if logged.round == turn.replay_id:
        return Decision(ItemState.SENT)  # and the runner that sent it was killed before it could say so
    if turn.subscription_version is None:
        return Decision(ItemState.SKIPPED, "the subscription was deleted")
    if not turn.subscription_enabled:
        return Decision(ItemState.HELD, "the subscription is disabled")
    if (needless := _why_needless(logged, turn, now)) is not None:
        return Decision(ItemState.SKIPPED, needless)
    return _sent(turn, logged, turn.subscription_version, now, catalogue)


def _why_needless(logged: Logged, turn: Turn, now: datetime) -> str | None:
    if logged.round > turn.replay_id:  # workers would drop our retries, and the log our outcome
        return f"{logged.round} was asked for later and has sent it already"
    if is_being_sent(logged.state, logged.due_at, now=now):
        return "its own next attempt was due first"
    was_attempted = logged.last_attempt_at is not None and logged.last_attempt_at > turn.asked_at
    return "it was delivered meanwhile" if was_attempted and logged.state == DeliveryState.SUCCESS else None


def _sent(turn: Turn, logged: Logged, subscription_version: int, now: datetime, catalogue: Catalogue) -> Decision:
    try:
        source = PayloadSource.stored(logged.body or b"", catalogue.get(logged.event_type, logged.organization_id))
        body = payload_of(turn.version.payload).body(source, delivery_id=turn.delivery_id)
    except InvalidInput as error:
        return Decision(ItemState.SKIPPED, f"no body can be made of what the log keeps: {error}")
    if len(body) > LARGEST_DELIVERY_BYTES:  # which Kafka would refuse for ever
        detail = f"its body has {len(body):,} bytes; at most {LARGEST_DELIVERY_BYTES:,} are delivered"
        return Decision(ItemState.SKIPPED, detail)
    delivery = _delivery_of(turn, logged, body, subscription_version, now)
    return Decision(ItemState.SENT, delivery=delivery, takes_over=logged.state == DeliveryState.RETRYING)


def _delivery_of(turn: Turn, logged: Logged, body: bytes, subscription_version: int, now: datetime) -> Delivery:
    return Delivery(
        id=turn.delivery_id,
        event_id=logged.event_id,
        event_type=logged.event_type,
        organization_id=logged.organization_id,
        subscription_id=logged.subscription_id,
        subscription_version=subscription_version,
        body=body,
        event_position=Position(topic=EVENTS, partition=logged.event_partition, offset=logged.event_offset),
        event_created_at=logged.created_at,
        due_at=now,
        round=turn.replay_id,
        key=logged.key,
        sequence=logged.sequence,
        transformation_version=turn.version.number,
        traceparent=logged.traceparent,
    )
