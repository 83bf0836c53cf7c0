"""The catalogue: every event type with its Avro schema, and which of them an organization may use.

The built-in ones are one file each in `event_types/`. Those that organizations define arrive by the compacted topic
`hookline.event-types` (schemas/records.py, `EventTypeDefinition`), or from PostgreSQL in the API.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

import orjson

from schemas import checking
from schemas.checking import Checker
from schemas.errors import InvalidInput
from schemas.ids import OrganizationId
from schemas.json_values import Json
from schemas.marks import Path as DataPath
from schemas.marks import Sensitivity, marked_paths
from schemas.records import EventTypeDefinition
from schemas.redaction import without_sensitive

TEST_EVENT: Final = "hookline.test"
FOLDER: Final = Path(__file__).parent / "event_types"
Schema = checking.Schema
_LONGEST_COMPARED: Final = 30  # characters; a publisher's word may be as long as an event
_MOST_COMPARED: Final = 100  # words; there are some 30 built-in ones
_MOST_NAMED: Final = 20


class UnknownEventType(InvalidInput):
    """The catalogue has no event type of this name."""


class EventTypeState(StrEnum):
    """Where an event type is in its life.

    `draft` and `archived` ones cannot be published; a `deprecated` one can, and says so wherever it is shown. What is
    on its way is delivered in any case.
    """

    DRAFT = "draft"
    ACTIVE = "active"
    DEPRECATED = "deprecated"
    ARCHIVED = "archived"


PUBLISHED: Final = frozenset({EventTypeState.ACTIVE, EventTypeState.DEPRECATED})


@dataclass(frozen=True, slots=True)
class EventType:
    """An event type as the catalogue has it.

    `open_ended` ones take any JSON object as data; `reserved` ones are published by Hookline alone. `ordering_key` is
    the field of data that orders events whose publisher names no key: a text, or null for no order. `owner` is who
    answers for it. `organization_id` is None for the built-in ones. `accepts` is the schema with what earlier versions
    had and it has no more, None when they had nothing else: what was published by them is still on its way, or on the
    log. `personal` and `secret` are where data of any version holds such (schemas/marks.py), computed once.
    """

    name: str
    category: str
    description: str
    schema: Mapping[str, Schema]
    example: Mapping[str, Json]
    open_ended: bool
    reserved: bool = False
    owner: str = "hookline"
    state: EventTypeState = EventTypeState.ACTIVE
    version: int = 1
    ordering_key: str | None = None
    organization_id: OrganizationId | None = None
    accepts: Mapping[str, Schema] | None = None
    personal: tuple[DataPath, ...] = field(init=False, compare=False)
    secret: tuple[DataPath, ...] = field(init=False, compare=False)
    checker: Checker = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Find what is marked; raises ValueError for a schema whose marks cannot be listed."""
        taken = self.schema if self.accepts is None else self.accepts
        object.__setattr__(self, "personal", marked_paths(taken, Sensitivity.PERSONAL))
        object.__setattr__(self, "secret", marked_paths(taken, Sensitivity.SECRET))
        object.__setattr__(self, "checker", Checker(self.name, taken, open_ended=self.open_ended))

    def check(self, data: Json, *, pointer: str = "/data") -> None:
        """Raise InvalidInput, with a pointer to the field, unless `data` fits the schema.

        Avro has no way to carry a field that its schema does not name, so neither have we: `metadata` is free.
        """
        self.checker.check(data, pointer=pointer)

    def check_written(self, data: bytes) -> None:
        """Raise InvalidInput unless an event's data, as any Kafka client may have written it, is JSON that fits.

        Sensitive fields are no flaw: they are removed, as the publisher removes them.
        """
        try:
            value = cast(Json, orjson.loads(data))
        except orjson.JSONDecodeError:
            raise InvalidInput("is not JSON", pointer="/data") from None
        try:
            self.check(value)
        except InvalidInput:
            self.check(without_sensitive(value))


class Catalogue:
    """The built-in event types and those of organizations. One thread changes it, others may read it meanwhile."""

    def __init__(self) -> None:
        """Begin with the built-in ones."""
        self._defined: dict[OrganizationId, dict[str, EventType]] = {}

    def get(self, name: str, organization_id: str | None = None) -> EventType | None:
        """Return the event type that an organization means by `name`; None when it has none.

        Its own goes first: nobody may define one of a built-in name, so it was there when a release brought the
        built-in one, and its events go on. What Hookline alone publishes is never anything else.
        """
        built_in = catalogue().get(name)
        if organization_id is None or (built_in is not None and built_in.reserved):
            return built_in
        return self._defined.get(OrganizationId(organization_id), {}).get(name, built_in)

    def of(self, name: str, organization_id: str | None = None, *, pointer: str = "/type") -> EventType:
        """Return the same; raises UnknownEventType, naming the nearest ones."""
        found = self.get(name, organization_id)
        if found is not None:
            return found
        near = _near([event_type.name for event_type in self.all_of(organization_id)], name)
        hint = f"near it are {', '.join(near)}" if near else "`hookline schemas list` and GET /event-types have all"
        raise UnknownEventType(f"unknown event type {name[:60]!r}; {hint}", pointer=pointer)

    def all_of(self, organization_id: str | None = None) -> list[EventType]:
        """Return the built-in types and an organization's own, by name."""
        own = {} if organization_id is None else self._defined.get(OrganizationId(organization_id), {})
        return among_built_in(own.values())

    def put(self, event_type: EventType) -> None:
        """Take a type that an organization defined, or its newer version; an older one changes nothing.

        Raises ValueError for one that belongs to no organization.
        """
        if event_type.organization_id is None:
            raise ValueError(f"{event_type.name} belongs to no organization: built-in types are files")
        own = self._defined.get(event_type.organization_id, {})
        known = own.get(event_type.name)
        if known is None or known.version <= event_type.version:  # who iterates keeps the dictionary of before
            self._defined[event_type.organization_id] = {**own, event_type.name: event_type}

    def remove(self, organization_id: OrganizationId, name: str) -> None:
        """Forget a type that an organization defined."""
        own = self._defined.get(organization_id, {})
        if name in own:
            self._defined[organization_id] = {other: kept for other, kept in own.items() if other != name}


BUILT_IN: Final = Catalogue()  # for those who know no organization's own types


def defined(definition: EventTypeDefinition) -> EventType:
    """Return the event type that an organization's definition makes. Raises ValueError when its JSON is none."""
    schema = json.loads(definition.schema)
    return EventType(
        name=definition.name,
        category=definition.category,
        description=definition.description,
        schema=schema,
        example=json.loads(definition.example),
        open_ended=schema.get("open", False),
        owner=definition.owner,
        state=EventTypeState(definition.state),
        version=definition.version,
        ordering_key=definition.ordering_key,
        organization_id=definition.organization_id,
    )


@cache
def catalogue() -> Mapping[str, EventType]:
    """Return every built-in event type by its name, in the order of their names."""
    return {event_type.name: event_type for event_type in _read_all()}


def among_built_in(own: Iterable[EventType]) -> list[EventType]:
    """Return the built-in types and an organization's own, by name; of one name, the one that `Catalogue.get` gives."""
    found = {**catalogue(), **{each.name: each for each in own}}
    found |= {name: each for name, each in catalogue().items() if each.reserved}
    return [found[name] for name in sorted(found)]


def event_type_of(name: str, *, pointer: str = "/type") -> EventType:
    """Return the built-in event type called `name`; raises UnknownEventType, naming the nearest ones."""
    return BUILT_IN.of(name, pointer=pointer)


def check_not_reserved(name: str, *, pointer: str = "/type") -> None:
    """Raise InvalidInput for an event type that no publisher but Hookline may use; an unknown one is let through."""
    found = catalogue().get(name)
    if found is not None and found.reserved:
        raise InvalidInput(f"{name} is published by Hookline alone: use an event type of your own", pointer=pointer)


def described(name: str, schema: Mapping[str, Schema]) -> EventType:
    """Return the built-in event type that a file's schema describes; it was checked (schemas/type_files.py)."""
    file = cast(Mapping[str, Any], schema)
    return EventType(
        name=name,
        category=file["category"],
        description=file["doc"],
        schema=schema,
        example=file.get("example", {}),
        open_ended=file.get("open", False),
        reserved=file.get("reserved", False),
        owner=file["owner"],
        state=EventTypeState(file["state"]),
        version=file["version"],
        ordering_key=file.get("ordering_key"),
    )


def _near(known: Sequence[str], name: str) -> Sequence[str]:
    """Return names that begin with the same word, or with the one most like it.

    Words and not names are compared, and not all of them: anybody may publish what is unknown, and workers look for
    names near it on their loop (measured with 200 types of an organization's own: 100 ms a name, were all compared).
    """
    families: dict[str, list[str]] = {}
    for other in known:
        families.setdefault(_word(other), []).append(other)
    word = _word(name)
    if word not in families:
        word = next(iter(get_close_matches(word, [*families][:_MOST_COMPARED], n=1)), "")
    return families.get(word, [])[:_MOST_NAMED]


def _word(name: str) -> str:
    return name.partition(".")[0][:_LONGEST_COMPARED]


def _read_all(folder: Path = FOLDER) -> Iterator[EventType]:
    for path in sorted(folder.glob("*.avsc")):
        newest = described(path.stem, json.loads(path.read_text()))
        yield newest if newest.version == 1 else replace(newest, accepts=_with_earlier(newest, folder))


def _with_earlier(newest: EventType, folder: Path) -> Mapping[str, Schema]:
    from schemas.evolution import with_retired  # noqa: PLC0415 - these two import this module
    from schemas.releases import released_of  # noqa: PLC0415 - the same

    accepts = newest.schema
    for _, earlier in sorted(released_of(newest.name, folder).items(), reverse=True):
        accepts = with_retired(accepts, earlier)
    return accepts
