"""`hookline publish --file`: a file of events, one a line, our JSON or CloudEvents."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, cast

from producers.errors import ProducingError
from producers.publisher import Publisher
from producers.receipts import Receipt
from schemas.catalogue import Catalogue
from schemas.cloudevents.json_format import structured_of
from schemas.cloudevents.mapping import ORGANIZATION, event_of, traceparent_of
from schemas.errors import InvalidInput
from schemas.ids import EventId, event_id_of
from schemas.json_values import Json, escaped

OnPublished = Callable[[EventId, ProducingError | None], None]
_FIELDS: Final = ("type", "data", "key", "previous", "metadata", "id")
_TEXTS: Final = ("type", "key", "id")


def queue_line(
    publisher: Publisher, organization_id: str, value: Json, on_published: OnPublished, *, catalogue: Catalogue
) -> Receipt:
    """Queue the event that a line holds: a CloudEvent where there is a `specversion`, else `type`, `data` and so on.

    A CloudEvent's own `organizationid` goes before `organization_id`; `catalogue` knows its type. Raises InvalidInput,
    ProducingError.
    """
    if isinstance(value, dict) and "specversion" in value:
        return _queue_cloud_event(publisher, organization_id, value, on_published, catalogue)
    given = _checked(value)
    return publisher.publish(
        type=cast(str, given["type"]),
        organization_id=organization_id,
        data=cast(Any, given["data"]),  # what is no object is refused there
        key=cast(str | None, given.get("key")),
        previous=cast(Any, given.get("previous")),
        metadata=cast(Any, given.get("metadata")),
        source_id=cast(str | None, given.get("id")),
        on_published=on_published,
    )


def _queue_cloud_event(
    publisher: Publisher, organization_id: str, value: Json, on_published: OnPublished, catalogue: Catalogue
) -> Receipt:
    cloud = structured_of(value)
    event = event_of(
        cloud,
        organization_id=None if ORGANIZATION in cloud.extensions else organization_id,
        catalogue=catalogue,
    )
    # The id that the worker would give it: a file that is published twice makes no second delivery of it.
    event_id = event_id_of(
        event.organization_id, cloud.source, cloud.id, said_at=cloud.time, appended_at=datetime.now(UTC)
    )
    return publisher.publish_event(
        replace(event, id=event_id), traceparent=traceparent_of(cloud), on_published=on_published
    )


def _checked(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise InvalidInput("must be a JSON object with type and data, or a CloudEvent")
    for name in value:
        if name not in _FIELDS:
            raise InvalidInput(f"no such field; an event has {', '.join(_FIELDS)}", pointer=f"/{escaped(name)}")
    for name in ("type", "data"):
        if name not in value:
            raise InvalidInput("is missing", pointer=f"/{name}")
    for name in _TEXTS:
        if not isinstance(value.get(name), str | None):
            raise InvalidInput("must be text", pointer=f"/{name}")
    if value["type"] is None:
        raise InvalidInput("must be text", pointer="/type")
    return value
