"""The fields of an event's data, described for people: as the docs page and the command show them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.checking import Schema


@dataclass(frozen=True, slots=True)
class Described:
    """A field. `name` leads to it from data on: `items[].sku`, `labels.*`. `marks` are required, personal, secret."""

    name: str
    type: str
    marks: tuple[str, ...]
    text: str


def described_fields(schema: Mapping[str, Schema], beginning: str = "") -> Iterator[Described]:
    """Yield a record's fields in its order, each followed by those of the records that it holds."""
    for each in _fields(schema):
        name = f"{beginning}{each['name']}"
        required = () if "default" in each else ("required",)
        marks = (*required, *((each["sensitivity"],) if "sensitivity" in each else ()))
        yield Described(name, type_name(each["type"]), marks, str(each.get("doc", "")))
        yield from _within(each["type"], name)


def type_name(schema: Schema) -> str:
    """Return an Avro type in words: `string`, `array of string`, `map of long`, `record`; null is left out."""
    if isinstance(schema, list):
        return " or ".join(type_name(branch) for branch in schema if branch != "null")
    if isinstance(schema, str):
        return schema
    kind = schema["type"]
    inner = {"array": "items", "map": "values"}.get(str(kind))
    if inner is not None:
        return f"{kind} of {type_name(schema[inner])}"
    if kind == "enum":
        return " or ".join(str(symbol) for symbol in schema["symbols"])
    logical = f" ({schema['logicalType']})" if "logicalType" in schema else ""
    return f"{type_name(kind)}{logical}"


def _within(schema: Schema, name: str) -> Iterator[Described]:
    if isinstance(schema, list):
        for branch in schema:
            yield from _within(branch, name)
    elif isinstance(schema, dict):
        match schema["type"]:
            case "record":
                yield from described_fields(schema, f"{name}.")
            case "array":
                yield from _within(schema["items"], f"{name}[]")
            case "map":
                yield from _within(schema["values"], f"{name}.*")


def _fields(schema: Mapping[str, Schema]) -> list[dict[str, Any]]:
    fields: Any = schema["fields"]
    return list(fields)
