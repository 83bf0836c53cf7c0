"""What routing refuses of the log: any Kafka client may write there, and a replay sends none of it.

The same is asked in processors/event_types.py, which this package does not import.
"""

from functools import cache

from api.replays.log_reading import PastEvent
from schemas.catalogue import Catalogue, EventType, described
from schemas.errors import InvalidInput
from schemas.releases import released_of


def check_routed(past: PastEvent, catalogue: Catalogue) -> None:
    """Raise InvalidInput unless the event is of a known type, and its data fits it or a version of it.

    Versions of an organization's own type are in the catalogue's; of a built-in one those that were released count, so
    that what an earlier release of ours routed is still taken.
    """
    event_type = catalogue.of(past.event.type, past.event.organization_id)
    try:
        event_type.check_written(past.event.data)
    except InvalidInput:
        is_own = event_type.organization_id is not None
        if is_own or not any(_fits(each, past.event.data) for each in _released(event_type.name)):
            raise


def _fits(event_type: EventType, data: bytes) -> bool:
    try:
        event_type.check_written(data)
    except InvalidInput:
        return False
    return True


@cache
def _released(name: str) -> tuple[EventType, ...]:
    return tuple(described(name, schema) for schema in released_of(name).values())
