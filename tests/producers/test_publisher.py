"""The publisher that services import, on the real Kafka."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest
from confluent_kafka import Message
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from producers import Publisher
from producers.errors import BrokersAway, ProducerClosed, ProducingError
from producers.settings import KafkaSettings
from schemas.codec import decode
from schemas.errors import InvalidInput
from schemas.ids import EventId, is_time_ordered
from schemas.records import Event
from schemas.topics import EVENTS
from tests.producers.topics import arrived_on, closed_port

PARTITIONS = 8
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def kafka(bootstrap: str) -> str:
    """Return where a Kafka is that has the events topic; others may have made it, with their partitions."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    if EVENTS not in admin.list_topics(timeout=30).topics:
        admin.create_topics([NewTopic(EVENTS, PARTITIONS, 1)])[EVENTS].result(30)
    return bootstrap


@pytest.fixture
def publisher(kafka: str) -> Iterator[Publisher]:
    with Publisher(kafka, source="/billing") as publisher:
        yield publisher


def published(kafka: str, *ids: EventId) -> list[tuple[Event, Message]]:
    """Return those of the topic's events, partition by partition in order."""
    partitions = len(AdminClient({"bootstrap.servers": kafka}).list_topics(EVENTS, 10).topics[EVENTS].partitions)
    wanted = {identifier.encode() for identifier in ids}

    def ours(messages: list[Message]) -> list[Message]:
        return [message for message in messages if dict(message.headers() or []).get("ce_id") in wanted]

    messages = arrived_on(
        kafka,
        EVENTS,
        partitions=partitions,
        until=lambda found: len({dict(message.headers() or [])["ce_id"] for message in ours(found)}) == len(wanted),
    )
    return [(decode(Event, message.value()), message) for message in ours(messages)]


def user_created(**more: Any) -> dict[str, Any]:
    return {"type": "user.created", "organization_id": "org_789", "data": {"id": "user_123"}, **more}


@pytest.mark.kafka
def test_a_receipts_result_is_the_events_id_once_kafka_has_it(publisher: Publisher, kafka: str) -> None:
    receipt = publisher.publish(**user_created(key="user_123", previous={"id": "user_123"}, metadata={"a": 1}))
    event_id = receipt.result(timeout=20)
    assert event_id == receipt.event_id
    assert is_time_ordered(event_id, "evt")
    assert receipt.done()
    [(event, message)] = published(kafka, event_id)
    assert (event.id, event.type, event.organization_id, event.key) == (event_id, "user.created", "org_789", "user_123")
    assert [orjson.loads(part or b"") for part in (event.data, event.previous, event.metadata)] == [
        {"id": "user_123"},
        {"id": "user_123"},
        {"a": 1},
    ]
    assert message.key() == b"user_123"


@pytest.mark.kafka
def test_an_event_carries_cloudevents_headers_and_its_trace(publisher: Publisher, kafka: str) -> None:
    event_id = publisher.publish(**user_created(key="user_1", traceparent=TRACEPARENT)).result(20)
    [(event, message)] = published(kafka, event_id)
    assert message.headers() == [
        ("ce_specversion", b"1.0"),
        ("ce_id", event_id.encode()),
        ("ce_type", b"user.created"),
        ("ce_source", b"/billing"),
        ("ce_time", event.created_at.isoformat().encode()),
        ("hookline_organization", event.organization_id.encode()),
        ("ce_subject", b"user_1"),
        ("traceparent", TRACEPARENT.encode()),
    ]


@pytest.mark.kafka
def test_without_a_key_an_event_is_spread_by_its_id(publisher: Publisher, kafka: str) -> None:
    event_id = publisher.publish(**user_created(type="hookline.test")).result(20)
    [(event, message)] = published(kafka, event_id)
    assert message.key() == event_id.encode()
    assert event.key is None
    assert "ce_subject" not in dict(message.headers() or [])


@pytest.mark.kafka
def test_without_a_key_the_types_own_field_orders_its_events(publisher: Publisher, kafka: str) -> None:
    event_id = publisher.publish(**user_created()).result(20)
    [(event, message)] = published(kafka, event_id)
    assert (event.key, message.key(), event.source) == ("user_123", b"user_123", "/billing")


@pytest.mark.kafka
async def test_a_receipt_can_be_awaited_by_many(publisher: Publisher) -> None:
    receipt = publisher.publish(**user_created())

    async def awaited() -> EventId:
        return await receipt

    assert set(await asyncio.gather(awaited(), awaited(), awaited(), receipt)) == {receipt.event_id}


async def test_who_stops_waiting_stops_nobody_else() -> None:
    """`asyncio.wait_for` cancels what it awaits: that must not reach the producer's own future."""
    publisher = Publisher(closed_port(), patience_s=1)
    given_up, other = publisher.publish(**user_created()), publisher.publish(**user_created())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(given_up, 0.05)
    for receipt in (given_up, other):
        with pytest.raises(BrokersAway, match="no Kafka broker"):
            await asyncio.wait_for(receipt, 30)
    await asyncio.to_thread(publisher.close)


@pytest.mark.kafka
def test_whoever_asks_to_be_called_is_called_from_another_thread(publisher: Publisher) -> None:
    called, told = threading.Event(), []

    def on_published(event_id: EventId, error: ProducingError | None) -> None:
        told.append((event_id, error, threading.current_thread() is not threading.main_thread()))
        called.set()

    receipt = publisher.publish(**user_created(on_published=on_published))
    assert called.wait(20)
    assert told == [(receipt.event_id, None, True)]


@pytest.mark.kafka
def test_a_callback_that_raises_ends_nothing(publisher: Publisher) -> None:
    def on_published(event_id: EventId, error: ProducingError | None) -> None:
        raise RuntimeError("the caller's own")

    assert publisher.publish(**user_created(on_published=on_published)).result(20)
    assert publisher.publish(**user_created()).result(20)


@pytest.mark.kafka
def test_a_callback_may_publish(publisher: Publisher) -> None:
    done, receipts = threading.Event(), []

    def on_published(event_id: EventId, error: ProducingError | None) -> None:
        receipts.append(publisher.publish(**user_created(source_id=event_id)))
        done.set()

    publisher.publish(**user_created(on_published=on_published))
    assert done.wait(20)
    assert receipts[0].result(20)


@pytest.mark.kafka
def test_events_of_a_key_keep_their_order(publisher: Publisher, kafka: str) -> None:
    receipts = [publisher.publish(**user_created(key="user_9")) for _ in range(2000)]
    assert publisher.flush(30) == 0
    ids = [receipt.result(0) for receipt in receipts]
    arrived = published(kafka, *ids)
    assert [event.id for event, _ in arrived] == ids
    assert len({message.partition() for _, message in arrived}) == 1


@pytest.mark.kafka
def test_eight_threads_share_a_publisher(publisher: Publisher, kafka: str) -> None:
    def publish(thread: int) -> list[EventId]:
        return [publisher.publish(**user_created(key=f"t{thread}")).event_id for _ in range(500)]

    with ThreadPoolExecutor(8) as pool:
        by_thread = list(pool.map(publish, range(8)))
    assert publisher.flush(30) == 0
    arrived = [event.id for event, _ in published(kafka, *(found for ids in by_thread for found in ids))]
    assert len(arrived) == 4000
    for ids in by_thread:
        assert [found for found in arrived if found in set(ids)] == ids


@pytest.mark.kafka
def test_leaving_the_block_flushes(kafka: str) -> None:
    with Publisher(kafka) as publisher:
        receipt = publisher.publish(**user_created())
    assert receipt.result(0) == receipt.event_id
    with pytest.raises(ProducerClosed):
        publisher.publish(**user_created())


@pytest.mark.kafka
def test_nothing_sensitive_reaches_the_topic(publisher: Publisher, kafka: str) -> None:
    event_id = publisher.publish(
        type="hookline.test", organization_id="org_789", data={"a": [{"password": "hunter2"}]}, metadata={"token": "x2"}
    ).result(20)
    [(event, message)] = published(kafka, event_id)
    assert b"hunter2" not in (message.value() or b"")
    assert event.metadata == b"{}"


def test_what_does_not_fit_is_refused_at_once_with_a_pointer() -> None:
    with Publisher(closed_port()) as publisher:
        for given_, pointer in (
            ({"data": {"email": "a@example.com"}}, "/data/id"),
            ({"data": {"id": 1}}, "/data/id"),
            ({"type": "user.creatd"}, "/type"),
            ({"traceparent": "00-1\r\nx: y"}, "/traceparent"),
            ({"traceparent": "\ud800"}, "/traceparent"),
        ):
            with pytest.raises(InvalidInput) as caught:
                publisher.publish(**{**user_created(), **given_})
            assert caught.value.pointer == pointer
        assert publisher.flush(0) == 0


def test_brokers_that_are_away_are_told_to_all_who_wait() -> None:
    told: list[tuple[EventId, type[BaseException] | None]] = []
    with Publisher(closed_port(), patience_s=1) as publisher:
        receipt = publisher.publish(**user_created(on_published=lambda found, error: told.append((found, type(error)))))
        with pytest.raises(BrokersAway, match=r"after 0\.01 s"):
            receipt.result(0.01)
        with pytest.raises(BrokersAway, match="no Kafka broker took the record in time"):
            receipt.result(10)
        with pytest.raises(BrokersAway):
            asyncio.run(awaited(receipt))
        publisher.flush(5)
    assert told == [(receipt.event_id, BrokersAway)]


async def awaited(receipt: Any) -> EventId:
    event_id: EventId = await receipt
    return event_id


def test_closing_tells_those_who_still_wait() -> None:
    publisher = Publisher(settings=KafkaSettings(bootstrap_servers=closed_port()))
    receipt = publisher.publish(**user_created())
    assert publisher.close(0.2) == 1
    with pytest.raises(ProducerClosed):
        receipt.result(0)
    assert publisher.close() == 0


FORKED = """
import os, sys
from producers import Publisher
from producers.errors import ProducerClosed

publisher = Publisher(sys.argv[1], patience_s=600)
publisher.publish(type="user.created", organization_id="o", data={"id": "of the parent"})
if os.fork() == 0:
    try:
        publisher.publish(type="user.created", organization_id="o", data={"id": "of the child"})
        said = "taken, and never sent"
    except ProducerClosed as error:
        said = str(error)
    left = publisher.flush(60), publisher.close(60)
    os.write(1, f"{said} {left}".encode())
    os._exit(0)
os.wait()
os.write(1, f" {publisher.close(0)}".encode())
"""


def test_a_process_that_was_forked_is_told_to_make_a_publisher_of_its_own() -> None:
    asked = [sys.executable, "-c", FORKED, closed_port()]
    done = subprocess.run(asked, stdout=subprocess.PIPE, timeout=60, check=True)
    said = done.stdout.decode()
    assert "make one in each process, after the fork" in said
    assert said.endswith(" (0, 0) 1")  # what is on its way is the parent's, who gives it up


def test_kafka_is_found_through_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    with Publisher() as publisher, Publisher("127.0.0.1:1") as named:
        assert publisher._producer._config["bootstrap.servers"] == "127.0.0.1:9"
        assert named._producer._config["bootstrap.servers"] == "127.0.0.1:1"
