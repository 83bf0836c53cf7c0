"""What routing refuses, a replay of the log does not send either: other Kafka clients write what they like."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from confluent_kafka import Consumer

from api.credentials import Caller, CredentialKind
from api.event_types import changes
from api.event_types.tables import EventTypeRow, event_type_to_change
from api.event_types.writing_bodies import EventTypePatch, NewEventType
from api.organizations.tables import OrganizationRow
from api.replays.log_reading import PastEvent
from api.replays.tables import ReplayRow
from api.replays.wanting import Wanting
from schemas.envelope import new_event
from schemas.ids import OrganizationId
from tests.api.replays.log_events import EventLog
from tests.api.replays.logged import Log, minutes_ago
from tests.api.replays.running import arrivals, replay_when, running

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "a type that nobody defined": ({"type": "made.up"}, "unknown event type 'made.up'"),
    "data that does not fit": ({"data": b'{"id":"u","nope":1}'}, "user.created has no such field"),
    "a name that PostgreSQL keeps no text of": (
        {"data": b'{"id":"u","a\\u0000b":1}'},
        "user.created has no such field",
    ),
    "a name as long as the event": ({"data": b'{"id":"u","' + b"x" * 500_000 + b'":1}'}, "/data/xxxx"),
    "data that is no object": ({"data": b"[]"}, "must be a JSON object"),
    "data that is no JSON": ({"data": b"{"}, "is not JSON"),
    # Its record is a megabyte, and its body, in which each number is written out, more than a topic takes.
    "a body that no topic takes": ({"metadata": b'{"n":[' + b"1E5," * 250_000 + b"1E5]}"}, "at most 1,048,576"),
}


@pytest.mark.parametrize("from_kafka", [True, False])
async def test_what_routing_refuses_is_skipped_with_why_and_the_rest_is_sent(  # noqa: PLR0917 - fixtures
    from_kafka: bool, log: Log, events: EventLog, upgraded_url: str, bootstrap: str, replayed: Consumer
) -> None:
    def one() -> Any:
        return new_event(type="user.created", organization_id=log.organization_id, data={"id": "u"}, key="one")

    storable = {name: case for name, case in BROKEN.items() if from_kafka or "is no" not in name}
    broken = {replace(one(), **fields): why for fields, why in storable.values()}
    good = [one(), one()]
    published = await events.write([good[0], *broken, good[1]], store=not from_kafka)
    if not from_kafka:
        events.forget({each.partition: published[-1].offset + 1 for each in published})
    await log.subscription()
    async with running(upgraded_url, bootstrap, events_topic=events.topic):
        replay_id = await events.asked(since=minutes_ago(5))
        found = await arrivals(replayed, replay_id, 2)
        await replay_when(log, replay_id, state="finishing", total=len(published))
    assert [each.delivery.event_id for each in found] == [each.id for each in good]
    rows = await log.run("SELECT event_id, state, detail FROM replay_items WHERE replay_id = :id", id=replay_id)
    items = {row["event_id"]: (row["state"], row["detail"]) for row in rows}
    for event, why in broken.items():
        state, detail = items[event.id]
        assert state == "skipped"
        assert why in detail


async def test_fields_of_an_earlier_version_are_masked_as_ever(
    log: Log, events: EventLog, upgraded_url: str, bootstrap: str, replayed: Consumer
) -> None:
    organization = OrganizationId(log.organization_id)
    caller = Caller(
        organization_id=organization, name="n", kind=CredentialKind.API_TOKEN, id="i", permissions=frozenset()
    )
    order = {"name": "order_id", "type": "string"}
    pin = {"name": "pin", "type": ["null", "string"], "default": None, "sensitivity": "secret"}
    phone = {**pin, "name": "phone", "sensitivity": "personal"}

    def schema(*fields: Any) -> dict[str, Any]:
        return {"type": "record", "name": "shipped", "fields": [*fields]}

    name, example = "order.shipped", {"order_id": "o"}
    async with log.transaction() as db:
        now = datetime.now(UTC)
        db.add(OrganizationRow(id=organization, version=1, name="o", created_at=now, updated_at=now))
        await db.flush()
        given = {"name": name, "description": "d", "schema": schema(order, pin, phone), "example": example}
        await changes.create(db, caller, NewEventType.model_validate(given), most=1)
    async with log.transaction() as db:
        row = await event_type_to_change(db, organization, name)
        assert row is not None
        await changes.change(db, caller, row, EventTypePatch.model_validate({"schema": schema(order)}))
    event = new_event(type="user.created", organization_id=organization, data={"id": "u"})
    event = replace(event, type=name, data=b'{"order_id":"o","pin":"1234","phone":"5678"}')
    await events.write([event], store=False)  # by a client that masks nothing
    subscription_id = await log.subscription()
    statement = "UPDATE subscriptions SET payload = CAST(:payload AS jsonb) WHERE id = :id"
    await log.run(statement, payload='{"mask":["personal"]}', id=subscription_id)
    async with running(upgraded_url, bootstrap, events_topic=events.topic):
        replay_id = await events.asked(since=minutes_ago(5))
        [found] = await arrivals(replayed, replay_id, 1)
    assert orjson.loads(found.delivery.body)["data"] == {"order_id": "o", "pin": "***", "phone": "***"}
    past = PastEvent(event=event, at=event.created_at, partition=0, offset=0, traceparent=None)
    for guess, is_wanted in (("1234", False), ("***", True)):  # no filter sees it either
        filters = f'[{{"cel":"data.pin == \\"{guess}\\""}}]'
        await log.run(
            "UPDATE subscriptions SET filters = CAST(:filters AS jsonb) WHERE id = :id",
            filters=filters,
            id=subscription_id,
        )
        wanting = Wanting(ReplayRow(organization_id=log.organization_id))
        async with log.transaction() as db:
            await wanting.refresh(db)
        assert bool(wanting.wanting(past)) is is_wanted


async def test_an_own_type_that_a_later_release_has_too_is_replayed_as_it_was_routed(
    log: Log, events: EventLog, upgraded_url: str, bootstrap: str, replayed: Consumer
) -> None:
    now, schema = datetime.now(UTC), '{"type":"record","name":"created","fields":[{"name":"pin","type":"string"}]}'
    async with log.transaction() as db:
        db.add(OrganizationRow(id=log.organization_id, version=1, name="o", created_at=now, updated_at=now))
        await db.flush()
        row = EventTypeRow(
            organization_id=log.organization_id,
            name="user.created",  # it was free when it was defined
            version=1,
            revision=1,
            state="active",
            category="user",
            description="d",
            owner="o",
            schema=schema,
            accepts=schema.replace('"string"', '"string","sensitivity":"secret"'),
            example='{"pin":"x"}',
            created_at=now,
            updated_at=now,
        )
        db.add(row)
    event = new_event(type="user.created", organization_id=log.organization_id, data={"id": "u"})
    await events.write([replace(event, data=b'{"pin":"1234"}')], store=False)
    await log.subscription()
    async with running(upgraded_url, bootstrap, events_topic=events.topic):
        replay_id = await events.asked(since=minutes_ago(5))
        [found] = await arrivals(replayed, replay_id, 1)
    assert orjson.loads(found.delivery.body)["data"] == {"pin": "***"}
