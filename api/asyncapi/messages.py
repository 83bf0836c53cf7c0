"""The messages of each event type, and the schemas that they share; all of it comes from the catalogue."""

from typing import Any, Final

import orjson

from api.asyncapi import examples
from api.asyncapi.records import AVRO, Described
from api.webhooks import webhook_example, webhook_schema
from schemas.catalogue import EventType, EventTypeState
from schemas.event_schemas import BUILT_IN_ATTRIBUTES
from schemas.json_schema import published_schema

KINDS: Final = {"events": ("event",), "cloudevents": ("structured", "binary"), "webhooks": ("webhook",)}  # by channel


def key_of(event_type: EventType, kind: str) -> str:
    """Return what a message is called among the components."""
    return f"{event_type.name}.{kind}"


def schemas_of(event_type: EventType) -> dict[str, Described]:
    """Return the schemas of a type's data, by their names: JSON Schema under its own, Avro, and webhook's body."""
    data = {name: value for name, value in published_schema(event_type).items() if name != "$schema"}
    deprecated = {"deprecated": True} if event_type.state is EventTypeState.DEPRECATED else {}
    avro = {name: value for name, value in event_type.schema.items() if name not in BUILT_IN_ATTRIBUTES}
    return {
        event_type.name: {**data, **deprecated},
        f"{event_type.name}.avro": {"schemaFormat": AVRO, "schema": avro},
        f"{event_type.name}.body": webhook_schema(event_type),
    }


def messages_of(event_type: EventType) -> dict[str, Described]:
    """Return a type's messages of every kind, by their names."""
    name, data = event_type.name, dict(event_type.example)
    as_data, avro = _ref(f"schemas/{name}"), _ref(f"schemas/{name}.avro")
    typed = {"properties": {"type": {"const": name}, "data": as_data}}
    webhook = {"headers": examples.webhook_headers_example(), "payload": webhook_example(event_type)}
    return {
        key_of(event_type, "event"): {
            **_named(event_type, "event"),
            "payload": _ref("schemas/Event"),
            "x-hookline-data": avro,
            "examples": [examples.event_example(name, orjson.dumps(data).decode())],
        },
        key_of(event_type, "structured"): {
            **_named(event_type, "structured"),
            "payload": {"allOf": [_ref("schemas/CloudEvent"), typed]},
            "examples": [examples.structured_example(name, data)],
        },
        key_of(event_type, "binary"): {
            **_named(event_type, "binary"),
            "payload": as_data,
            "examples": [examples.binary_example(name, data)],
        },
        key_of(event_type, "webhook"): {
            **_named(event_type, "webhook"),
            "payload": _ref(f"schemas/{name}.body"),
            "examples": [webhook],
        },
    }


def _named(event_type: EventType, kind: str) -> dict[str, Any]:
    tags = [event_type.category]
    if event_type.state is EventTypeState.DEPRECATED:
        tags.append(event_type.state.value)
    return {
        "name": event_type.name,
        "title": f"{event_type.name} ({kind})",
        "summary": event_type.description,
        "tags": [{"name": tag} for tag in tags],
        "traits": [_ref(f"messageTraits/{kind}")],
    }


def _ref(path: str) -> Described:
    return {"$ref": f"#/components/{path}"}
