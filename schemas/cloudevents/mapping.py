"""Which event a CloudEvent makes, and which CloudEvent an event.

`id` and `source` become `source_id` and `source`; `partitionkey`, else `subject`, the key; the other extensions
metadata, where `dataschema` and a subject that is not the key are as well. The extensions `previous` and `metadata`
hold JSON objects as text: an event has them and a CloudEvent has no place for them.
"""

from dataclasses import replace
from datetime import datetime
from typing import Final, cast

import orjson

from schemas.catalogue import BUILT_IN, Catalogue, check_not_reserved
from schemas.cloudevents.attributes import (
    SPEC_VERSION,
    CloudEvent,
    cloud_event,
    is_attribute,
    is_attribute_name,
    time_text,
)
from schemas.envelope import LARGEST_EVENT_BYTES, new_event
from schemas.errors import InvalidInput
from schemas.headers import TRACEPARENT, is_traceparent
from schemas.json_reading import parsed
from schemas.json_values import Json
from schemas.records import Event

ORGANIZATION: Final = "organizationid"
PARTITION_KEY: Final = "partitionkey"  # CloudEvents' partitioning extension
_PREVIOUS: Final = "previous"
_METADATA: Final = "metadata"
_MEANT: Final = frozenset({ORGANIZATION, PARTITION_KEY, TRACEPARENT, _PREVIOUS, _METADATA})
# No extensions, whatever metadata calls so; the two of _TEXTS are attributes that stay in metadata.
_OURS: Final = _MEANT | {"specversion", "id", "source", "type", "time", "datacontenttype", "data"}
_TEXTS: Final = frozenset({"subject", "dataschema"})


def event_of(
    cloud: CloudEvent,
    *,
    organization_id: str | None = None,
    other_key: str | None = None,
    created_at: datetime | None = None,
    catalogue: Catalogue = BUILT_IN,
    largest_bytes: int = LARGEST_EVENT_BYTES,
) -> Event:
    """Return the event that a CloudEvent makes, checked and without sensitive fields.

    `organization_id` is that of the caller's credential, None when the extension `organizationid` says whose it is.
    `other_key` orders it when neither partitionkey nor subject does. Its id is fresh; it was made at the CloudEvent's
    `time`, else at `created_at`, else now. Raises InvalidInput, its pointer naming the attribute, or
    what of the data does not hold.
    """
    check_not_reserved(cloud.type)
    owner = _organization_of(cloud, organization_id)
    partition_key = _partition_key_of(cloud)
    key_of = "subject" if partition_key is None else PARTITION_KEY
    key = cloud.subject if partition_key is None else partition_key
    try:
        event = new_event(
            type=cloud.type,
            organization_id=owner,
            data=cloud.data,
            key=other_key if key is None else key,
            previous=cast(Json, _object_in(cloud, _PREVIOUS)),
            metadata=_metadata_of(cloud, is_subject_key=partition_key is None),
            source_id=cloud.id,
            source=cloud.source,
            catalogue=catalogue,
            largest_bytes=largest_bytes,
        )
    except InvalidInput as error:
        raise type(error)(error.detail, pointer=_pointer_of(error.pointer, key_of)) from None
    return replace(event, created_at=cloud.time or created_at or event.created_at)


def traceparent_of(cloud: CloudEvent) -> str | None:
    """Return the trace that a CloudEvent belongs to (its Distributed Tracing extension), None when it says none."""
    found = cloud.extensions.get(TRACEPARENT)
    return found if isinstance(found, str) and is_traceparent(found) else None


def cloud_event_of(event: Event, *, source: str) -> CloudEvent:
    """Return an event as a CloudEvent that `event_of` makes the same event of.

    `source` stands in where the event has none, and its own id where its publisher brought none. Raises InvalidInput
    when the record, another client's, holds what is no JSON.
    """
    metadata = _object_of(event.metadata, "/metadata")
    named = {name: value for name, value in metadata.items() if _is_extension(name, value)}
    if event.key is None:
        named.pop("subject", None)  # read again it would be the key
    rest = {name: value for name, value in metadata.items() if name not in named}
    extensions: dict[str, Json] = {ORGANIZATION: event.organization_id}
    if event.previous is not None:
        extensions[_PREVIOUS] = event.previous.decode()
    if rest or (event.metadata is not None and not metadata):
        extensions[_METADATA] = orjson.dumps(rest).decode()
    if "subject" in named:
        extensions[PARTITION_KEY] = event.key
    attributes: dict[str, Json] = {
        "specversion": SPEC_VERSION,
        "id": event.source_id or event.id,
        "source": event.source or source,
        "type": event.type,
        "time": time_text(event.created_at),
        "subject": event.key,
        **named,
        **extensions,
    }
    return cloud_event(attributes, _object_of(event.data, "/data"))


def _organization_of(cloud: CloudEvent, of_caller: str | None) -> str:
    named = cloud.extensions.get(ORGANIZATION)
    if named is None and of_caller is None:
        raise InvalidInput("is missing: it says whose event this is", pointer=f"/{ORGANIZATION}")
    if of_caller is not None and named not in {None, of_caller}:
        raise InvalidInput("is not your credential's organization: leave it out", pointer=f"/{ORGANIZATION}")
    return str(named if of_caller is None else of_caller)


def _partition_key_of(cloud: CloudEvent) -> str | None:
    found = cloud.extensions.get(PARTITION_KEY)
    if found is None or isinstance(found, str):
        return found
    raise InvalidInput("must be text", pointer=f"/{PARTITION_KEY}")


def _metadata_of(cloud: CloudEvent, *, is_subject_key: bool) -> Json:
    kept: dict[str, Json] = {name: value for name, value in cloud.extensions.items() if name not in _MEANT}
    if cloud.dataschema is not None:
        kept["dataschema"] = cloud.dataschema
    if cloud.subject is not None and not is_subject_key:
        kept["subject"] = cloud.subject
    given = _object_in(cloud, _METADATA)
    return kept or None if given is None else {**given, **kept}


def _object_in(cloud: CloudEvent, name: str) -> dict[str, Json] | None:
    text = cloud.extensions.get(name)
    if text is None:
        return None
    if not isinstance(text, str):
        raise InvalidInput("must be a JSON object, written as text", pointer=f"/{name}")
    return _object_of(text.encode("utf-8", "surrogatepass"), f"/{name}")


def _object_of(raw: bytes | None, pointer: str) -> dict[str, Json]:
    if raw is None:
        return {}
    try:
        value = parsed(raw)
    except InvalidInput as error:
        raise InvalidInput(error.detail, pointer=pointer) from None
    if not isinstance(value, dict):
        raise InvalidInput("must be a JSON object", pointer=pointer)
    return value


def _is_extension(name: str, value: Json) -> bool:
    if name in _OURS or not is_attribute_name(name):
        return False
    if name in _TEXTS:
        return isinstance(value, str) and value != ""
    return is_attribute(value)


def _pointer_of(pointer: str, key_of: str) -> str:
    """Return where in the CloudEvent is what `new_event` points at."""
    first, slash, rest = pointer[1:].partition("/")
    if first == _METADATA and slash:
        return f"/{rest}"
    return {"/key": f"/{key_of}", "/organization_id": f"/{ORGANIZATION}"}.get(pointer, pointer)
