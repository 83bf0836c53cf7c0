"""Other clients may write the log in transactions: what is in an open one is read when it ends, and no sooner."""

import asyncio
from typing import Any

import pytest
from confluent_kafka import Producer

from api.replays.log_bounds import bounds_of, by_time
from api.replays.log_reading import LogReader, PastEvent
from schemas.codec import encode
from schemas.envelope import new_event
from schemas.headers import event_headers
from tests.api.replays.log_events import EventLog
from tests.api.replays.logged import Log

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]


@pytest.mark.parametrize(("is_committed", "read"), [(True, 4), (False, 3)])
async def test_a_transaction_that_is_open_when_it_is_asked_for_is_waited_for(
    is_committed: bool, read: int, log: Log, events: EventLog, bootstrap: str
) -> None:
    kafka: dict[str, Any] = {"bootstrap.servers": bootstrap}
    published = await events.publish(3, key="one", store=False)
    number = published[0].partition
    producer = Producer({**kafka, "transactional.id": log.organization_id, "transaction.timeout.ms": 300_000})
    await asyncio.to_thread(producer.init_transactions, 60)
    producer.begin_transaction()
    event = new_event(type="user.created", organization_id=log.organization_id, data={"id": "u"}, key="one")
    headers: Any = event_headers(event, source="/tests")
    producer.produce(events.topic, key=b"one", value=encode(event), headers=headers, partition=number)
    assert await asyncio.to_thread(producer.flush, 30) == 0
    bounds = await bounds_of(kafka, None, None, topic=events.topic)
    stretch = by_time(bounds)[number]
    assert stretch.end == 4
    reader = LogReader(kafka, events.topic)
    reader.begin({number: (stretch.next, stretch.end)})
    found: list[PastEvent] = []
    after = 10  # readings, once all is read that can be
    async with asyncio.timeout(60):
        while len(found) < 3 or (after := after - 1):
            reading = await asyncio.to_thread(reader.read, log.organization_id)
            found += reading.events
            assert not reading.ended
    assert len(found) == 3
    await asyncio.to_thread(producer.commit_transaction if is_committed else producer.abort_transaction, 60)
    async with asyncio.timeout(60):
        while not reading.ended:
            reading = await asyncio.to_thread(reader.read, log.organization_id)
            found += reading.events
    reader.close()
    assert [each.offset for each in found] == [0, 1, 2, 3][:read]
