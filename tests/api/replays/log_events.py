"""A log of events of a test's own: on a topic of its own, and as the projection stores it."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # re-exported without __all__

from api.deliveries.tables import EventRow
from api.replays.log_bounds import bounds_of, by_time
from api.replays.positions import kept_of, offsets_in
from api.replays.queries import NOTHING_COUNTED, started
from api.replays.stored_events import Window, with_stored_begin
from api.replays.tables import ReplayRow
from schemas.codec import encode
from schemas.envelope import body_of, new_event
from schemas.headers import event_headers
from schemas.ids import append_time_of, filed_at, new_replay_id
from schemas.records import Event
from tests.api.replays.logged import Log

PARTITIONS = 3


@dataclass(frozen=True)
class Published:
    """An event, and where Kafka has it."""

    event: Event
    partition: int
    offset: int
    at: datetime


class EventLog:
    """A topic of events, and the stored bodies of one organization's."""

    def __init__(self, bootstrap: str, topic: str, log: Log) -> None:
        self.topic = topic
        self._log = log
        self._kafka: dict[str, Any] = {"bootstrap.servers": bootstrap}
        self._producer = Producer({**self._kafka, "message.max.bytes": 2 * 1024 * 1024})

    async def publish(self, count: int, *, store: bool = True, **fields: Any) -> list[Published]:
        """Publish events, of three keys in turn unless `fields` say otherwise, and store their bodies."""
        events = []
        for number in range(count):
            given = {
                "type": "user.created",
                "organization_id": self._log.organization_id,
                "data": {"id": str(number)},
                "key": f"k{number % 3}",
            }
            events.append(new_event(**{**given, **fields}))
        return await self.write(events, store=store)

    async def write(self, events: Sequence[Event], *, store: bool = True) -> list[Published]:
        """Write events as they are, whether anybody would have taken them or not."""
        published: list[Published] = []
        for event in events:

            def taken(error: object, message: Any, event: Event = event) -> None:
                assert error is None
                at = filed_at(event.id, append_time_of(message.timestamp()[1]))
                published.append(Published(event, message.partition(), message.offset(), at))

            key = (event.key or event.id).encode()
            headers: Any = event_headers(event, source="/tests")
            self._producer.produce(self.topic, key=key, value=encode(event), headers=headers, on_delivery=taken)
        assert await asyncio.to_thread(self._producer.flush, 20) == 0
        if store:
            await self.store(published)
        return sorted(published, key=lambda each: (each.partition, each.offset))

    async def store(self, published: list[Published]) -> None:
        """Store bodies as the projection does."""
        async with self._log.transaction() as db:
            db.add_all([_row(each) for each in published])

    @staticmethod
    def body_of(published: Published) -> bytes:
        """Return what every subscriber receives of it."""
        return body_of(published.event)

    def forget(self, upto: dict[int, int]) -> None:
        """Have Kafka delete what comes before these offsets, as retention does."""
        admin = AdminClient(self._kafka)
        asked = admin.delete_records([TopicPartition(self.topic, number, offset) for number, offset in upto.items()])
        for future in asked.values():
            future.result(20)

    async def asked(self, *, since: datetime | None = None, until: datetime | None = None, **fields: Any) -> str:
        """Ask for a replay of this log as the route does; return its id."""
        row = ReplayRow(
            id=new_replay_id(),
            organization_id=self._log.organization_id,
            created_at=datetime.now(UTC),
            since=since,
            until=until,
            source="log",
            **{"is_retry": False, "state": "pending", "rate_per_s": 1000.0, **NOTHING_COUNTED, **fields},
        )
        if row.positions is None:
            positions = by_time(await bounds_of(self._kafka, since, until, topic=self.topic))
            window = Window(organization_id=row.organization_id, since=since, until=until, event_types=row.event_types)
            async with self._log.transaction() as db:
                positions = await with_stored_begin(db, window, positions)
            row.positions, row.log_total, row.log_read = kept_of(positions), offsets_in(positions), 0
        async with self._log.transaction() as db:
            await started(db, row)
        return row.id


def _row(published: Published) -> EventRow:
    event = published.event
    return EventRow(
        id=event.id,
        at=published.at,
        organization_id=event.organization_id,
        type=event.type,
        created_at=event.created_at,
        key=event.key,
        source_id=event.source_id,
        body=body_of(event),
        partition=published.partition,
        offset=published.offset,
    )


@contextmanager
def event_log(bootstrap: str, log: Log) -> Iterator[EventLog]:
    """Yield a topic of events that this test alone writes."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    topic = f"events-{uuid4().hex}"
    config = {"message.timestamp.type": "LogAppendTime"}
    admin.create_topics([NewTopic(topic, PARTITIONS, 1, config=config)])[topic].result(30)
    yield EventLog(bootstrap, topic, log)
    admin.delete_topics([topic])[topic].result(30)
