"""The catalogue: every event type with its Avro schema, one file each in `event_types/`."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, cast

from schemas.errors import InvalidInput
from schemas.json_values import Json, escaped

TEST_EVENT: Final = "hookline.test"
_FOLDER: Final = Path(__file__).parent / "event_types"
_INT_RANGES: Final = {"int": 31, "long": 63}

Schema = str | list["Schema"] | dict[str, "Schema"]


class UnknownEventType(InvalidInput):
    """The catalogue has no event type of this name."""


@dataclass(frozen=True, slots=True)
class EventType:
    """An event type as the catalogue has it.

    `open_ended` ones take any JSON object as data; `reserved` ones are published by Hookline alone.
    """

    name: str
    category: str
    description: str
    schema: Mapping[str, Schema]
    example: Mapping[str, Json]
    open_ended: bool
    reserved: bool = False

    def check(self, data: Json, *, pointer: str = "/data") -> None:
        """Raise InvalidInput, with a pointer to the field, unless `data` fits the schema.

        Avro has no way to carry a field that its schema does not name, so neither have we: `metadata` is free.
        """
        if not isinstance(data, dict):
            raise InvalidInput(f"must be a JSON object, not {_json_name(data)}", pointer=pointer)
        if not self.open_ended:
            _check_record(data, self.schema, pointer, self.name)


@cache
def catalogue() -> Mapping[str, EventType]:
    """Return every event type by its name, in the order of their names."""
    return {event_type.name: event_type for event_type in _read_all()}


def event_type_of(name: str, *, pointer: str = "/type") -> EventType:
    """Return the event type called `name`; raises UnknownEventType, naming the nearest ones."""
    found = catalogue().get(name)
    if found is not None:
        return found
    family = [known for known in catalogue() if known.partition(".")[0] == name.partition(".")[0]]
    hint = f"known ones are {', '.join(family or catalogue())}"
    raise UnknownEventType(f"unknown event type {name[:60]!r}; {hint}", pointer=pointer)


def check_not_reserved(name: str, *, pointer: str = "/type") -> None:
    """Raise InvalidInput for an event type that no publisher but Hookline may use; an unknown one is let through."""
    found = catalogue().get(name)
    if found is not None and found.reserved:
        raise InvalidInput(f"{name} is published by Hookline alone: use an event type of your own", pointer=pointer)


def _read_all() -> Iterator[EventType]:
    for path in sorted(_FOLDER.glob("*.avsc")):
        schema = json.loads(path.read_text())
        yield EventType(
            name=path.stem,
            category=schema["category"],
            description=schema["doc"],
            schema=schema,
            example=schema["example"],
            open_ended=schema.get("open", False),
            reserved=schema.get("reserved", False),
        )


def _check_record(data: dict[str, Json], schema: Mapping[str, Schema], pointer: str, where: str) -> None:
    fields = {cast(str, field["name"]): field for field in cast(list[dict[str, Schema]], schema["fields"])}
    for name in data:
        if name not in fields:
            known = ", ".join(fields)
            raise InvalidInput(f"{where} has no such field; it has {known}", pointer=f"{pointer}/{escaped(name)}")
    for name, field in fields.items():
        if name in data:
            _check(data[name], field["type"], f"{pointer}/{name}", where)
        elif "default" not in field:
            raise InvalidInput(f"is missing; {where} requires it", pointer=f"{pointer}/{name}")


def _check(value: Json, schema: Schema, pointer: str, where: str) -> None:
    if isinstance(schema, list):
        branches = [branch for branch in schema if branch != "null"]
        if value is None and len(branches) < len(schema):
            return
        _check(value, branches[0], pointer, where)
    elif isinstance(schema, str):
        if not _is_primitive(value, schema):
            raise InvalidInput(f"must be {_PRIMITIVES[schema]}, not {_json_name(value)}", pointer=pointer)
    else:
        _check_complex(value, schema, pointer, where)


def _check_complex(value: Json, schema: Mapping[str, Schema], pointer: str, where: str) -> None:
    match schema["type"]:
        case "array":
            if not isinstance(value, list):
                raise InvalidInput(f"must be an array, not {_json_name(value)}", pointer=pointer)
            for index, item in enumerate(value):
                _check(item, schema["items"], f"{pointer}/{index}", where)
        case "map" | "record":
            if not isinstance(value, dict):
                raise InvalidInput(f"must be an object, not {_json_name(value)}", pointer=pointer)
            if schema["type"] == "record":
                _check_record(value, schema, pointer, where)
            else:
                for name, item in value.items():
                    _check(item, schema["values"], f"{pointer}/{escaped(name)}", where)
        case inner:
            _check(value, inner, pointer, where)


_PRIMITIVES: Final = {
    "string": "a string",
    "int": "a whole number of 32 bits",
    "long": "a whole number of 64 bits",
    "float": "a number",
    "double": "a number",
    "boolean": "true or false",
}


def _is_primitive(value: Json, schema: str) -> bool:
    if schema == "string":
        return isinstance(value, str)
    if schema == "boolean":
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if schema in _INT_RANGES:
        limit = 1 << _INT_RANGES[schema]
        return isinstance(value, int) and -limit <= value < limit
    return isinstance(value, int | float)


def _json_name(value: Json) -> str:
    if value is None:
        return "null"
    names = (
        (bool, "a boolean"),
        (int, "a number"),
        (float, "a number"),
        (str, "a string"),
        (list, "an array"),
    )
    return next((name for kind, name in names if isinstance(value, kind)), "an object")
