"""PostgreSQL away is told apart from a statement of ours that is wrong."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from api.database import DatabaseAway, engine_of, transaction_of
from tests.api.conftest import NO_DATABASE_URL, settings_of

CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hookline-api' AND datname = $1"


@pytest_asyncio.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = engine_of(settings_of(database_url, database_connections=1, database_wait_s=0.5, database_query_s=0.5))
    yield engine
    await engine.dispose()


async def cut(database_url: str) -> None:
    other = await asyncpg.connect(database_url)
    await other.execute(CUT.replace("$1", "current_database()"))
    await other.close()


async def test_nobody_there() -> None:
    with pytest.raises(DatabaseAway):
        async with transaction_of(engine_of(settings_of(NO_DATABASE_URL))) as db:
            await db.execute(text("SELECT 1"))


@pytest.mark.postgres
async def test_a_connection_that_was_cut_while_idle_is_replaced(engine: AsyncEngine, database_url: str) -> None:
    async with transaction_of(engine) as db:
        await db.execute(text("SELECT 1"))
    await cut(database_url)
    async with transaction_of(engine) as db:
        await db.execute(text("SELECT 1"))


@pytest.mark.postgres
async def test_a_connection_cut_within_a_transaction(engine: AsyncEngine, database_url: str) -> None:
    async def work() -> None:
        async with transaction_of(engine) as db:
            await db.execute(text("SELECT 1"))
            await cut(database_url)
            await db.execute(text("SELECT 1"))

    with pytest.raises(DatabaseAway):
        await work()


@pytest.mark.postgres
async def test_no_connection_free_in_time(engine: AsyncEngine) -> None:
    async with transaction_of(engine) as db:
        await db.execute(text("SELECT 1"))
        with pytest.raises(DatabaseAway):
            async with transaction_of(engine) as second:
                await second.execute(text("SELECT 1"))


@pytest.mark.postgres
async def test_a_statement_that_takes_too_long(engine: AsyncEngine) -> None:
    with pytest.raises(DatabaseAway):
        async with transaction_of(engine) as db:
            await db.execute(text("SELECT pg_sleep(5)"))


@pytest.mark.postgres
async def test_our_own_mistake_is_not_the_databases(engine: AsyncEngine) -> None:
    with pytest.raises(ProgrammingError):
        async with transaction_of(engine) as db:
            await db.execute(text("SELECT no_such_column"))


@pytest.mark.postgres
async def test_what_raises_is_rolled_back(engine: AsyncEngine) -> None:
    async with transaction_of(engine) as db:
        await db.execute(text("CREATE TABLE kept (n int)"))

    async def work() -> None:
        async with transaction_of(engine) as db:
            await db.execute(text("INSERT INTO kept VALUES (1)"))
            raise LookupError

    with pytest.raises(LookupError):
        await work()
    async with transaction_of(engine) as db:
        assert (await db.execute(text("SELECT count(*) FROM kept"))).scalar_one() == 0
