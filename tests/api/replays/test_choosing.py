"""What a replay takes: the count and the set are the same, and only what was asked for is in them."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from api.replays.choosing import Choice, chosen_after, count_of
from schemas.ids import made_at
from tests.api.replays.logged import Log, log_of

pytestmark = pytest.mark.postgres

SOON = timedelta(minutes=1)


@pytest_asyncio.fixture
async def log(shared_url: str) -> AsyncIterator[Log]:
    async with log_of(shared_url) as log:
        yield log


def choice(log: Log, **fields: Any) -> Choice:
    everything = Choice(
        organization_id=log.organization_id,
        subscription_id=None,
        event_types=None,
        state=None,
        since=None,
        until=None,
        asked_at=datetime.now(UTC),
    )
    return replace(everything, **fields)


async def taken(log: Log, wanted: Choice) -> set[str]:
    """Return the ids of what is taken, read two at a time, after checking that the count says the same."""
    found: list[str] = []
    async with log.transaction() as db:
        while page := await chosen_after(db, wanted, after=found[-1] if found else "", limit=2):
            found += [each.id for each in page]
        assert found == sorted(set(found))
        assert len(found) == await count_of(db, wanted)
    return set(found)


async def test_only_what_has_ended_is_taken(log: Log) -> None:
    subscription_id = await log.subscription()
    ids = {
        state: await log.delivery(subscription_id, state=state)
        for state in ("pending", "retrying", "success", "failed", "held")
    }
    await log.delivery(subscription_id, is_test=True)
    assert await taken(log, choice(log)) == {ids["success"], ids["failed"], ids["held"]}
    for state in ("success", "failed", "held"):
        assert await taken(log, choice(log, state=state)) == {ids[state]}


async def test_another_organizations_are_never_taken(log: Log) -> None:
    subscription_id = await log.subscription()
    await log.delivery(subscription_id)
    assert await taken(log, choice(log, organization_id="org_other", subscription_id=subscription_id)) == set()


async def test_one_subscriptions_are_taken(log: Log) -> None:
    first, second = await log.subscription(), await log.subscription()
    ids = await log.deliveries(first, 5)
    await log.deliveries(second, 2)
    assert await taken(log, choice(log, subscription_id=first)) == set(ids)


@pytest.mark.parametrize(
    ("patterns", "types"),
    [
        (["user.created"], {"user.created"}),
        (["user.*"], {"user.created", "user.deleted"}),
        (["user.*", "task.completed"], {"user.created", "user.deleted", "task.completed"}),
        (["mfa.recovery_codes_generated"], set()),
        (["nothing.%", "us_r.*"], set()),  # neither is a wildcard of ours
        (["*"], {"user.created", "user.deleted", "users.created", "task.completed"}),
    ],
)
async def test_types_are_named_or_matched(log: Log, patterns: list[str], types: set[str]) -> None:
    subscription_id = await log.subscription()
    ids = {
        name: await log.delivery(subscription_id, event_type=name)
        for name in ("user.created", "user.deleted", "users.created", "task.completed")
    }
    assert await taken(log, choice(log, event_types=patterns)) == {ids[name] for name in types}


async def test_since_is_the_first_moment_and_until_the_first_that_is_not(log: Log) -> None:
    subscription_id = await log.subscription()
    delivery_id = await log.delivery(subscription_id)
    at = made_at(delivery_id)
    assert await taken(log, choice(log, since=at)) == {delivery_id}
    assert await taken(log, choice(log, since=at + SOON)) == set()
    assert await taken(log, choice(log, until=at)) == set()
    assert await taken(log, choice(log, until=at + SOON)) == {delivery_id}


async def test_what_ends_later_than_the_question_is_not_in_it(log: Log) -> None:
    subscription_id = await log.subscription()
    asked_at = datetime.now(UTC)
    await log.delivery(subscription_id, finished_at=asked_at + SOON)
    ended = await log.delivery(subscription_id, finished_at=asked_at)
    assert await taken(log, choice(log, asked_at=asked_at)) == {ended}
