"""An event that hundreds of subscriptions want is asked about piece by piece: loop and memory are others', too."""

import asyncio

import pytest

from api.replays import estimating
from api.replays.estimating import estimated
from api.replays.log_bounds import bounds_of, by_time
from api.replays.log_reading import PastEvent
from api.replays.log_replay import LogReplay
from api.replays.stored_events import Window
from api.replays.tables import ReplayRow
from api.replays.wanting import Wanting
from schemas.records import Subscription
from schemas.topics import REPLAY
from tests.api.reading import ensure_topic
from tests.api.replays.log_events import EventLog
from tests.api.replays.logged import Log, minutes_ago
from tests.api.replays.test_log_kills import workshop_of

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]

EVENTS = 50
SUBSCRIPTIONS = 300


async def subscribe(log: Log) -> None:
    first = await log.subscription()
    [columns] = await log.run(
        "SELECT string_agg(quote_ident(column_name), ',') AS names FROM information_schema.columns"
        " WHERE table_name = 'subscriptions' AND column_name <> 'id' AND is_generated = 'NEVER'"
    )
    copied = f"""INSERT INTO subscriptions (id, {columns["names"]})
        SELECT 'sub_019a9f2b6c7d7e8f9a0b' || lpad(number::text, 12, '0'), {columns["names"]}
        FROM subscriptions, generate_series(2, {SUBSCRIPTIONS}) AS number WHERE id = :first"""
    await log.run(copied, first=first)


class Counted(Wanting):
    """Counts the events about which it was asked."""

    asked = 0

    def wanting(self, past: PastEvent) -> list[Subscription]:
        self.asked += 1
        return super().wanting(past)


async def test_an_estimate_lets_others_have_their_turn_between_any_two_events(
    log: Log, events: EventLog, bootstrap: str
) -> None:
    await events.publish(EVENTS, key="one")
    await subscribe(log)
    bounds = await bounds_of({"bootstrap.servers": bootstrap}, None, None, topic=events.topic)
    window = Window(organization_id=log.organization_id, since=None, until=None, event_types=None)
    wanting = Counted(ReplayRow(organization_id=log.organization_id))
    seen = set()

    async def watch() -> None:
        while True:
            seen.add(wanting.asked)
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    async with log.transaction() as db:
        found = await estimated(db, window, by_time(bounds), bounds.low, wanting)
    watching.cancel()
    assert found.types["user.created"].sent == EVENTS * SUBSCRIPTIONS
    assert seen >= set(range(EVENTS))


async def test_an_estimate_ends_after_a_while_and_says_so(
    log: Log, events: EventLog, bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimating, "LONGEST_S", 0.0)
    await events.publish(EVENTS, key="one")
    await subscribe(log)
    bounds = await bounds_of({"bootstrap.servers": bootstrap}, None, None, topic=events.topic)
    window = Window(organization_id=log.organization_id, since=None, until=None, event_types=None)
    wanting = Counted(ReplayRow(organization_id=log.organization_id))
    async with log.transaction() as db:
        found = await estimated(db, window, by_time(bounds), bounds.low, wanting)
    assert wanting.asked == 1
    assert (round(found.types["user.created"].sent), found.is_estimate) == (EVENTS * SUBSCRIPTIONS, True)


async def test_a_replay_holds_no_more_deliveries_than_it_makes_items_of_at_once(
    log: Log, events: EventLog, bootstrap: str
) -> None:
    ensure_topic(bootstrap, REPLAY)
    await events.publish(EVENTS)
    await subscribe(log)
    replay_id = await events.asked(since=minutes_ago(5), rate_per_s=1e6)
    async with workshop_of(log, bootstrap, events.topic) as workshop:
        replay = LogReplay(replay_id, workshop)
        held = 0
        while not await replay.step():
            held = max(held, len(replay._read) + len(replay._ready))
        replay.close()
    assert held <= 1000 + SUBSCRIPTIONS
    [row] = await log.run("SELECT * FROM replays WHERE id = :id", id=replay_id)
    items = await log.items(replay_id)
    assert (len(items), {state for state, _ in items.values()}) == (EVENTS * SUBSCRIPTIONS, {"sent"})
    assert (row["state"], row["log_read"]) == ("finishing", EVENTS)
