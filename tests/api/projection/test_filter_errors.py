"""What filters did wrong: counted once, of subscriptions that still have these filters."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import asyncpg
import pytest
import pytest_asyncio

from api.projection.reading import FilterErrorsSeen, Poison, Topics, seen_in
from api.projection.storable import LATEST, LONGEST_TEXT, MOST_FAILURES
from schemas.codec import encode
from schemas.ids import OrganizationId, SubscriptionId, new_event_id, new_subscription_id
from schemas.records import FilterErrors
from schemas.topics import FILTER_ERRORS
from tests.api.projection.projecting import ORGANIZATION, Db, Stage, event, running, until_count
from tests.api.projection.test_behind import INSERT, fetched

NOW = datetime(2026, 11, 22, 1, 2, 3, tzinfo=UTC)


def failed(of: SubscriptionId, *, version: int = 1, count: int = 1, error: str = "no such key") -> FilterErrors:
    return FilterErrors(
        subscription_id=of,
        organization_id=ORGANIZATION,
        subscription_version=version,
        count=count,
        error=error,
        event_id=new_event_id(),
        at=NOW,
    )


@pytest_asyncio.fixture
async def db(upgraded_url: str) -> AsyncIterator[Db]:
    connection = await asyncpg.connect(upgraded_url)
    yield connection
    await connection.close()


def test_what_another_client_writes_is_made_storable_or_refused() -> None:
    good = failed(new_subscription_id())
    odd = replace(good, count=1 << 62, error="\x00" * 9000, at=datetime.max.replace(tzinfo=UTC))
    seen = seen_in(replace(fetched(encode(odd)), topic=FILTER_ERRORS), Topics())
    assert isinstance(seen, FilterErrorsSeen)
    assert (seen.errors.count, len(seen.errors.error), seen.errors.at) == (MOST_FAILURES, LONGEST_TEXT, LATEST)
    assert "\x00" not in seen.errors.error
    for bad in (
        replace(good, subscription_id=SubscriptionId("sub_1")),
        replace(good, organization_id=OrganizationId("")),
    ):
        assert isinstance(seen_in(replace(fetched(encode(bad)), topic=FILTER_ERRORS), Topics()), Poison)
    assert isinstance(seen_in(replace(fetched(None), topic=FILTER_ERRORS), Topics()), Poison)


@pytest.mark.kafka
@pytest.mark.postgres
async def test_failures_add_up_once_by_version(bootstrap: str, upgraded_url: str, db: Db) -> None:
    stage = Stage(bootstrap, upgraded_url).create()
    own, changed, gone, foreign = (new_subscription_id() for _ in range(4))
    for each, organization in ((own, ORGANIZATION), (changed, ORGANIZATION), (foreign, "org_2")):
        await db.execute(INSERT, each, organization)
    await db.execute("UPDATE subscriptions SET filters_version = 5 WHERE id = $1", changed)
    last = failed(own, count=3, error="the last one")
    stage.put(failed(own, count=2), last, failed(own, version=2), failed(changed, version=4), failed(gone))
    stage.put(failed(foreign), failed(changed, version=5))
    stage.put_raw(stage.topics.filter_errors, b"no Avro")
    async with running(stage.projector()):
        await until_count(db, "filter_errors", 3)
        await until_count(db, "quarantine", 1)
    # Read again from the beginning by another one: nothing is counted twice.
    stage.put(happened := event())
    async with running(stage.projector(group="another")):
        await until_count(db, "events", 1, where=f"id = '{happened.id}'")
    rows = await db.fetch("SELECT * FROM filter_errors ORDER BY subscription_version")
    assert [(row["subscription_id"], row["subscription_version"], row["count"]) for row in rows] == [
        (own, 1, 5),
        (own, 2, 1),
        (changed, 5, 1),
    ]
    assert (rows[0]["last_error"], rows[0]["last_event_id"], rows[0]["last_at"]) == ("the last one", last.event_id, NOW)
    assert await db.fetchval("SELECT source FROM events WHERE id = $1", happened.id) is None


@pytest.mark.kafka
@pytest.mark.postgres
async def test_an_events_source_is_kept_without_what_cannot_be(bootstrap: str, upgraded_url: str, db: Db) -> None:
    stage = Stage(bootstrap, upgraded_url).create()
    stage.put(event(source="/services/users"), event(source="a\x00b"))
    async with running(stage.projector()):
        await until_count(db, "events", 2)
    assert {row["source"] for row in await db.fetch("SELECT source FROM events")} == {"/services/users", "a\ufffdb"}
