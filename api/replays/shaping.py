"""What a subscription wants of past events, and how it gets them: the one place that asks filters and payloads."""

from api.replays.log_reading import PastEvent
from schemas.envelope import body_of
from schemas.errors import InvalidInput
from schemas.ids import DeliveryId
from schemas.json_values import Json
from schemas.records import Subscription


def checked(filters: Json) -> str:
    """Return filters as they are kept; raises InvalidInput with a pointer to what does not hold."""
    raise InvalidInput("are not there yet", pointer="/filters")


def passes(past: PastEvent, filters: str | None) -> bool:
    """Return whether an event passes filters (JSON as it is kept; None: all do); one that fails lets nothing pass."""
    return filters is None


def body_for(past: PastEvent, subscription: Subscription, delivery_id: DeliveryId) -> bytes:
    """Return the exact bytes that a subscription receives; raises InvalidInput when the event is no JSON object."""
    return body_of(past.event) if past.body is None else past.body
