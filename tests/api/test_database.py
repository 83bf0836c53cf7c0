"""PostgreSQL away is told apart from a statement of ours that is wrong."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from api.database import DatabaseAway, engine_of, statements_of, transaction_of
from api.settings import ApiSettings
from tests.api.conftest import NO_DATABASE_URL, settings_of

CUT = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE application_name LIKE 'hookline-api%' AND datname = current_database()"""
STATE_OF = "SELECT state FROM pg_stat_activity WHERE pid = $1"


@pytest_asyncio.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = engine_of(patient(database_url))
    yield engine
    await engine.dispose()


def patient(database_url: str) -> ApiSettings:
    return settings_of(database_url, database_connections=1, database_wait_s=0.5, database_query_s=0.5)


async def cut(database_url: str) -> None:
    other = await asyncpg.connect(database_url)
    await other.execute(CUT)
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


async def test_statements_when_nobody_is_there() -> None:
    async with statements_of(settings_of(NO_DATABASE_URL)) as statements:
        with pytest.raises(DatabaseAway):
            await statements.fetch("SELECT 1")


@pytest.mark.postgres
async def test_each_statement_is_committed(database_url: str, engine: AsyncEngine) -> None:
    async with statements_of(patient(database_url)) as statements:
        await statements.fetch("CREATE TABLE kept (n int)")
        [row] = await statements.fetch("INSERT INTO kept VALUES ($1) RETURNING n", 1)
        assert row["n"] == 1
        async with transaction_of(engine) as db:
            assert (await db.execute(text("SELECT n FROM kept"))).scalars().all() == [1]


@pytest.mark.postgres
async def test_statements_after_a_cut_a_delay_and_our_own_mistake(database_url: str) -> None:
    """Each leaves the one connection, or a new one, for the next."""
    async with statements_of(patient(database_url)) as statements:
        await statements.fetch("SELECT 1")
        await cut(database_url)
        with suppress(DatabaseAway):  # unless it has heard of the cut already
            await statements.fetch("SELECT 1")
        await statements.fetch("SELECT 1")
        with pytest.raises(DatabaseAway):
            await statements.fetch("SELECT pg_terminate_backend(pg_backend_pid())")
        with pytest.raises(DatabaseAway):
            await statements.fetch("SELECT pg_sleep(5)")
        with pytest.raises(asyncpg.UndefinedColumnError):
            await statements.fetch("SELECT no_such_column")
        assert len(await statements.fetch("SELECT 1")) == 1


@pytest.mark.postgres
async def test_statements_wait_for_a_connection_only_so_long(database_url: str) -> None:
    settings = patient(database_url).model_copy(update={"database_query_s": 5.0})
    async with statements_of(settings) as statements:
        sleeping = asyncio.create_task(statements.fetch("SELECT pg_sleep(1.5)"))
        await asyncio.sleep(0)
        with pytest.raises(DatabaseAway):
            await statements.fetch("SELECT 1")
        await sleeping


@pytest.mark.postgres
async def test_a_statement_under_way_that_is_cut(database_url: str) -> None:
    settings = patient(database_url).model_copy(update={"database_query_s": 20.0})
    async with statements_of(settings) as statements:
        [row] = await statements.fetch("SELECT pg_backend_pid()")
        sleeping = asyncio.create_task(statements.fetch("SELECT pg_sleep(15)"))
        other = await asyncpg.connect(database_url)
        while await other.fetchval(STATE_OF, row[0]) != "active":  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.02)
        await other.execute("SELECT pg_terminate_backend($1)", row[0])
        await other.close()
        with pytest.raises(DatabaseAway):
            await sleeping


@pytest.mark.postgres
async def test_statements_when_postgresql_takes_no_more_connections(database_url: str) -> None:
    name, parts = f"limited_{uuid4().hex}", urlsplit(database_url)
    limited_url = urlunsplit(parts._replace(netloc=f"{name}:limited@{parts.hostname}:{parts.port}"))
    other = await asyncpg.connect(database_url)
    await other.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'limited' CONNECTION LIMIT 0")
    try:
        async with statements_of(patient(limited_url)) as statements:
            with pytest.raises(DatabaseAway) as raised:
                await statements.fetch("SELECT 1")
    finally:
        await other.execute(f"DROP ROLE {name}")
        await other.close()
    assert isinstance(raised.value.__cause__, asyncpg.TooManyConnectionsError)
