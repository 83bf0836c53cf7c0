"""The AsyncAPI document as a whole, and as YAML."""

from collections.abc import Iterable
from typing import Any, Final

import yaml

from api.asyncapi import records
from api.asyncapi.messages import KINDS, key_of, messages_of, schemas_of
from api.asyncapi.records import Described
from schemas.catalogue import PUBLISHED, EventType, catalogue

_DESCRIPTION: Final = (
    "Services publish events to Kafka, as Avro or as JSON CloudEvents; receivers get them as signed webhooks. The event"
    " types are those of the catalogue that can be published; what an organization defined for itself is at"
    " `GET /api/v1/event-types`, and the REST API in `/openapi.json`."
)


def asyncapi_document(version: str, event_types: Iterable[EventType] | None = None) -> Described:
    """Return the description; its event types are the built-in ones that can be published, unless others are given."""
    described = [each for each in (event_types or catalogue().values()) if each.state in PUBLISHED]
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Hookline", "version": version, "description": _DESCRIPTION},
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": {
            name: {**channel, "messages": _messages_in(name, described)}
            for name, channel in records.channels_without_messages().items()
        },
        "operations": _operations(),
        "components": {
            "schemas": {
                "Event": records.event_schema(),
                "CloudEvent": records.cloud_event_schema(),
                **records.header_schemas(),
                **{name: schema for each in described for name, schema in schemas_of(each).items()},
            },
            "messages": {name: message for each in described for name, message in messages_of(each).items()},
            "messageTraits": records.traits(),
        },
    }


def as_yaml(document: Described) -> str:
    """Return it as YAML 1.2 that every parser reads alike, without aliases, in its own order."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc] # libyaml's, ten times as fast
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - what stands twice is written twice
        return True


def _servers() -> dict[str, Described]:
    return {
        "kafka": {
            "host": "{brokers}",
            "protocol": "kafka",
            "description": "The brokers, as KAFKA_BOOTSTRAP_SERVERS names them.",
            "variables": {"brokers": {"default": "127.0.0.1:9092"}},
        },
        "receiver": {
            "host": "{receiver}",
            "protocol": "https",
            "description": "A subscription's URL.",
            "variables": {"receiver": {"default": "example.com"}},
        },
    }


def _messages_in(channel: str, described: Iterable[EventType]) -> dict[str, Described]:
    """Return a channel's messages; where it has several kinds of a type, the kind is in the name."""
    kinds = KINDS[channel]
    return {
        each.name if len(kinds) == 1 else key_of(each, kind): {"$ref": f"#/components/messages/{key_of(each, kind)}"}
        for each in described
        for kind in kinds
    }


def _operations() -> dict[str, Described]:
    """Return what Hookline does: it receives what services publish, and sends what receivers get."""
    return {
        "receiveEvents": {
            "action": "receive",
            "channel": {"$ref": "#/channels/events"},
            "summary": "Take events as Avro records.",
        },
        "receiveCloudEvents": {
            "action": "receive",
            "channel": {"$ref": "#/channels/cloudevents"},
            "summary": "Take events as JSON CloudEvents.",
            "description": "A record that is sent twice becomes two events with one `webhook-id`, so that its receivers"
            " can tell; over REST an id is good for one event in 7 days.",
        },
        "sendWebhooks": {
            "action": "send",
            "channel": {"$ref": "#/channels/webhooks"},
            "summary": "Post each event to the subscriptions that want it.",
            "description": "At least once, with the same `webhook-id` every time. 2xx: it is delivered; 410: nothing"
            " more is wanted; anything else: it is tried again, later each time, and given up in the end.",
            "bindings": records.post_binding(),
        },
    }
