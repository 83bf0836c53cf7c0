"""The tables' migrations (Alembic), and how to run them from code: no `alembic.ini` is needed."""

from collections.abc import Callable
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

NOTHING: Final = "base"  # Alembic's name for a database that was never upgraded
_LOCK: Final = 0x686F6F6B_6D696772  # "hookmigr", any number that nobody else uses


async def upgrade(database_url: str, revision: str = "head") -> str:
    """Bring the database to a later revision, the newest one, and return the newest one's name.

    All in one transaction: it is done or it is not. Two at once wait for each other, the second one finds nothing to
    do. Raises what asyncpg and SQLAlchemy raise.
    """
    await _migrate(database_url, lambda config: command.upgrade(config, revision))
    return head_revision()


async def downgrade(database_url: str, revision: str) -> None:
    """Take the database back to an earlier revision, in one transaction: what only later ones keep is lost.

    `NOTHING` takes all of it: the tables, not the role of migration 0006, which other databases may use.
    """
    await _migrate(database_url, lambda config: command.downgrade(config, revision))


async def _migrate(database_url: str, move: Callable[[Config], None]) -> None:
    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(database_url.replace("postgresql+asyncpg://", "postgresql://", 1), timeout=10)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            await connection.run_sync(_on_connection, move)
    finally:
        await engine.dispose()


def known_revisions() -> list[str]:
    """Return the revisions that this release knows, oldest first."""
    scripts = ScriptDirectory.from_config(_config()).walk_revisions()
    return [script.revision for script in scripts][::-1]


def head_revision() -> str:
    """Return the newest revision that this release knows."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


async def current_revision(connection: AsyncConnection) -> str | None:
    """Return the database's revision; None when it was never upgraded."""
    return await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())


def _on_connection(connection: Connection, move: Callable[[Config], None]) -> None:
    config = _config()
    config.attributes["connection"] = connection
    move(config)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
