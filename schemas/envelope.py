"""From an event to the bytes of a webhook's body, and the checks that every event passes on its way in."""

from datetime import UTC, datetime
from typing import Final, cast

import orjson

from schemas.catalogue import BUILT_IN, PUBLISHED, Catalogue, EventType
from schemas.checking import object_json_of
from schemas.errors import InvalidInput
from schemas.ids import OrganizationId, is_organization_id, is_time_ordered, new_event_id
from schemas.json_values import Json
from schemas.records import Event
from schemas.redaction import is_sensitive_cached, without_sensitive

LARGEST_EVENT_BYTES: Final = 256 * 1024
LONGEST_KEY: Final = 255


class EventTooLarge(InvalidInput):
    """The event's JSON is over the limit; carried apart because HTTP answers it with 413."""


def new_event(
    *,
    type: str,  # noqa: A002 - the field's name in CloudEvents, on the topic and in the body
    organization_id: str,
    data: Json,
    key: str | None = None,
    previous: Json = None,
    metadata: Json = None,
    source_id: str | None = None,
    source: str | None = None,
    catalogue: Catalogue = BUILT_IN,
    largest_bytes: int = LARGEST_EVENT_BYTES,
) -> Event:
    """Return the event that these make: checked, without sensitive fields, with a fresh id and time.

    Without `key`, what the type's `ordering_key` names in `data` is the key. `previous` and `metadata` are JSON objects
    or None, `source` is CloudEvents'. Raises InvalidInput with a pointer to what does not hold; UnknownEventType and
    EventTooLarge are its kinds.
    """
    check_organization(organization_id)
    event_type = catalogue.of(type, organization_id)
    if event_type.state not in PUBLISHED:
        raise InvalidInput(f"{event_type.name} is {event_type.state}: it cannot be published", pointer="/type")
    if key is not None:
        _check_text(key, "/key")
    if source_id is not None:
        _check_text(source_id, "/id")
    checker = event_type.checker
    written = checker.json_of(data, pointer="/data")
    if key is None and event_type.ordering_key is not None:
        key = _key_in(data, event_type)
    event = Event(
        id=new_event_id(),
        type=event_type.name,
        organization_id=OrganizationId(organization_id),
        created_at=datetime.now(UTC),
        data=written,
        key=key,
        previous=None if previous is None else checker.previous_json_of(previous, pointer="/previous"),
        metadata=None if metadata is None else object_json_of(metadata, pointer="/metadata"),
        source_id=source_id,
        source=source,
    )
    size = len(event.data) + len(event.previous or b"") + len(event.metadata or b"")
    if size > largest_bytes:
        raise EventTooLarge(f"the event has {size:,} bytes of JSON; at most {largest_bytes:,} are taken")
    return event


def body_of(event: Event) -> bytes:
    """Return the full body of an event; schemas/payloads makes of it what a subscription wants.

    Sensitive fields are removed again: the record may come from a client that is not ours. Raises InvalidInput when
    data, previous or metadata is no JSON object.
    """
    return orjson.dumps(fields_of(event), option=orjson.OPT_UTC_Z)


def fields_of(event: Event) -> dict[str, object]:
    """Return what the body of an event says, in its order; raises InvalidInput as `body_of` does."""
    return {
        "id": event.id,
        "type": event.type,
        "created_at": event.created_at,
        "organization_id": event.organization_id,
        "data": kept_object(event.data, "/data"),
        "previous": None if event.previous is None else kept_object(event.previous, "/previous"),
        "metadata": {} if event.metadata is None else kept_object(event.metadata, "/metadata"),
    }


def kept_object(raw: bytes, pointer: str) -> dict[str, Json]:
    """Return the JSON object in an event's bytes without its sensitive fields; raises InvalidInput."""
    try:
        value = cast(Json, orjson.loads(raw))
    except orjson.JSONDecodeError:
        raise InvalidInput("is not JSON", pointer=pointer) from None
    if not isinstance(value, dict):
        raise InvalidInput("must be a JSON object", pointer=pointer)
    try:
        return cast(dict[str, Json], without_sensitive(value))
    except InvalidInput as error:
        raise InvalidInput(error.detail, pointer=pointer) from None


def check_id(identifier: str, prefix: str, pointer: str) -> None:
    """Raise InvalidInput unless `identifier` is one of ours: any Kafka client may write a record."""
    if not is_time_ordered(identifier, prefix):
        raise InvalidInput(f"must be {prefix}_ and a UUIDv7 in 32 lower-case hexadecimal digits", pointer=pointer)


def check_organization(organization_id: str) -> None:
    """Raise InvalidInput unless it may be an organization's id."""
    if not is_organization_id(organization_id):
        raise InvalidInput("must be 1 to 100 letters, digits and . _ : -", pointer="/organization_id")


def _key_in(data: Json, event_type: EventType) -> str | None:
    """Return what orders the event, in data that fits its type; None when there is none, or it must not leave."""
    name = str(event_type.ordering_key)
    if is_sensitive_cached(name) or (name,) in event_type.secret or not isinstance(data, dict):
        return None
    found = data.get(name)
    if not isinstance(found, str) or not found:
        return None
    if len(found) > LONGEST_KEY:
        raise InvalidInput(
            f"orders events of its type: it has at most {LONGEST_KEY} characters", pointer=f"/data/{name}"
        )
    return found


def _check_text(text: str, pointer: str) -> None:
    if not 1 <= len(text) <= LONGEST_KEY or "\x00" in text:
        raise InvalidInput(f"must be 1 to {LONGEST_KEY} characters without NUL", pointer=pointer)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput("holds a lone surrogate, which UTF-8 cannot carry", pointer=pointer) from None
