"""The migrations make the tables that the code names, once, however many run."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from api import tables
from api.database import engine_of
from api.migrations import current_revision, head_revision, upgrade
from producers.outbox import metadata as outbox_metadata
from tests.api.conftest import settings_of

pytestmark = pytest.mark.postgres


@pytest_asyncio.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = engine_of(settings_of(database_url))
    yield engine
    await engine.dispose()


async def test_the_tables_are_those_that_the_code_names(engine: AsyncEngine, database_url: str) -> None:
    await upgrade(database_url)

    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        return list(compare_metadata(context, [tables.metadata, outbox_metadata]))  # type: ignore[arg-type] # it takes several

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_a_database_is_at_nothing_and_then_at_the_head(engine: AsyncEngine, database_url: str) -> None:
    async with engine.connect() as connection:
        assert await current_revision(connection) is None
    assert await upgrade(database_url) == head_revision()
    async with engine.connect() as connection:
        assert await current_revision(connection) == head_revision()


async def test_two_at_once_and_a_third_later_do_no_harm(engine: AsyncEngine, database_url: str) -> None:
    await asyncio.gather(upgrade(database_url), upgrade(database_url))
    await upgrade(database_url)
    async with engine.connect() as connection:
        assert await current_revision(connection) == head_revision()
