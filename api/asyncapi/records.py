"""What every record and request carries, whatever the event's type: channels, envelopes, headers, bindings."""

import json
from pathlib import Path
from typing import Any, Final

import schemas
from api.webhooks import PARAMETERS
from schemas.headers import ORGANIZATION, TRACEPARENT
from schemas.topics import CLOUDEVENTS, DEFAULT_PARTITIONS, EVENTS, declared_topics

Described = dict[str, Any]

AVRO: Final = (
    "application/vnd.apache.avro;version=1.9.0"  # AsyncAPI 3.0 knows this version by name; we use no newer part
)
SINGLE_OBJECT: Final = "application/vnd.apache.avro"
STRUCTURED: Final = "application/cloudevents+json"
_KAFKA_BINDING: Final = "0.5.0"
_HTTP_BINDING: Final = "0.3.0"


def event_schema() -> Described:
    """Return the Avro record on `hookline.events`, as AsyncAPI has schemas of other formats."""
    path = Path(schemas.__file__).parent / "avro" / "Event.avsc"
    return {"schemaFormat": AVRO, "schema": json.loads(path.read_text())}


def cloud_event_schema() -> Described:
    """Return what a CloudEvent in structured mode is, but for its type and data."""
    text: Described = {"type": "string", "minLength": 1}
    return {
        "type": "object",
        "description": "CloudEvents 1.0 in structured mode. Further extensions become the event's metadata.",
        "required": ["specversion", "id", "source", "type", "organizationid", "data"],
        "properties": {
            "specversion": {"type": "string", "const": "1.0"},
            "id": {**text, "description": "The publisher's own id, kept as `source_id`."},
            "source": {**text, "format": "uri-reference", "description": "Which service said it."},
            "type": {**text, "description": "The event type's name."},
            "time": {"type": "string", "format": "date-time"},
            "subject": {**text, "description": "Orders events, unless `partitionkey` does."},
            "datacontenttype": {"type": "string", "description": "JSON; left out, it is."},
            "dataschema": {"type": "string", "format": "uri-reference"},
            "organizationid": {**text, "description": "Whose event it is."},
            "partitionkey": {**text, "description": "Events of one key keep their order."},
            "previous": {**text, "description": "What changed, as it was before: a JSON object, written as text."},
            "metadata": {**text, "description": "Whatever should travel along: a JSON object, written as text."},
            "traceparent": {**text, "description": "W3C Trace Context; goes with the event to its receivers."},
        },
    }


def header_schemas() -> dict[str, Described]:
    """Return the headers of each kind of message, by the names of their schemas."""
    text: Described = {"type": "string"}
    attributes = {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {**text, "description": "The event's id."},
        "ce_type": {**text, "description": "The event type's name."},
        "ce_source": {**text, "description": "Which service said it."},
        "ce_time": {**text, "format": "date-time"},
        "ce_subject": {**text, "description": "The event's key, where it has one."},
    }
    trace = {TRACEPARENT: {**text, "description": "W3C Trace Context; goes with the event to its receivers."}}
    return {
        "EventHeaders": {
            "type": "object",
            "description": "CloudEvents 1.0 attributes, for readers with a console consumer; none is required.",
            "properties": {**attributes, ORGANIZATION: {**text, "description": "Whose event it is."}, **trace},
        },
        "StructuredHeaders": {
            "type": "object",
            "properties": {"content-type": {"type": "string", "const": STRUCTURED}, **trace},
        },
        "BinaryHeaders": {
            "type": "object",
            "description": "CloudEvents 1.0 attributes (Kafka protocol binding 1.0.2); further `ce_` headers are kept.",
            "required": ["ce_specversion", "ce_id", "ce_type", "ce_source", "ce_organizationid"],
            "properties": {
                **attributes,
                "ce_organizationid": {**text, "description": "Whose event it is."},
                "ce_partitionkey": {**text, "description": "Events of one key keep their order."},
                "content-type": {**text, "description": "application/json"},
                **trace,
            },
        },
        "WebhookHeaders": {
            "type": "object",
            "description": "Of the Standard Webhooks style; a subscription may have chosen other names.",
            "required": [name for name, each in PARAMETERS.items() if each["required"]],
            "properties": {
                name: {**each["schema"], "description": each["description"]} for name, each in PARAMETERS.items()
            },
        },
    }


def traits() -> dict[str, Described]:
    """Return what the messages of each kind have in common."""
    keyed = {"kafka": {"key": {"type": "string", "description": _KEYED}, "bindingVersion": _KAFKA_BINDING}}
    return {
        "event": {"contentType": SINGLE_OBJECT, "headers": _ref("schemas/EventHeaders"), "bindings": keyed},
        "structured": {"contentType": STRUCTURED, "headers": _ref("schemas/StructuredHeaders"), "bindings": keyed},
        "binary": {"contentType": "application/json", "headers": _ref("schemas/BinaryHeaders"), "bindings": keyed},
        "webhook": {
            "contentType": "application/json",
            "headers": _ref("schemas/WebhookHeaders"),
            "bindings": {"http": {"bindingVersion": _HTTP_BINDING}},
        },
    }


_KEYED: Final = "What orders events: records of one key are in one partition. Partitioned by murmur2, as Java does."


def topic_binding(name: str) -> Described:
    """Return how a topic is created, unless settings say otherwise."""
    (topic,) = [each for each in declared_topics([]) if each.name == name]
    return {
        "kafka": {
            "topic": name,
            "partitions": DEFAULT_PARTITIONS,
            "topicConfiguration": {
                "cleanup.policy": topic.config["cleanup.policy"].split(","),
                "retention.ms": int(topic.config["retention.ms"]),
                "max.message.bytes": int(topic.config["max.message.bytes"]),
            },
            "bindingVersion": _KAFKA_BINDING,
        }
    }


def post_binding() -> Described:
    """Return how a webhook is sent."""
    return {"http": {"method": "POST", "bindingVersion": _HTTP_BINDING}}


def channels_without_messages() -> dict[str, Described]:
    """Return the channels, by the names that operations call them."""
    return {
        "events": {
            "address": EVENTS,
            "title": "Events, as Avro",
            "description": "Each value is an Avro single object (specification 1.12: C3 01, the fingerprint, the"
            " record). Its `data` is JSON that fits the type's own schema, `x-hookline-data` of the message."
            " `producers.Publisher` writes it.",
            "servers": [_ref("servers/kafka", within="#/")],
            "bindings": topic_binding(EVENTS),
        },
        "cloudevents": {
            "address": CLOUDEVENTS,
            "title": "Events, as JSON CloudEvents",
            "description": "For services in any language: CloudEvents 1.0 as JSON, structured or binary. What cannot be"
            " read is quarantined.",
            "servers": [_ref("servers/kafka", within="#/")],
            "bindings": topic_binding(CLOUDEVENTS),
        },
        "webhooks": {
            "address": None,
            "title": "Webhooks",
            "description": "What a subscription's URL receives, unless the subscription chose another payload.",
            "servers": [_ref("servers/receiver", within="#/")],
        },
    }


def _ref(path: str, *, within: str = "#/components/") -> Described:
    return {"$ref": f"{within}{path}"}
