"""What the bodies of one event are made of, for all who want it: made once, parsed when it is first needed."""

from collections.abc import Callable
from typing import Final, Self, cast

import orjson

from schemas.catalogue import EventType
from schemas.envelope import fields_of
from schemas.errors import InvalidInput
from schemas.json_values import Json
from schemas.payloads.marks import marks_of
from schemas.payloads.paths import Tree, masked
from schemas.records import Event

JsonObject = dict[str, Json]
_NAMES: Final = {"id", "type", "created_at", "organization_id", "data", "previous", "metadata"}
_BROUGHT: Final = ("data", "previous", "metadata")
_MARKED: Final = ("data", "previous")  # `previous` holds what fields of `data` were


class PayloadSource:
    """An event as bodies are made of it: fields marked `secret` are masked here already, whoever wrote the record."""

    __slots__ = ("_body", "_event", "_fields", "_made", "_marks")

    def __init__(self, event_type: EventType | None, *, event: Event | None = None, body: bytes | None = None) -> None:
        """Begin with an event or with a stored body; `of` and `stored` say which."""
        self._marks = marks_of(event_type)
        self._event = event
        self._body = body
        self._fields: JsonObject | None = None
        self._made: dict[int, tuple[object, JsonObject]] = {}

    @classmethod
    def of(cls, event: Event, event_type: EventType | None) -> Self:
        """Return the source of an event; of a type that nobody knows (None) nothing is masked by mark."""
        return cls(event_type, event=event)

    @classmethod
    def stored(cls, body: bytes, event_type: EventType | None) -> Self:
        """Return the source of an event whose full body was kept: bodies made of it are those of the event itself."""
        source = cls(event_type, body=body)
        if source._marks.secret is not None:
            source._body, source._fields = None, with_masked(_parsed(body), source._marks.secret)
        return source

    @property
    def full(self) -> bytes:
        """The full body. Raises InvalidInput when data, previous or metadata is no JSON object."""
        if self._body is None:
            self._body = orjson.dumps(self.fields, option=orjson.OPT_UTC_Z)
        return self._body

    @property
    def fields(self) -> JsonObject:
        """What the full body says, to read only. Raises InvalidInput as `full` does."""
        if self._fields is None:
            self._fields = self._read()
        return self._fields

    def made(self, by: object, make: Callable[[], JsonObject]) -> JsonObject:
        """Return the fields that `make` makes of these, with what the publisher brought as JSON already.

        Made once for all who are `by`: of the largest event it takes 25 ms, and a thousand subscriptions may have one
        payload. As JSON they take no more memory than the body does.
        """
        found = self._made.get(id(by))
        if found is None:
            fields = make()
            brought = {name: cast(Json, orjson.Fragment(orjson.dumps(fields[name]))) for name in _BROUGHT}
            found = self._made[id(by)] = by, {**fields, **brought}  # `by` itself too, or its id would be another's
        return found[1]

    @property
    def personal(self) -> Tree | None:
        """Which fields of data are marked `personal`."""
        return self._marks.personal

    def _read(self) -> JsonObject:
        if self._event is None:
            return _parsed(self._body or b"")
        fields = cast(JsonObject, fields_of(self._event))  # but for the time, which orjson writes
        return fields if self._marks.secret is None else with_masked(fields, self._marks.secret)


def with_masked(fields: JsonObject, tree: Tree) -> JsonObject:
    """Return the fields of a body in which what `tree` takes of data and previous is masked."""
    return {name: masked(value, tree) if name in _MARKED else value for name, value in fields.items()}


def _parsed(body: bytes) -> JsonObject:
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise InvalidInput("the stored body is not JSON") from None
    if not isinstance(fields, dict) or not fields.keys() >= _NAMES:
        raise InvalidInput("the stored body is none of an event")
    return cast(JsonObject, fields)
