"""Whether an event type's file holds: its Avro, what the catalogue asks besides, and every version ever released."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from schemas.catalogue import EventType, EventTypeState, described
from schemas.checking import Schema
from schemas.errors import InvalidInput
from schemas.event_schemas import BUILT_IN_ATTRIBUTES, checked_schema
from schemas.evolution import check_full_transitive
from schemas.json_values import Json
from schemas.marks import SENSITIVITY
from schemas.releases import release_path, released_of, shape_of

TYPE_NAME: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
NAMESPACE: Final = "hookline.events"
_INSTEAD: Final = "; keep the field as it was, or make it a new event type"
_CATEGORY: Final = re.compile(r"[a-z][a-z0-9_]*")
_TEXTS: Final = ("string", ["null", "string"], ["string", "null"])


@dataclass(frozen=True, slots=True)
class Problem:
    """What does not hold in a file: where (a JSON pointer, or a field such as `data.email`), and what to do."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class TypeFile:
    """A file that was looked at. Without problems it may be used; `to_release` says what is left to do then."""

    name: str
    problems: Sequence[Problem]
    to_release: str | None = None


def checked_file(path: Path) -> TypeFile:
    """Return what is to be said of a type's file; its released versions are looked for in the folder beside it."""
    name = path.stem
    if not TYPE_NAME.fullmatch(name):
        wanted = "the file's name is the type's: lower-case words joined by dots, such as invoice.paid.avsc"
        return TypeFile(name, [Problem("", wanted)])
    released = released_of(name, path.parent)
    try:
        schema = _schema_in(path)
        if breaking := check_full_transitive(schema, released):
            return TypeFile(name, [Problem(each.field, f"{each.reason}{_INSTEAD}") for each in breaking])
        _check_attributes(schema, name)
        event_type = described(name, schema)
        _check_example(event_type)
    except InvalidInput as error:
        return TypeFile(name, [Problem(error.pointer, error.detail)])
    return _standing(event_type, released, path)


def _standing(event_type: EventType, released: Mapping[int, Mapping[str, Schema]], path: Path) -> TypeFile:
    """Say what a compatible file still needs: the number of its version, and its released copy."""
    newest = max(released, default=0)
    is_released = newest > 0 and shape_of(event_type.schema) == shape_of(released[newest])
    version = newest if is_released else newest + 1
    if event_type.version != version:
        known = f"version {newest} was released" if newest else "none was released"
        told = "as it is" if is_released else "and this is another"
        return TypeFile(event_type.name, [Problem("/version", f"must be {version}: {known}, {told}")])
    if is_released:
        return TypeFile(event_type.name, [])
    copy = release_path(event_type.name, version, path.parent)
    return TypeFile(event_type.name, [], f"version {version} is not released yet: cp {path} {copy}")


def _schema_in(path: Path) -> Mapping[str, Schema]:
    try:
        value: Json = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # UnicodeDecodeError is one
        raise InvalidInput(f"is no JSON: {error}") from None
    return checked_schema(value, pointer="", more=BUILT_IN_ATTRIBUTES)


def _check_attributes(schema: Mapping[str, Schema], name: str) -> None:
    family, _, verb = name.rpartition(".")
    _expect(schema, "name", verb)
    _expect(schema, "namespace", f"{NAMESPACE}.{family}")
    for attribute in ("doc", "owner", "category"):
        if not isinstance(schema.get(attribute), str) or not schema[attribute]:
            raise InvalidInput("must be text that is not empty", pointer=f"/{attribute}")
    if not _CATEGORY.fullmatch(str(schema["category"])):
        raise InvalidInput("must be lower-case letters, digits and _, from a letter on", pointer="/category")
    if schema.get("state") not in {*EventTypeState}:
        raise InvalidInput(f"must be one of {', '.join(EventTypeState)}", pointer="/state")
    number = cast(Json, schema.get("version"))
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise InvalidInput("must be a whole number from 1 on", pointer="/version")
    _check_ordering_key(schema)


def _expect(schema: Mapping[str, Schema], attribute: str, wanted: str) -> None:
    if schema.get(attribute) != wanted:
        raise InvalidInput(f"must be {wanted}, as the file is named", pointer=f"/{attribute}")


def _check_ordering_key(schema: Mapping[str, Schema]) -> None:
    key = schema.get("ordering_key")
    if key is None:
        return
    fields = cast(list[dict[str, Schema]], schema["fields"])
    texts = [str(field["name"]) for field in fields if field["type"] in _TEXTS and field.get(SENSITIVITY) != "secret"]
    if key not in texts:
        names = ", ".join(texts) or "none here"
        raise InvalidInput(f"must be a field of data that is a string and no secret: {names}", pointer="/ordering_key")


def _check_example(event_type: EventType) -> None:
    event_type.check(cast(Json, event_type.example), pointer="/example")
    for path in event_type.secret:
        if len(path) == 1 and event_type.example.get(path[0]) not in (None, "***"):
            raise InvalidInput('is secret: write "***", as receivers see it', pointer=f"/example/{path[0]}")
