"""What was queued by a process that died, and nobody wants any more when its events are read again, is ended."""

from datetime import UTC, datetime

import pytest
from confluent_kafka import Consumer

from api.replays.choosing import Chosen
from api.replays.filling import add_items
from api.replays.log_sending import leave_out
from tests.api.replays.log_events import EventLog
from tests.api.replays.logged import Log, minutes_ago
from tests.api.replays.running import arrivals, outcomes, replay_when, running

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]

NOW = datetime.now(UTC)


async def _ended(log: Log, replay_id: str, **wanted: object) -> dict[str, tuple[str, str | None]]:
    await replay_when(log, replay_id, state="finishing")
    await outcomes(log, replay_id)
    row = await replay_when(log, replay_id, state="completed", **wanted)
    items = await log.items(replay_id)
    assert row["succeeded"] + row["skipped"] == len(items) == row["total"]
    return items


async def test_what_a_deleted_subscription_would_have_got_is_skipped(
    log: Log, events: EventLog, upgraded_url: str, bootstrap: str, replayed: Consumer
) -> None:
    await events.publish(60)
    stays, goes = await log.subscription(), await log.subscription()
    async with running(upgraded_url, bootstrap, events_topic=events.topic):
        replay_id = await events.asked(since=minutes_ago(5), rate_per_s=4.0)
        await arrivals(replayed, replay_id, 5)
    await log.run("DELETE FROM subscriptions WHERE id = :id", id=goes)
    await log.run("UPDATE replays SET rate_per_s = 1000 WHERE id = :id", id=replay_id)
    async with running(upgraded_url, bootstrap, events_topic=events.topic):
        await _ended(log, replay_id)
    rows = await log.run("SELECT subscription_id, state, detail FROM replay_items WHERE replay_id = :id", id=replay_id)
    assert {row["state"] for row in rows if row["subscription_id"] == stays} == {"succeeded"}
    assert {(row["state"], row["detail"]) for row in rows if row["subscription_id"] == goes} == {
        ("succeeded", None),
        ("skipped", "its subscription does not want it any more, or the log has it no more"),
    }


async def test_when_the_only_subscription_is_deleted_nothing_stays_queued(
    log: Log, events: EventLog, upgraded_url: str, bootstrap: str, replayed: Consumer
) -> None:
    await events.publish(60)
    subscription_id = await log.subscription()
    async with running(upgraded_url, bootstrap, events_topic=events.topic):
        replay_id = await events.asked(since=minutes_ago(5), subscription_id=subscription_id, rate_per_s=4.0)
        await arrivals(replayed, replay_id, 5)
    await log.run("DELETE FROM subscriptions WHERE id = :id", id=subscription_id)
    async with running(upgraded_url, bootstrap, events_topic=events.topic):
        items = await _ended(log, replay_id, error="the subscription was deleted")
    assert ("skipped", "the subscription was deleted") in items.values()


async def test_what_changed_filters_leave_out_is_skipped_and_can_be_retried(
    log: Log, events: EventLog, upgraded_url: str, bootstrap: str, replayed: Consumer
) -> None:
    await events.publish(60)
    subscription_id = await log.subscription()
    async with running(upgraded_url, bootstrap, events_topic=events.topic):
        replay_id = await events.asked(since=minutes_ago(5), rate_per_s=4.0)
        await arrivals(replayed, replay_id, 5)
        await log.run("UPDATE replays SET state = 'paused' WHERE id = :id", id=replay_id)
    await log.run("UPDATE subscriptions SET event_types = '{user.deleted}' WHERE id = :id", id=subscription_id)
    await log.run("UPDATE replays SET state = 'running' WHERE id = :id", id=replay_id)
    async with running(upgraded_url, bootstrap, events_topic=events.topic):
        await _ended(log, replay_id)
        again = await events.asked(since=minutes_ago(5), rate_per_s=1000.0)
        await replay_when(log, again, state="completed", total=0)


async def test_what_went_out_before_the_kill_is_sent_and_what_was_sent_now_is_left_to_the_projection(log: Log) -> None:
    subscription_id, replay_id = await log.subscription(), await log.replay()
    out = await log.delivery(subscription_id, state="retrying", round=replay_id)
    never, now = await log.delivery(subscription_id), await log.delivery(subscription_id)
    async with log.transaction() as db:
        await add_items(db, replay_id, [Chosen(each, subscription_id, "evt") for each in (out, never, now)], NOW)
    async with log.transaction() as db:
        assert await leave_out(db, replay_id, "why", just_sent=[now]) == 2
    assert await log.items(replay_id) == {out: ("sent", None), never: ("skipped", "why"), now: ("queued", None)}
