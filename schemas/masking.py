"""Fields that a schema marks as secret (marks.py): subscribers learn that there is a value, never which."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from schemas.json_values import Json
from schemas.marks import SENSITIVITY, Sensitivity

MASK: Final = "***"

Masked = Callable[[Json], Json]
_Schema = Any  # parsed JSON: text, list or object


def masking_of(schema: Mapping[str, _Schema]) -> Masked | None:
    """Return what puts `***` in the place of a record's secrets, in a copy; None when the schema marks none.

    null stays null. Data that does not fit the schema may be given: where a secret would stand deeper, something else
    than an object or array is masked as a whole.
    """
    return _of(schema)


def _of(schema: _Schema) -> Masked | None:
    if isinstance(schema, list):
        return next((found for branch in schema if (found := _of(branch)) is not None), None)
    if isinstance(schema, str):
        return None
    match schema["type"]:
        case "record":
            return _of_record(schema["fields"])
        case "array" | "map":
            return _of_items(_of(schema["items" if schema["type"] == "array" else "values"]))
        case inner:
            return _of(inner)


def _of_record(fields: list[_Schema]) -> Masked | None:
    found = {
        each["name"]: _hidden if each.get(SENSITIVITY) == Sensitivity.SECRET else _of(each["type"]) for each in fields
    }
    masks = {name: mask for name, mask in found.items() if mask is not None}
    if not masks:
        return None

    def masked(value: Json) -> Json:
        if not isinstance(value, dict):
            return _hidden(value)
        return {name: masks[name](item) if name in masks else item for name, item in value.items()}

    return masked


def _of_items(mask: Masked | None) -> Masked | None:
    if mask is None:
        return None

    def masked(value: Json) -> Json:
        if isinstance(value, dict):
            return {name: mask(item) for name, item in value.items()}
        return [mask(item) for item in value] if isinstance(value, list | tuple) else _hidden(value)

    return masked


def _hidden(value: Json) -> Json:
    return None if value is None else MASK
