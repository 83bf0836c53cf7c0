"""No list and no detail reads a whole table of the log, whatever it is filtered by."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from api.database import engine_of
from bench.log_filling import fill
from bench.log_queries import LARGE, known_in, queries_for
from bench.plans import plans_of, tables_read_whole
from tests.api.conftest import settings_of

pytestmark = pytest.mark.postgres


@pytest_asyncio.fixture
async def engine(upgraded_url: str) -> AsyncIterator[AsyncEngine]:
    """A database of its own with 20,000 attempts over 9 days."""
    await fill(upgraded_url, attempts=20_000, days=9, now=datetime.now(UTC), says=False)
    engine = engine_of(settings_of(upgraded_url))
    yield engine
    await engine.dispose()


async def test_no_query_reads_a_whole_table_of_the_log(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as db:
        queries = queries_for(await known_in(db))
    plans = {name: await plans_of(engine, ask, organization_id=LARGE) for name, ask in queries.items()}
    assert any("current_setting" in plan for each in plans.values() for plan in each)  # row-level security is in them
    read_whole = {name: await tables_read_whole(engine, each) for name, each in plans.items()}
    assert {name: tables for name, tables in read_whole.items() if tables} == {}
