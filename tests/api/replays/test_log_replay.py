"""A replay of the log on the real PostgreSQL and the real Kafka: what was there arrives, in its order, whoever dies."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from confluent_kafka import Consumer

from api.replays.estimating import estimated
from api.replays.log_bounds import bounds_of, by_time
from api.replays.stored_events import Window, with_stored_begin
from api.replays.tables import ReplayRow
from api.replays.wanting import Wanting
from schemas.envelope import body_of
from schemas.ids import SubscriptionId, delivery_id_of
from schemas.records import Position
from schemas.topics import EVENTS
from tests.api.replays.log_events import EventLog, Published
from tests.api.replays.logged import Log, minutes_ago
from tests.api.replays.running import Arrival, arrivals, outcomes, replay_when, running

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]


def by_key(found: Sequence[Arrival]) -> dict[str | None, list[int]]:
    """Return the sequence numbers of each key in the order in which they came."""
    keys = defaultdict(list)
    for each in found:
        keys[each.delivery.key].append(each.delivery.sequence)
    return dict(keys)


def in_log_order(published: Sequence[Published]) -> dict[str | None, list[int]]:
    keys = defaultdict(list)
    for each in sorted(published, key=lambda each: (each.partition, each.offset)):
        keys[each.event.key].append(each.offset)
    return dict(keys)


async def test_a_subscription_made_today_gets_yesterday_in_the_order_of_the_log(
    log: Log, events: EventLog, upgraded_url: str, bootstrap: str, replayed: Consumer
) -> None:
    published = await events.publish(60)
    subscription_id = await log.subscription(version=7)
    async with running(upgraded_url, bootstrap, events_topic=events.topic):
        replay_id = await events.asked(since=minutes_ago(5), subscription_id=subscription_id)
        later = await events.publish(3)
        found = await arrivals(replayed, replay_id, 60)
        row = await replay_when(log, replay_id, state="finishing", sent=60)
        assert (row["total"], row["log_total"], row["log_read"]) == (60, 60, 60)
        await outcomes(log, replay_id)
        await replay_when(log, replay_id, state="completed", succeeded=60)
    assert by_key(found) == in_log_order(published)
    assert {each.delivery.event_id for each in found}.isdisjoint({each.event.id for each in later})
    first, one = found[0].delivery, {each.event.id: each for each in published}[found[0].delivery.event_id]
    assert first.id == delivery_id_of(one.event.id, SubscriptionId(subscription_id), appended_at=one.at)
    assert first.body == body_of(one.event)
    assert (first.round, first.attempt, first.subscription_version) == (replay_id, 1, 7)
    assert first.event_position == Position(topic=EVENTS, partition=one.partition, offset=one.offset)
    assert {each.key for each in found} == {subscription_id.encode()}


async def test_what_kafka_forgot_comes_from_the_stored_bodies_and_the_rest_from_kafka(
    log: Log, events: EventLog, upgraded_url: str, bootstrap: str, replayed: Consumer
) -> None:
    published = await events.publish(250)
    unstored = await events.publish(30, store=False)
    events.forget({each.partition: 60 for each in published})
    subscription_id = await log.subscription()
    async with running(upgraded_url, bootstrap, events_topic=events.topic):
        replay_id = await events.asked(since=minutes_ago(5), subscription_id=subscription_id)
        found = await arrivals(replayed, replay_id, 280)
        await replay_when(log, replay_id, state="finishing", sent=280)
    assert by_key(found) == in_log_order([*published, *unstored])
    bodies = {each.event.id: body_of(each.event) for each in [*published, *unstored]}
    assert {each.delivery.event_id: each.delivery.body for each in found} == bodies


async def test_retention_that_comes_in_the_middle_takes_nothing_away(
    log: Log, events: EventLog, upgraded_url: str, bootstrap: str, replayed: Consumer
) -> None:
    published = await events.publish(900, key="one")
    number = published[0].partition
    await log.subscription()
    async with running(upgraded_url, bootstrap, events_topic=events.topic):
        replay_id = await events.asked(since=minutes_ago(5), rate_per_s=100.0)
        found = await arrivals(replayed, replay_id, 5)
    events.forget({number: 850})
    await log.run("UPDATE replays SET rate_per_s = 1000 WHERE id = :id", id=replay_id)
    async with running(upgraded_url, bootstrap, events_topic=events.topic):
        found += await arrivals(replayed, replay_id, 900 - len(found))
        row = await replay_when(log, replay_id, state="finishing")
    assert [each.delivery.sequence for each in found] == [each.offset for each in published]
    assert row["log_read"] == row["log_total"] == 900


async def test_only_what_was_asked_for_goes_to_who_wants_it(
    log: Log, events: EventLog, upgraded_url: str, bootstrap: str, replayed: Consumer
) -> None:
    await events.publish(5)
    await asyncio.sleep(0.01)
    since = datetime.now(UTC)
    await asyncio.sleep(0.01)
    wanted = await events.publish(4)
    await events.publish(6, type="user.deleted")
    await events.publish(7, organization_id="org_another")
    until = datetime.now(UTC) + timedelta(milliseconds=1)
    everything, created, deleted = [await log.subscription() for _ in range(3)]
    await log.run("UPDATE subscriptions SET event_types = '{user.created}' WHERE id = :id", id=created)
    await log.run("UPDATE subscriptions SET event_types = '{user.deleted}' WHERE id = :id", id=deleted)
    async with running(upgraded_url, bootstrap, events_topic=events.topic):
        replay_id = await events.asked(since=since, until=until, event_types=["user.created"])
        row = await replay_when(log, replay_id, state="finishing", sent=8)
        found = await arrivals(replayed, replay_id, 8)
    assert row["total"] == 8
    assert {(each.delivery.event_id, each.delivery.subscription_id) for each in found} == {
        (each.event.id, subscription) for each in wanted for subscription in (everything, created)
    }


async def test_disabled_ones_are_held_and_a_deleted_one_ends_the_replay(
    log: Log, events: EventLog, upgraded_url: str, bootstrap: str, replayed: Consumer
) -> None:
    await events.publish(4)
    disabled = await log.subscription(enabled=False)
    deleted = await log.subscription()
    await log.run("DELETE FROM subscriptions WHERE id = :id", id=deleted)
    async with running(upgraded_url, bootstrap, events_topic=events.topic):
        held = await events.asked(since=minutes_ago(5), subscription_id=disabled)
        gone = await events.asked(since=minutes_ago(5), subscription_id=deleted)
        await replay_when(log, held, state="completed", held=4, sent=0)
        row = await replay_when(log, gone, state="completed")
    assert set((await log.items(held)).values()) == {("held", "the subscription is disabled")}
    assert (row["error"], row["total"]) == ("the subscription was deleted", 0)


async def test_a_log_that_was_made_anew_ends_the_replay(
    log: Log, events: EventLog, upgraded_url: str, bootstrap: str, replayed: Consumer
) -> None:
    published = await events.publish(5, key="one")
    await log.subscription()
    number = str(published[0].partition)
    async with running(upgraded_url, bootstrap, events_topic=events.topic):
        beyond = await events.asked(positions={number: [100, 100, 200, 0]}, log_total=100, log_read=0)
        row = await replay_when(log, beyond, state="completed", total=0)
        assert "was made anew" in row["error"]
        shorter = await events.asked(positions={number: [0, 2, 200, 0]}, log_total=200, log_read=2)
        row = await replay_when(log, shorter, state="completed", total=0)
        assert "was made anew" in row["error"]


async def test_a_paused_replay_sends_nothing_until_it_is_resumed(
    log: Log, events: EventLog, upgraded_url: str, bootstrap: str, replayed: Consumer
) -> None:
    published = await events.publish(120)
    await log.subscription()
    async with running(upgraded_url, bootstrap, events_topic=events.topic):
        replay_id = await events.asked(since=minutes_ago(5), rate_per_s=50.0)
        found = await arrivals(replayed, replay_id, 5)
        await log.run("UPDATE replays SET state = 'paused' WHERE id = :id", id=replay_id)  # waits for the batch
        [paused] = await log.run("SELECT count(*) AS sent FROM replay_items WHERE sent_at IS NOT NULL")
    async with running(upgraded_url, bootstrap, events_topic=events.topic):  # a pause outlasts restarts
        found += await arrivals(replayed, replay_id, paused["sent"] - len(found))
        assert len(found) == paused["sent"] < 120
        await log.run("UPDATE replays SET state = 'running', rate_per_s = 1000 WHERE id = :id", id=replay_id)
        found += await arrivals(replayed, replay_id, 120 - len(found))
        await replay_when(log, replay_id, state="finishing", sent=120)
    assert by_key(found) == in_log_order(published)


async def test_a_filter_sees_the_same_in_kafka_and_in_stored_bodies(
    log: Log, events: EventLog, upgraded_url: str, bootstrap: str, replayed: Consumer
) -> None:
    published = await events.publish(30)  # keys k0, k1, k2 in turn, which are their subjects
    events.forget({each.partition: 4 for each in published})
    await log.subscription()
    filters = '[{"exact":{"subject":"k1"}},{"cel":"int(data.id) < 20"}]'
    async with running(upgraded_url, bootstrap, events_topic=events.topic):
        replay_id = await events.asked(since=minutes_ago(5), filters=filters)
        found = await arrivals(replayed, replay_id, 7)
        row = await replay_when(log, replay_id, state="finishing", sent=7)
    assert row["total"] == 7
    data = {each.event.id: orjson.loads(each.event.data)["id"] for each in published}
    assert {data[each.delivery.event_id] for each in found} == {"1", "4", "7", "10", "13", "16", "19"}


async def test_an_estimate_says_what_kafka_has_no_more(log: Log, events: EventLog, bootstrap: str) -> None:
    published = await events.publish(30)
    events.forget({each.partition: 4 for each in published})
    forgotten = sum(each.offset < 4 for each in published)
    await log.subscription()
    since = minutes_ago(5)
    bounds = await bounds_of({"bootstrap.servers": bootstrap}, since, None, topic=events.topic)
    window = Window(organization_id=log.organization_id, since=since, until=None, event_types=None)
    wanting = Wanting(ReplayRow(organization_id=log.organization_id))
    async with log.transaction() as db:
        positions = await with_stored_begin(db, window, by_time(bounds))
        found = await estimated(db, window, positions, bounds.low, wanting)
        later = await estimated(
            db,
            replace(window, since=datetime.now(UTC)),
            positions,
            bounds.low,
            Wanting(ReplayRow(organization_id=log.organization_id)),
        )
    assert (found.stored_events, found.types["user.created"].sent, found.is_estimate) == (forgotten, 30, False)
    assert later.stored_events == 0  # of what Kafka forgot, the event's own time says whether it is meant
