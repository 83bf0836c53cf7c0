"""The `webhooks` of the OpenAPI description: what receivers get, one for each event type of the catalogue."""

from collections.abc import Mapping
from typing import Any, Final, cast

from schemas.catalogue import EventType, Schema, catalogue

_EVENT_ID: Final = "evt_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"
_PRIMITIVES: Final[dict[str, dict[str, Any]]] = {
    "string": {"type": "string"},
    "boolean": {"type": "boolean"},
    "int": {"type": "integer", "format": "int32"},
    "long": {"type": "integer", "format": "int64"},
    "float": {"type": "number"},
    "double": {"type": "number"},
}
PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "webhook-id": {
        "name": "webhook-id",
        "in": "header",
        "required": True,
        "description": "The event's id, the same on every attempt and in every replay: what came twice has it twice.",
        "schema": {"type": "string", "examples": [_EVENT_ID]},
    },
    "webhook-timestamp": {
        "name": "webhook-timestamp",
        "in": "header",
        "required": True,
        "description": "When this attempt was made, in seconds since 1970. Refuse what is over 5 minutes off.",
        "schema": {"type": "string", "pattern": "^[0-9]+$", "examples": ["1790000000"]},
    },
    "webhook-signature": {
        "name": "webhook-signature",
        "in": "header",
        "required": True,
        "description": "Standard Webhooks: `v1,` and base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}`; several "
        "between spaces while a secret is being rotated.",
        "schema": {"type": "string", "examples": ["v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="]},
    },
    "hookline-replay": {
        "name": "hookline-replay",
        "in": "header",
        "required": False,
        "description": "The replay that sends it again; without it this is the event's first sending.",
        "schema": {"type": "string", "examples": ["rpl_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"]},
    },
}


def webhooks() -> dict[str, Any]:
    """Return a path item for each event type, by its name (OpenAPI 3.1, 4.8.1)."""
    return {name: {"post": _operation(event_type)} for name, event_type in catalogue().items()}


def _operation(event_type: EventType) -> dict[str, Any]:
    example = {
        "id": _EVENT_ID,
        "type": event_type.name,
        "created_at": "2026-11-21T10:00:00.000000Z",
        "organization_id": "org_default",
        "data": dict(event_type.example),
        "previous": None,
        "metadata": {},
    }
    return {
        "tags": ["webhooks"],
        "operationId": f"webhook_{event_type.name.replace('.', '_')}",
        "summary": event_type.description,
        "security": [],
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in PARAMETERS],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _body(event_type), "example": example}},
        },
        "responses": {
            "2XX": {"description": "It is delivered."},
            "410": {"description": "Nothing more is wanted: the subscription is disabled."},
            "default": {"description": "It is tried again, later each time, and given up in the end."},
        },
    }


def _body(event_type: EventType) -> dict[str, Any]:
    """Return the body's schema. No field is forbidden: later releases may add some."""
    nothing_named = {"type": "object", "additionalProperties": True}
    return {
        "type": "object",
        "required": ["id", "type", "created_at", "organization_id", "data", "previous", "metadata"],
        "properties": {
            "id": {"type": "string"},
            "type": {"type": "string", "const": event_type.name},
            "created_at": {"type": "string", "format": "date-time"},
            "organization_id": {"type": "string"},
            "data": nothing_named if event_type.open_ended else json_schema_of(dict(event_type.schema)),
            "previous": {
                "type": ["object", "null"],
                "additionalProperties": True,
                "description": "What changed, as it was before.",
            },
            "metadata": nothing_named,
        },
    }


def json_schema_of(schema: Schema) -> dict[str, Any]:
    """Return what a value of an Avro schema looks like as our JSON; a sensitive field may be missing from it."""
    if isinstance(schema, str):
        return {"type": "null"} if schema == "null" else dict(_PRIMITIVES[schema])
    if isinstance(schema, list):
        return _union(schema)
    match schema["type"]:
        case "array":
            return {"type": "array", "items": json_schema_of(schema["items"])}
        case "map":
            return {"type": "object", "additionalProperties": json_schema_of(schema["values"])}
        case "record":
            return _record(schema)
        case inner:
            return json_schema_of(inner)


def _union(branches: list[Schema]) -> dict[str, Any]:
    shapes = [json_schema_of(branch) for branch in branches if branch != "null"]
    if len(shapes) == 1 and "null" in branches:
        return {**shapes[0], "type": [shapes[0]["type"], "null"]}
    return {"anyOf": [*shapes, {"type": "null"}] if "null" in branches else shapes}


def _record(schema: Mapping[str, Schema]) -> dict[str, Any]:
    fields = cast(list[dict[str, Schema]], schema["fields"])
    properties = {}
    for field in fields:
        described = {"description": field["doc"]} if "doc" in field else {}
        properties[str(field["name"])] = {**json_schema_of(field["type"]), **described}
    required = [str(field["name"]) for field in fields if "default" not in field]
    return {"type": "object", "properties": properties} | ({"required": required} if required else {})
