"""From an event to what is owed: one delivery for each subscription that wants it.

Decided in `deliveries_of`, which is pure; `Router` reads, publishes and quarantines.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import orjson

from processors.event_types import EventChecks
from processors.filtering import Failures, takers
from processors.index import SubscriptionIndex
from processors.intake import Taken
from processors.metrics import EVENTS_ROUTED, RECORDS_QUARANTINED
from processors.quarantining import quarantined
from producers.handover import LoopProducer
from producers.records import Outgoing
from schemas.catalogue import BUILT_IN, Catalogue
from schemas.codec import UnreadableRecord, decode, encode
from schemas.envelope import check_id, check_organization
from schemas.error_kinds import ErrorKind
from schemas.errors import InvalidInput
from schemas.headers import ORGANIZATION, delivery_headers, traceparent_in
from schemas.ids import append_time_of, delivery_id_of, new_attempt_id
from schemas.payloads import Payload, PayloadSource, payload_of
from schemas.records import FIRST_ROUND, NEVER_SHAPED, Attempt, AttemptState, Delivery, Event, Position, Subscription
from schemas.topics import ATTEMPTS, DELIVER, LARGEST_DELIVERY_BYTES

STAGE: Final = "route"
NEWER_PAYLOAD: Final = "its payload is of a newer release than this worker: upgrade the worker, then replay it"
ABOUT_A_SUBSCRIPTION: Final = "subscription."  # event types of our own (api/subscriptions/announcing.py)


@dataclass(frozen=True, slots=True)
class Owed:
    """What an event leads to: deliveries, and `held` outcomes for subscriptions that want it and get none now."""

    deliveries: tuple[Delivery, ...]
    held: tuple[Attempt, ...]


def deliveries_of(
    event: Event,
    subscriptions: Sequence[Subscription],
    *,
    position: Position,
    schedule_version: str,
    now: datetime,
    appended_at: datetime | None = None,
    traceparent: str | None = None,
    catalogue: Catalogue = BUILT_IN,
) -> Owed:
    """Return what `event`, read at `position`, owes to `subscriptions`, all of which want it, each in its own shape.

    `appended_at` is when the broker took it (None: when the event says that it happened). The subscription that an
    event of ours is about is owed nothing: telling it that it fails would be another failure. What is owed to one whose
    payload is of a newer release, or which is disabled, is `held`: a replay sends it later.

    Raises InvalidInput when its data is no JSON object: such a record cannot be anybody's body.
    """
    subscriptions = _without_its_subject(event, subscriptions)
    source = PayloadSource.of(event, catalogue.get(event.type, event.organization_id))
    if subscriptions:
        _ = source.fields  # also when it is held for all, or thin: nobody could send it later
    shapes = {each.id: _payload_of(each) for each in subscriptions}
    deliveries = tuple(
        Delivery(
            id=identifier,
            event_id=event.id,
            event_type=event.type,
            organization_id=event.organization_id,
            subscription_id=subscription.id,
            subscription_version=subscription.version,
            body=payload.body(source, delivery_id=identifier),
            event_position=position,
            event_created_at=event.created_at,
            due_at=now,
            schedule_version=schedule_version,
            key=event.key,
            sequence=position.offset,
            transformation_version=subscription.transformation_version,
            traceparent=traceparent,
        )
        for subscription in subscriptions
        if subscription.enabled and (payload := shapes[subscription.id]) is not None
        for identifier in (delivery_id_of(event.id, subscription.id, appended_at=appended_at),)
    )
    held = tuple(
        _held(event, subscription, position=position, now=now, appended_at=appended_at)
        for subscription in subscriptions
        if not subscription.enabled or shapes[subscription.id] is None
    )
    return Owed(deliveries, held)


def _payload_of(subscription: Subscription) -> Payload | None:
    """Return how its bodies look; None when this worker cannot make anything of it: the API is upgraded first."""
    try:
        return payload_of(subscription.payload)
    except InvalidInput:
        return None


def _without_its_subject(event: Event, subscriptions: Sequence[Subscription]) -> Sequence[Subscription]:
    if not (subscriptions and event.type.startswith(ABOUT_A_SUBSCRIPTION)):
        return subscriptions
    try:
        data = orjson.loads(event.data)
    except orjson.JSONDecodeError:
        return subscriptions  # another client's: it becomes nobody's body
    subject = data.get("subscription_id") if isinstance(data, dict) else None
    return [subscription for subscription in subscriptions if subscription.id != subject]


def checked_event(value: bytes | None) -> Event:
    """Return the event in a record's value; raises UnreadableRecord or InvalidInput when it is none of ours.

    Any Kafka client may write here, so what the publisher checks is checked again, as far as delivery depends on it.
    """
    event = decode(Event, value)
    check_id(event.id, "evt", "/id")
    check_organization(event.organization_id)
    return event


def organization_of(taken: Taken) -> bytes:
    """Return whose turn an event takes in routing: its organization's, b"" when nobody can read it.

    Our publisher says it in a header. Of other clients' records the value says it, which costs a decoding more (10 µs).
    """
    for name, value in taken.headers:
        if name == ORGANIZATION:
            return value
    try:
        return decode(Event, taken.value).organization_id.encode()
    except UnreadableRecord:
        return b""


class Router:
    """Routes one event at a time; as many run at once as the intake lets."""

    def __init__(
        self,
        index: SubscriptionIndex,
        producer: LoopProducer,
        *,
        schedule_version: str,
        failures: Failures,
        catalogue: Catalogue = BUILT_IN,
        checks: EventChecks | None = None,
    ) -> None:
        """Begin; `catalogue` says which fields are masked. Without `checks` events of any type are routed."""
        self._catalogue = catalogue
        self._index = index
        self._checks = checks
        self._failures = failures
        self._producer = producer
        self._schedule_version = schedule_version

    async def route(self, taken: Taken) -> None:
        """Publish what the event in `taken` owes; return when the brokers have it."""
        try:
            event = checked_event(taken.value)
            if self._checks is not None:
                await self._checks.check(event)
            wanting = self._index.wanting(event.organization_id, event.type)
            owed = deliveries_of(
                event,
                takers(event, wanting, self._index, self._failures, catalogue=self._catalogue),
                position=taken.position,
                schedule_version=self._schedule_version,
                now=datetime.now(UTC),
                appended_at=append_time_of(round(taken.timestamp_s * 1000)),
                traceparent=traceparent_in(taken.headers),
                catalogue=self._catalogue,
            )
            records = [*map(_delivery_record, owed.deliveries), *map(_held_record, owed.held)]
            _check_sizes(records)
        except (UnreadableRecord, InvalidInput) as error:
            await self._quarantine(taken, error)
            return
        await self._producer.send(records)
        EVENTS_ROUTED.inc()

    async def _quarantine(self, taken: Taken, error: Exception) -> None:
        record = quarantined(taken.position, taken.key, taken.value, taken.headers, error=error, stage=STAGE)
        await self._producer.send([record])
        RECORDS_QUARANTINED.labels(stage=STAGE).inc()


def _check_sizes(records: Sequence[Outgoing]) -> None:
    """Raise InvalidInput for what no topic would take.

    Another client's event grows when its JSON is written anew, and its key is in a delivery and in a header of it.
    """
    largest = max((len(each.value or b"") + sum(len(of) for _, of in each.headers) for each in records), default=0)
    if largest > LARGEST_DELIVERY_BYTES:
        raise InvalidInput(f"makes a record of {largest:,} bytes; at most {LARGEST_DELIVERY_BYTES:,} are delivered")


def _delivery_record(delivery: Delivery) -> Outgoing:
    return Outgoing(DELIVER, delivery.subscription_id.encode(), encode(delivery), delivery_headers(delivery))


def _held_record(attempt: Attempt) -> Outgoing:
    return Outgoing(ATTEMPTS, attempt.subscription_id.encode(), encode(attempt), [])


def _held(
    event: Event, subscription: Subscription, *, position: Position, now: datetime, appended_at: datetime | None
) -> Attempt:
    return Attempt(
        id=new_attempt_id(),
        delivery_id=delivery_id_of(event.id, subscription.id, appended_at=appended_at),
        event_id=event.id,
        event_type=event.type,
        organization_id=event.organization_id,
        subscription_id=subscription.id,
        subscription_version=subscription.version,
        round=FIRST_ROUND,
        attempt=0,
        state=AttemptState.HELD,
        source=None,
        event_position=position,
        event_created_at=event.created_at,
        due_at=now,
        started_at=now,
        duration_ms=0,
        error_kind=ErrorKind.UNSENDABLE if subscription.enabled else ErrorKind.DISABLED,
        error=NEWER_PAYLOAD if subscription.enabled else subscription.disabled_reason,
        key=event.key,
        sequence=position.offset,
        transformation_version=NEVER_SHAPED,
    )
