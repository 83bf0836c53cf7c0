"""CloudEvents as JSON: structured mode and batches (https://github.com/cloudevents/spec, JSON format 1.0.2)."""

import base64
import binascii
from collections.abc import Sequence
from typing import Final

import orjson

from schemas.cloudevents.attributes import SPEC_VERSION, CloudEvent, check_data_type, cloud_event, time_text
from schemas.errors import InvalidInput
from schemas.json_reading import parsed
from schemas.json_values import Json

_NO_ATTRIBUTES: Final = frozenset({"data", "data_base64"})


def structured_in(raw: bytes) -> CloudEvent:
    """Return the CloudEvent in a JSON text; raises InvalidInput."""
    return structured_of(parsed(raw))


def structured_of(value: Json) -> CloudEvent:
    """Return the CloudEvent that a JSON value is; raises InvalidInput."""
    if not isinstance(value, dict):
        raise InvalidInput("a CloudEvent is a JSON object with specversion, id, source and type")
    check_data_type(value.get("datacontenttype"))
    attributes = {name: each for name, each in value.items() if name not in _NO_ATTRIBUTES}
    return cloud_event(attributes, _data_of(value))


def batch_of(value: Json) -> list[Json]:
    """Return what stands in a batch, each to be read by `structured_of`; raises InvalidInput when it is no array."""
    if not isinstance(value, list):
        raise InvalidInput("a batch of CloudEvents is a JSON array of them")
    return value


def as_structured(event: CloudEvent) -> dict[str, Json]:
    """Return a CloudEvent as the JSON object of structured mode."""
    optional = {
        "subject": event.subject,
        "time": None if event.time is None else time_text(event.time),
        "dataschema": event.dataschema,
    }
    written: dict[str, Json] = {
        "specversion": SPEC_VERSION,
        "id": event.id,
        "source": event.source,
        "type": event.type,
        **{name: text for name, text in optional.items() if text is not None},
        **event.extensions,
    }
    if event.data is not None:
        written |= {"datacontenttype": "application/json", "data": event.data}
    return written


def structured(event: CloudEvent) -> bytes:
    """Return a CloudEvent as the bytes of structured mode."""
    return orjson.dumps(as_structured(event))


def batch(events: Sequence[CloudEvent]) -> bytes:
    """Return CloudEvents as the bytes of a batch."""
    return orjson.dumps([as_structured(event) for event in events])


def _data_of(value: dict[str, Json]) -> Json:
    encoded = value.get("data_base64")
    if encoded is None:
        return value.get("data")
    if value.get("data") is not None:
        raise InvalidInput("give data or data_base64, not both", pointer="/data_base64")
    try:
        if not isinstance(encoded, str):
            raise ValueError
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput("must be base64 (RFC 4648, 4) of a JSON text", pointer="/data_base64") from None
    try:
        return parsed(raw)
    except InvalidInput as error:
        raise InvalidInput(f"its bytes: {error.detail}", pointer="/data_base64") from None
