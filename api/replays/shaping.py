"""What a subscription wants of past events, and how it gets them: the one place that asks filters and payloads."""

import structlog

from api.replays.log_reading import PastEvent
from schemas.catalogue import BUILT_IN
from schemas.errors import InvalidInput
from schemas.filters import EventContext, FilterFailed, filters_of
from schemas.ids import DeliveryId
from schemas.payloads import PayloadSource, payload_of
from schemas.records import Subscription

log = structlog.get_logger("api.replays")


def passes(context: EventContext, filters: str | None) -> bool:
    """Return whether an event passes filters (JSON as it is kept; None: all do); one that fails lets nothing pass."""
    if filters is None:
        return True
    try:
        return filters_of(filters).take(context)
    except (FilterFailed, InvalidInput) as error:  # its owner hears of it in routing, which asks the same
        log.debug("replay.filter_failed", event_id=context.event.id, error=str(error))
        return False


def full_body_of(past: PastEvent) -> bytes:
    """Return an event's full body, of which deciding.py makes what is sent; raises InvalidInput as `body_for` does."""
    return source_of(past).full


def body_for(source: PayloadSource, subscription: Subscription, delivery_id: DeliveryId) -> bytes:
    """Return the bytes that a subscription would get today; raises InvalidInput when the event is no JSON object."""
    return payload_of(subscription.payload).body(source, delivery_id=delivery_id)


def source_of(past: PastEvent) -> PayloadSource:
    """Return what an event's bodies are made of, parsed once for all of them."""
    event_type = BUILT_IN.get(past.event.type, past.event.organization_id)
    if past.body is None:
        return PayloadSource.of(past.event, event_type)
    return PayloadSource.stored(past.body, event_type)
