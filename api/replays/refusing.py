"""What routing refuses of the log: any Kafka client may write there, and a replay sends none of it.

The same is asked in processors/event_types.py, which this package does not import.
"""

from functools import cache
from typing import cast

import orjson

from api.replays.log_reading import PastEvent
from schemas.catalogue import Catalogue, EventType, described
from schemas.errors import InvalidInput
from schemas.json_values import Json
from schemas.redaction import without_sensitive
from schemas.releases import released_of


def check_routed(past: PastEvent, catalogue: Catalogue) -> None:
    """Raise InvalidInput unless the event is of a known type, and its data fits it or a version of it.

    Versions of an organization's own type are in the catalogue's; of a built-in one those that were released count, so
    that what an earlier release of ours routed is still taken.
    """
    event_type = catalogue.of(past.event.type, past.event.organization_id)
    try:
        data = cast(Json, orjson.loads(past.event.data))
    except orjson.JSONDecodeError:
        raise InvalidInput("is not JSON", pointer="/data") from None
    try:
        _check(event_type, data)
    except InvalidInput:
        if event_type.organization_id is not None or not any(_fits(each, data) for each in _released(event_type.name)):
            raise


def _check(event_type: EventType, data: Json) -> None:
    try:
        event_type.check(data)
    except InvalidInput:  # sensitive fields are no flaw: they are removed
        event_type.check(without_sensitive(data))


def _fits(event_type: EventType, data: Json) -> bool:
    try:
        _check(event_type, data)
    except InvalidInput:
        return False
    return True


@cache
def _released(name: str) -> tuple[EventType, ...]:
    return tuple(described(name, schema) for schema in released_of(name).values())
