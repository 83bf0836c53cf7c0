"""An event as filters see it, made once and shared by all that are asked about it."""

from collections.abc import Callable
from datetime import UTC
from typing import Final, TypeVar, cast

import orjson

from schemas.catalogue import EventType
from schemas.envelope import kept_object
from schemas.json_values import Json
from schemas.records import Event

_Object = dict[str, Json]
Made = TypeVar("Made")
# Names of CloudEvents 1.0.2 that are the event's own; any other is looked up in its metadata.
_OWN: Final[dict[str, Callable[[Event], str | None]]] = {
    "id": lambda event: event.id,
    "type": lambda event: event.type,
    "source": lambda event: event.source,
    "subject": lambda event: event.key,
    "time": lambda event: event.created_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
    "organizationid": lambda event: event.organization_id,
    "specversion": lambda _: "1.0",
    "datacontenttype": lambda _: "application/json",
}


class EventContext:
    """An event, and what was made of it so far: nothing is parsed before a filter asks for it, and nothing twice.

    What filters see is what subscribers see: sensitive fields are removed (schemas/redaction.py), and what the type
    marks secret is `***`, whoever wrote the record. A filter could guess a secret otherwise, by what it takes.
    """

    __slots__ = ("_data", "_made", "_metadata", "_previous", "_size", "_type", "event", "spent")

    def __init__(self, event: Event, event_type: EventType | None = None) -> None:
        self.event = event
        self._type = event_type
        self._data: _Object | None = None
        self._previous: _Object | None = None
        self._metadata: _Object | None = None
        self._size: tuple[int, int, int] | None = None
        self._made: object = None
        self.spent = 0.0
        """What evaluating has cost so far, in the units of costs.py."""

    @classmethod
    def of(cls, event: Event, event_type: EventType | None = None) -> "EventContext":
        """Return an event's context; costs nothing yet. Of a type that nobody knows (None) nothing is marked."""
        return cls(event, event_type)

    def attribute(self, name: str) -> str | None:
        """Return a CloudEvents attribute's value as text, None when the event has none.

        `subject` is the event's key. What is not the event's own is an extension: the field of its metadata by this
        name; numbers and booleans as JSON writes them, anything deeper is no attribute. Raises InvalidInput.
        """
        own = _OWN.get(name)
        if own is not None:
            return own(self.event)
        value = self.metadata.get(name)
        if isinstance(value, str):
            return value
        if isinstance(value, bool | int | float):
            return orjson.dumps(value).decode()
        return None

    @property
    def data(self) -> _Object:
        """The event's data; raises InvalidInput when it is no JSON object."""
        if self._data is None:
            self._data = self._masked(_object(self.event.data, "/data"))
        return self._data

    @property
    def previous(self) -> _Object:
        """What the data was before; empty when the event does not say."""
        if self._previous is None:
            self._previous = self._masked(_object(self.event.previous, "/previous"))
        return self._previous

    @property
    def metadata(self) -> _Object:
        """The event's metadata; empty when it has none."""
        if self._metadata is None:
            self._metadata = _object(self.event.metadata, "/metadata")
        return self._metadata

    def _masked(self, value: _Object) -> _Object:
        if self._type is None or not self._type.secret:
            return value
        return cast(_Object, self._type.checker.masked(value))

    @property
    def size(self) -> tuple[int, int, int]:
        """What an evaluation's cost depends on: bytes of JSON, the most items in it, bytes of the envelope's texts.

        A list of n items has n - 1 commas, so there are no more items than commas and one.
        """
        if self._size is None:
            event = self.event
            parts = [event.data, event.previous or b"", event.metadata or b""]
            texts = (event.id, event.type, event.organization_id, event.source or "", event.key or "")
            self._size = (
                sum(map(len, parts)),
                sum(part.count(b",") for part in parts) + len(parts),
                sum(map(len, texts)),
            )
        return self._size

    def made(self, make: Callable[["EventContext"], Made]) -> Made:
        """Return what `make` makes of this event, made once: there is one such maker (expressions.py)."""
        if self._made is None:
            self._made = make(self)
        return cast(Made, self._made)


def _object(raw: bytes | None, pointer: str) -> _Object:
    return {} if raw is None else kept_object(raw, pointer)
