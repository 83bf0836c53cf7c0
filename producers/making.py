"""From what a service says of an event to its record on `hookline.events`: the same for every way of publishing."""

from collections.abc import Mapping
from typing import Any, Required, TypedDict, Unpack, cast

from producers.records import Outgoing
from schemas.catalogue import BUILT_IN, Catalogue, check_not_reserved
from schemas.codec import encode
from schemas.envelope import LARGEST_EVENT_BYTES, new_event
from schemas.errors import InvalidInput
from schemas.headers import event_headers, is_traceparent
from schemas.ids import EventId
from schemas.json_values import Json
from schemas.records import Event
from schemas.topics import EVENTS


class EventFields(TypedDict, total=False):
    """What an event is made of.

    `data` is a JSON object that fits the type's schema; a TypedDict is one, a pydantic model is by
    `model.model_dump(mode="json")`, a dataclass by `dataclasses.asdict`. Events of one `key` keep their order; without
    it, the type's `ordering_key` names the field of data that is the key. `previous` is what data was before,
    `metadata` any JSON object, `source_id` the service's own id of the event, `traceparent` W3C Trace Context's.
    """

    type: Required[str]
    organization_id: Required[str]
    data: Required[Mapping[str, Any] | Json]
    key: str | None
    previous: Mapping[str, Any] | Json
    metadata: Mapping[str, Any] | Json
    source_id: str | None
    traceparent: str | None


class EventMaking:
    """Makes a service's events: checks them, removes what is sensitive, encodes them."""

    def __init__(
        self, *, source: str, largest_bytes: int = LARGEST_EVENT_BYTES, catalogue: Catalogue = BUILT_IN
    ) -> None:
        """Take what a service's events have in common; `source` is CloudEvents' attribute."""
        self._source = source
        self._largest_bytes = largest_bytes
        self._catalogue = catalogue

    def made(self, **event: Unpack[EventFields]) -> tuple[EventId, Outgoing]:
        """Return a new event's id and record. Raises InvalidInput with a pointer to what does not hold."""
        traceparent = event.pop("traceparent", None)
        check_not_reserved(event["type"])
        made = new_event(
            **cast(Any, event),  # what is no JSON object is refused there
            source=self._source,
            catalogue=self._catalogue,
            largest_bytes=self._largest_bytes,
        )
        return made.id, self.record_of(made, traceparent)

    def record_of(self, event: Event, traceparent: str | None) -> Outgoing:
        """Return an event's record; raises InvalidInput for what is no `traceparent`."""
        if traceparent is not None and not is_traceparent(traceparent):
            raise InvalidInput("is no traceparent of W3C Trace Context", pointer="/traceparent")
        return event_record(event, source=self._source, traceparent=traceparent)


def event_record(event: Event, *, source: str, traceparent: str | None = None) -> Outgoing:
    """Return the record of an event on `hookline.events`. `source` is for an event that does not say its own."""
    key = event.id if event.key is None else event.key
    headers = event_headers(event, source=event.source or source, traceparent=traceparent)
    return Outgoing(EVENTS, key.encode(), encode(event), headers)
