"""The tables' migrations (Alembic), and how to run them from code: no `alembic.ini` is needed."""

from pathlib import Path
from typing import Final

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

_LOCK: Final = 0x686F6F6B_6D696772  # "hookmigr", any number that nobody else uses


async def upgrade(database_url: str) -> str:
    """Bring the database to the newest revision and return its name.

    All in one transaction: it is done or it is not. Two at once wait for each other, the second one finds nothing to
    do. Raises what asyncpg and SQLAlchemy raise.
    """

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(database_url.replace("postgresql+asyncpg://", "postgresql://", 1), timeout=10)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()
    return head_revision()


def head_revision() -> str:
    """Return the newest revision that this release knows."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


async def current_revision(connection: AsyncConnection) -> str | None:
    """Return the database's revision; None when it was never upgraded."""
    return await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
