"""JSON Schema (draft 2020-12) of events' data, derived from the event types' Avro schemas."""

from collections.abc import Mapping
from typing import Any, Final, cast

from schemas.catalogue import EventType
from schemas.checking import Schema
from schemas.marks import SENSITIVITY

JsonSchema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
MARK: Final = "x-hookline-sensitivity"  # personal or secret
_PRIMITIVES: Final[dict[str, JsonSchema]] = {
    "string": {"type": "string"},
    "boolean": {"type": "boolean"},
    "int": {"type": "integer", "format": "int32", "minimum": -(1 << 31), "maximum": (1 << 31) - 1},
    "long": {"type": "integer", "format": "int64", "minimum": -(1 << 63), "maximum": (1 << 63) - 1},
    "float": {"type": "number"},
    "double": {"type": "number"},
}


def published_schema(event_type: EventType) -> JsonSchema:
    """Return what a publisher's data must be: what its check accepts, the schema accepts.

    And the other way round, but for 1.0, which is an integer in JSON Schema and none here, and fields that sound like a
    secret, which the publisher takes out.
    """
    shape = {"type": "object"} if event_type.open_ended else _Shape(closed=True).of(_plain(event_type))
    return {"$schema": DIALECT, "title": event_type.name, "description": event_type.description, **shape}


def received_schema(event_type: EventType) -> JsonSchema:
    """Return what data looks like to receivers. No field is forbidden: later versions may add some."""
    if event_type.open_ended:
        return {"type": "object", "additionalProperties": True}
    return _Shape(closed=False).of(_plain(event_type))


def json_schema_of(schema: Schema) -> JsonSchema:
    """Return what a value of an Avro schema looks like as JSON, with whatever fields beside those it names."""
    return _Shape(closed=False).of(schema)


def _plain(event_type: EventType) -> dict[str, Schema]:
    """Return the type's schema; that it is one of the catalogue is said elsewhere, `doc` too."""
    return {name: value for name, value in event_type.schema.items() if name in {"type", "fields"}}


class _Shape:
    def __init__(self, *, closed: bool) -> None:
        self._more: JsonSchema = {"additionalProperties": False} if closed else {}

    def of(self, schema: Schema) -> JsonSchema:
        """Return the shape of one Avro type."""
        if isinstance(schema, str):
            return {"type": "null"} if schema == "null" else dict(_PRIMITIVES[schema])
        return self._union(schema) if isinstance(schema, list) else self._complex(schema)

    def _complex(self, schema: Mapping[str, Schema]) -> JsonSchema:
        match schema["type"]:
            case "array":
                return {"type": "array", "items": self.of(schema["items"])}
            case "map":
                return {"type": "object", "additionalProperties": self.of(schema["values"])}
            case "enum":
                return {"type": "string", "enum": [*schema["symbols"]]}
            case "record":
                return self._record(schema)
            case inner:
                return self.of(inner)

    def _union(self, branches: list[Schema]) -> JsonSchema:
        shapes = [self.of(branch) for branch in branches if branch != "null"]
        if "null" not in branches:
            return shapes[0] if len(shapes) == 1 else {"anyOf": shapes}
        if len(shapes) == 1 and "enum" not in shapes[0]:
            return {**shapes[0], "type": [shapes[0]["type"], "null"]}
        return {"anyOf": [*shapes, {"type": "null"}]}

    def _record(self, schema: Mapping[str, Schema]) -> JsonSchema:
        fields = cast(list[dict[str, Schema]], schema["fields"])
        properties = {str(field["name"]): self._field(field) for field in fields}
        required = [str(field["name"]) for field in fields if "default" not in field]
        return {"type": "object", "properties": properties} | ({"required": required} if required else {}) | self._more

    def _field(self, field: Mapping[str, Schema]) -> JsonSchema:
        described = {"description": field["doc"]} if "doc" in field else {}
        marked = {MARK: field[SENSITIVITY]} if SENSITIVITY in field else {}
        return {**self.of(field["type"]), **described, **marked}
