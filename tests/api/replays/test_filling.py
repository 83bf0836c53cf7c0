"""Two replays that queue the same deliveries at once: each is under way in one of them, and neither breaks off."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from api.replays.choosing import Chosen
from api.replays.filling import add_items
from schemas.ids import SubscriptionId, delivery_id_of, new_event_id
from tests.api.replays.logged import log_of

pytestmark = pytest.mark.postgres


async def test_whatever_order_each_read_them_in_neither_waits_for_the_other_in_a_circle(upgraded_url: str) -> None:
    async with log_of(upgraded_url) as log:
        subscription_id = SubscriptionId(await log.subscription())
        events = [new_event_id() for _ in range(1000)]
        chosen = [Chosen(delivery_id_of(each, subscription_id), subscription_id, each) for each in events]

        async def add(replay_id: str, chosen: Sequence[Chosen]) -> None:
            async with log.transaction() as db:
                await add_items(db, replay_id, chosen, datetime.now(UTC))

        for _ in range(3):
            one, other = await log.replay(), await log.replay()
            await asyncio.gather(add(one, chosen), add(other, chosen[::-1]))
            states = [state for each in (one, other) for state, _ in (await log.items(each)).values()]
            assert sorted(states) == ["queued"] * 1000 + ["skipped"] * 1000
            await log.run("DELETE FROM replay_items")
