"""What organizations' own event types are, for publishers and workers: a catalogue in step with a compacted topic.

    with following_event_types(settings) as catalogue:  # in a service of one's own
        publisher = Publisher(settings=settings, catalogue=catalogue)

PostgreSQL is not needed for it. What the topic says of a type counts as soon as it was read, some 100 ms after the API
has said it.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, cast

import structlog
from confluent_kafka import Message

from producers.errors import BrokersAway
from producers.following import Calls, Here, OnFollowed, TopicFollower
from producers.settings import KafkaSettings
from schemas.catalogue import Catalogue, EventType, defined
from schemas.codec import UnreadableRecord, decode
from schemas.errors import InvalidInput
from schemas.event_schemas import checked_schema
from schemas.evolution import RETIRED
from schemas.ids import OrganizationId
from schemas.json_values import Json
from schemas.records import EventTypeDefinition
from schemas.topics import EVENT_TYPES

log = structlog.get_logger("producers.event_types")

_OF_FIELDS: Final = frozenset({RETIRED})


class EventTypesFollower(TopicFollower):
    """Keeps a catalogue in step with `hookline.event-types`; what nobody can read is skipped and counted."""

    def __init__(
        self,
        catalogue: Catalogue,
        client_config: Mapping[str, str],
        calls: Calls,
        *,
        on_unreadable: Callable[[Message, UnreadableRecord], None] = lambda *_: None,
        on_followed: OnFollowed = lambda _, __: None,
    ) -> None:
        """Prepare; `on_unreadable` hears of records that nobody can read, besides the log."""
        super().__init__(
            EVENT_TYPES,
            client_config,
            calls,
            take=self._take_record,
            on_unreadable=self._skip,
            on_followed=on_followed,
        )
        self.catalogue = catalogue
        self.skipped = 0
        self._tell = on_unreadable

    def _take_record(self, key: bytes, value: bytes | None) -> None:
        organization_id, _, name = key.decode(errors="replace").partition("/")
        if value is None:
            self.catalogue.remove(OrganizationId(organization_id), name)
            return
        event_type = event_type_in(value)
        if (event_type.organization_id, event_type.name) != (organization_id, name):
            raise UnreadableRecord("its key names another event type than its value")
        self.catalogue.put(event_type)

    def _skip(self, message: Message, error: UnreadableRecord) -> None:
        self.skipped += 1
        log.warning("event_type.skipped", partition=message.partition(), offset=message.offset(), error=str(error))
        self._tell(message, error)


def event_type_in(value: bytes) -> EventType:
    """Return the event type that a record of the topic defines; raises UnreadableRecord.

    Any Kafka client may write one, so its schema is checked again: what checks events by it relies on that.
    """
    try:
        definition = decode(EventTypeDefinition, value)
        # First: what walks a schema takes it for a tree, and one whose types name each other could have 2^40 fields.
        checked_schema(cast(Json, json.loads(definition.schema)), of_fields=_OF_FIELDS)
        event_type = defined(definition)
    except InvalidInput as error:
        raise UnreadableRecord(f"its schema is none that event types may have: {error}"[:300]) from None
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:  # its JSON, or its state
        raise UnreadableRecord(f"it defines no event type: {type(error).__name__}") from None
    return event_type


@contextmanager
def following_event_types(settings: KafkaSettings | None = None, *, timeout_s: float = 10.0) -> Iterator[Catalogue]:
    """Yield a catalogue that is in step with the topic until the end, for services that publish.

    It begins when all that is on the topic was read; raises BrokersAway when that takes longer than `timeout_s`
    seconds. Without `settings`, `KAFKA_…` of the environment says where Kafka is.
    """
    follower = EventTypesFollower(Catalogue(), (settings or KafkaSettings()).client_config(), Here())
    try:
        if not follower.start_blocking(timeout_s):
            raise BrokersAway(f"{EVENT_TYPES} was not read within {timeout_s:g} s: is Kafka there, and its topics?")
        yield follower.catalogue
    finally:
        follower.close()
