"""The `webhooks` of the OpenAPI description: what receivers get, one for each event type of the catalogue."""

from collections.abc import Iterable
from typing import Any, Final

from schemas.catalogue import PUBLISHED, EventType, EventTypeState, catalogue
from schemas.json_schema import received_schema

EVENT_ID: Final = "evt_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"
CREATED_AT: Final = "2026-11-21T10:00:00.000000Z"
PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "webhook-id": {
        "name": "webhook-id",
        "in": "header",
        "required": True,
        "description": "The event's id, the same on every attempt and in every replay: what came twice has it twice.",
        "schema": {"type": "string", "examples": [EVENT_ID]},
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


def webhooks(event_types: Iterable[EventType] | None = None) -> dict[str, Any]:
    """Return a path item for each event type that can be published, by its name (OpenAPI 3.1, 4.8.1).

    They are the built-in ones unless others are given: an organization's own are its own business.
    """
    described = catalogue().values() if event_types is None else event_types
    return {each.name: {"post": _operation(each)} for each in described if each.state in PUBLISHED}


def webhook_example(event_type: EventType) -> dict[str, Any]:
    """Return the body of a webhook whose data is the type's example."""
    return {
        "id": EVENT_ID,
        "type": event_type.name,
        "created_at": CREATED_AT,
        "organization_id": "org_default",
        "data": dict(event_type.example),
        "previous": None,
        "metadata": {},
    }


def _operation(event_type: EventType) -> dict[str, Any]:
    deprecated = {"deprecated": True} if event_type.state is EventTypeState.DEPRECATED else {}
    return {
        "tags": ["webhooks"],
        "operationId": f"webhook_{event_type.name.replace('.', '_')}",
        "summary": event_type.description,
        **deprecated,
        "security": [],
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in PARAMETERS],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": webhook_schema(event_type), "example": webhook_example(event_type)}
            },
        },
        "responses": {
            "2XX": {"description": "It is delivered."},
            "410": {"description": "Nothing more is wanted: the subscription is disabled."},
            "default": {"description": "It is tried again, later each time, and given up in the end."},
        },
    }


def webhook_schema(event_type: EventType) -> dict[str, Any]:
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
            "data": received_schema(event_type),
            "previous": {
                "type": ["object", "null"],
                "additionalProperties": True,
                "description": "What changed, as it was before.",
            },
            "metadata": nothing_named,
        },
    }
