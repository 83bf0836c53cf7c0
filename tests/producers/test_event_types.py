"""A catalogue in step with hookline.event-types: in the loop of a worker, and in a service that has none."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka import Producer
from hypothesis import given

from producers import event_types as module
from producers.errors import BrokersAway
from producers.event_types import EventTypesFollower, event_type_in, following_event_types
from producers.handover import Handover
from producers.settings import KafkaSettings
from schemas.catalogue import Catalogue, EventTypeState
from schemas.codec import UnreadableRecord, encode
from schemas.ids import OrganizationId
from schemas.records import EventTypeDefinition
from schemas.topics import PARTITIONER
from tests.producers.topics import closed_port, made_topic
from tests.schemas.drawn import records

ORG = OrganizationId("org_1")
DEFINITION = EventTypeDefinition(
    organization_id=ORG,
    name="order.shipped",
    version=1,
    state="active",
    category="order",
    description="An order left.",
    owner="Logistics",
    schema=json.dumps({"type": "record", "name": "shipped", "fields": [{"name": "id", "type": "string"}]}),
    example='{"id": "x"}',
    updated_at=datetime(2026, 11, 21, tzinfo=UTC),
)


@pytest.fixture
def topic(bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with made_topic(bootstrap, partitions=2) as name:
        monkeypatch.setattr(module, "EVENT_TYPES", name)
        yield name


class Writer:
    def __init__(self, bootstrap: str, topic: str) -> None:
        self._producer = Producer({"bootstrap.servers": bootstrap, "partitioner": PARTITIONER})
        self._topic = topic

    def write(self, definition: EventTypeDefinition | None, *, key: str | None = None, **others: Any) -> None:
        """Write a definition, changed so, or nothing; return when Kafka has it."""
        value = others.get("value")
        if definition is not None:
            definition = replace(definition, **others)
            key = key or f"{definition.organization_id}/{definition.name}"
            value = encode(definition)
        self._producer.produce(self._topic, value, key)
        assert self._producer.flush(30) == 0


@pytest.fixture
def writer(bootstrap: str, topic: str) -> Writer:
    return Writer(bootstrap, topic)


@pytest.mark.kafka
async def test_a_worker_has_all_that_was_there_and_follows(bootstrap: str, writer: Writer) -> None:
    writer.write(DEFINITION, name="order.lost")
    writer.write(DEFINITION)
    writer.write(DEFINITION, version=2, state="deprecated")
    unreadable: list[str] = []
    follower = EventTypesFollower(
        Catalogue(),
        {"bootstrap.servers": bootstrap},
        Handover(asyncio.get_running_loop()),
        on_unreadable=lambda _, error: unreadable.append(str(error)),
    )
    async with asyncio.timeout(20):
        await follower.start()
        its = follower.catalogue.of("order.shipped", ORG)
        assert (its.version, its.state) == (2, EventTypeState.DEPRECATED)
        assert follower.catalogue.get("order.shipped", "org_2") is None
        writer.write(None, key=f"{ORG}/order.shipped")
        writer.write(None, key=f"{ORG}/order.lost", value=b"no record")
        writer.write(DEFINITION, key=f"{ORG}/another.name", version=3)
        writer.write(DEFINITION, name="order.found")
        await follower.caught_up()
    assert [each.name for each in follower.catalogue.all_of(ORG) if each.organization_id] == [
        "order.found",
        "order.lost",
    ]
    assert (follower.skipped, len(unreadable)) == (2, 2)
    await follower.stop()


@pytest.mark.kafka
def test_a_service_without_a_loop_follows_too(bootstrap: str, writer: Writer) -> None:
    writer.write(DEFINITION)
    with following_event_types(KafkaSettings(bootstrap_servers=bootstrap)) as catalogue:
        catalogue.of("order.shipped", ORG).check({"id": "x"})


@pytest.mark.slow
def test_says_so_when_kafka_is_away() -> None:
    with (
        pytest.raises(BrokersAway, match="was not read within"),
        following_event_types(KafkaSettings(bootstrap_servers=closed_port()), timeout_s=0.1),
    ):
        pass


DOUBLING: Any = {"type": "record", "name": "r40", "fields": [{"name": "s", "type": "string"}]}
for depth in range(39, -1, -1):  # each names the one within it once more: 2^40 fields, were names followed
    again = {"name": "b", "type": DOUBLING["name"]}
    DOUBLING = {"type": "record", "name": f"r{depth}", "fields": [{"name": "a", "type": DOUBLING}, again]}


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"schema": "["}, "JSONDecodeError"),
        ({"schema": "[" * 100_000}, "RecursionError"),
        ({"schema": "[]"}, "must be an Avro record"),
        ({"schema": '{"type": "record", "name": "x", "fields": [{}]}'}, "must be a name"),
        ({"schema": '{"type": "record", "name": "x", "fields": [], "open": true}'}, "/schema/open"),
        ({"schema": '{"type": "record", "name": "x", "fields": [{"name": "y", "type": "bytes"}]}'}, "carries no bytes"),
        ({"schema": json.dumps(DOUBLING)}, "none that event types may have"),
        ({"state": "gone"}, "ValueError"),
        ({"example": ""}, "JSONDecodeError"),
    ],
)
def test_what_defines_nothing_is_unreadable(others: dict[str, Any], said: str) -> None:
    with pytest.raises(UnreadableRecord, match=said):
        event_type_in(encode(replace(DEFINITION, **others)))


def test_fields_that_earlier_versions_had_are_marked_so() -> None:
    schema = json.loads(DEFINITION.schema)
    schema["fields"].append({"name": "old", "type": ["null", "string"], "default": None, "retired": True})
    event_type_in(encode(replace(DEFINITION, schema=json.dumps(schema)))).check({"id": "x", "old": "y"})


@given(records(EventTypeDefinition))
def test_any_record_is_a_type_or_unreadable(definition: EventTypeDefinition) -> None:
    try:
        event_type_in(encode(definition))
    except UnreadableRecord as error:
        assert len(str(error)) < 400  # noqa: PT017 - either way is right
