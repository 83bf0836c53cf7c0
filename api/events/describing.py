"""What OpenAPI says of the bodies in which events come: the routes read them themselves (api/direct.py)."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from api.events.bodies import MOST_EVENTS, EventError, EventResult, NewEvent, NewEvents
from schemas.cloudevents.attributes import BATCH, STRUCTURED

NDJSON: Final = "application/x-ndjson"
NDJSON_TYPES: Final = frozenset({NDJSON, "application/ndjson", "application/jsonl"})


class StreamSummary(BaseModel):
    """The last line of a stream's answer: what became of its lines, and why it was not read to its end, if it was not.

    `lines` = `published` + `refused` + `failed`, empty ones left out.
    """

    lines: int
    published: int
    refused: int
    failed: int = Field(description="Not published because Kafka or the database was away: they may still arrive.")
    stopped: str | None = None


_CLOUD_EVENT: Final[dict[str, Any]] = {
    "title": "CloudEvent",
    "type": "object",
    "description": "A CloudEvent 1.0 whose data is JSON. `id` and `source` together name it; `partitionkey`, else "
    "`subject`, orders it; other extensions become metadata.",
    "required": ["specversion", "id", "source", "type", "data"],
    "properties": {
        "specversion": {"type": "string", "const": "1.0"},
        "id": {"type": "string", "minLength": 1, "maxLength": 255},
        "source": {"type": "string", "minLength": 1, "maxLength": 1024, "format": "uri-reference"},
        "type": {"type": "string", "minLength": 1, "maxLength": 200},
        "subject": {"type": ["string", "null"], "minLength": 1, "maxLength": 255},
        "time": {"type": ["string", "null"], "format": "date-time"},
        "datacontenttype": {"type": ["string", "null"]},
        "dataschema": {"type": ["string", "null"], "minLength": 1},
        "data": {"type": "object"},
    },
    "propertyNames": {"pattern": "^[a-z0-9]+$"},
    "additionalProperties": {"type": ["string", "boolean", "integer", "null"]},
    "examples": [
        {
            "specversion": "1.0",
            "id": "signup-123",
            "source": "/accounts",
            "type": "user.created",
            "subject": "user_123",
            "time": "2026-01-31T12:00:00Z",
            "data": {"id": "user_123"},
        }
    ],
}
_EXAMPLE: Final = _CLOUD_EVENT["examples"][0]
_LINES: Final = (
    '{"type": "user.created", "data": {"id": "user_123"}, "id": "signup-123"}\n'
    '{"specversion": "1.0", "id": "1", "source": "/accounts", "type": "user.verified", "data": {"id": "user_123"}}\n'
)
_RESULTS: Final = (
    '{"line": 1, "id": "evt_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"}\n'
    '{"line": 2, "id": "evt_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6c"}\n'
    '{"summary": {"lines": 2, "published": 2, "refused": 0, "failed": 0, "stopped": null}}\n'
)

SINGLE: Final[Mapping[str, Any]] = {
    "application/json": {"schema": {"$ref": "#/components/schemas/NewEvent"}},
    STRUCTURED: {"schema": {"$ref": "#/components/schemas/CloudEvent"}, "example": _EXAMPLE},
}
BATCHED: Final[Mapping[str, Any]] = {
    "application/json": {"schema": {"$ref": "#/components/schemas/NewEvents"}},
    BATCH: {
        "schema": {
            "type": "array",
            "minItems": 1,
            "maxItems": MOST_EVENTS,
            # What is no CloudEvent gets an error as its result.
            "items": {"anyOf": [{"$ref": "#/components/schemas/CloudEvent"}, {}]},
        },
        "example": [_EXAMPLE],
    },
}
# OpenAPI 3.1 has no word for lines; whatever a line holds, it has a result.
STREAMED: Final[Mapping[str, Any]] = {NDJSON: {"schema": {}, "example": _LINES}}
STREAM_RESULTS: Final[Mapping[str, Any]] = {NDJSON: {"schema": {}, "example": _RESULTS}}
TRACEPARENT: Final[dict[str, Any]] = {
    "name": "traceparent",
    "in": "header",
    "required": False,
    "description": "W3C Trace Context; goes with the event to its receivers.",
    "schema": {"type": "string"},
}


def event_schemas() -> dict[str, Any]:
    """Return the components that the bodies above and the lines of a stream's answer name."""
    _, made = models_json_schema(
        [(model, "validation") for model in (NewEvent, NewEvents, EventResult, EventError, StreamSummary)],
        ref_template="#/components/schemas/{model}",
    )
    return {**made["$defs"], "CloudEvent": _CLOUD_EVENT}
