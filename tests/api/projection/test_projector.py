"""The projector on the real Kafka and the real PostgreSQL: each record once, whatever happens to anybody."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from schemas.records import AttemptState
from tests.api.projection.projecting import (
    Db,
    Stage,
    assert_counts_are_the_rows,
    delivery,
    event,
    outcome,
    running,
    until_count,
)

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


@pytest_asyncio.fixture
async def db(upgraded_url: str) -> AsyncIterator[Db]:
    connection = await asyncpg.connect(upgraded_url)
    yield connection
    await connection.close()


@pytest.fixture
def stage(bootstrap: str, upgraded_url: str) -> Stage:
    return Stage(bootstrap, upgraded_url).create()


async def test_an_event_its_deliveries_and_attempts_become_rows(stage: Stage, db: Db) -> None:
    happened = event()
    good, bad = (delivery(event_id=happened.id) for _ in range(2))
    async with running(stage.projector()):
        stage.put(happened, good, bad, outcome(good), outcome(bad, AttemptState.RETRYING))
        await until_count(db, "attempts", 2)
    row = await db.fetchrow("SELECT * FROM events")
    assert row is not None
    assert (row["id"], row["type"], row["organization_id"]) == (happened.id, happened.type, happened.organization_id)
    states = {row["id"]: (row["state"], row["attempts"]) for row in await db.fetch("SELECT * FROM deliveries")}
    assert states == {good.id: ("success", 1), bad.id: ("retrying", 1)}
    await assert_counts_are_the_rows(db)
