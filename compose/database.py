"""`hookline db`: migrations from the command line, and PostgreSQL's answers in one line when it is away."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

import asyncpg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from api.migrations import NOTHING, current_revision, downgrade, head_revision, known_revisions, upgrade
from producers.postgres import AWAY
from schemas.errors import HooklineError

CONNECT_WITHIN_S = 5.0
_PLAIN = (asyncpg.PostgresError, asyncpg.ClientConfigurationError)  # whose words may be shown
Answer = TypeVar("Answer")


class DatabaseError(HooklineError):
    """The database does not answer, or refuses."""


@dataclass(frozen=True, slots=True)
class Revisions:
    """At which revision the database is, and the newest that this release knows; None: never upgraded."""

    current: str | None
    head: str


def revisions_of(database_url: str) -> Revisions:
    """Return the database's revision and the newest; raises DatabaseError."""
    return asyncio.run(asked(database_url, _revisions))


def upgrade_database(database_url: str) -> Revisions:
    """Bring the database to the newest revision; return where it was and is. Raises DatabaseError."""

    async def upgrading() -> Revisions:
        before = await asked(database_url, _revisions)
        return Revisions(before.current, await translated(database_url, lambda: upgrade(database_url)))

    return asyncio.run(upgrading())


def downgrade_database(database_url: str, revision: str) -> Revisions:
    """Take the database back to `revision`, one that is known; return where it was and is.

    Raises DatabaseError, also when the database is earlier than that, or later than this release.
    """

    async def downgrading() -> Revisions:
        before = (await asked(database_url, _revisions)).current or NOTHING
        order = [NOTHING, *known_revisions()]
        if before not in order:
            raise DatabaseError(
                f"the database is at {before}, which this release does not know: use the one that made it"
            )
        if order.index(before) < order.index(revision):
            raise DatabaseError(f"the database is at {before}, earlier than {revision}: run `hookline db upgrade`")
        await translated(database_url, lambda: downgrade(database_url, revision))
        return Revisions(before, revision)

    return asyncio.run(downgrading())


async def asked(database_url: str, ask: Callable[[AsyncConnection], Awaitable[Answer]]) -> Answer:
    """Return what `ask` finds over a connection of its own; raises DatabaseError."""

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(database_url, timeout=CONNECT_WITHIN_S, command_timeout=CONNECT_WITHIN_S)

    async def answer() -> Answer:
        engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
        try:
            async with engine.connect() as connection:
                return await ask(connection)
        finally:
            await engine.dispose()

    return await translated(database_url, answer)


async def _revisions(connection: AsyncConnection) -> Revisions:
    return Revisions(await current_revision(connection), head_revision())


async def translated(database_url: str, call: Callable[[], Awaitable[Answer]]) -> Answer:
    """Return what `call` does; raises DatabaseError for what PostgreSQL, asyncpg or SQLAlchemy raise."""
    try:
        return await call()
    except (*AWAY, SQLAlchemyError, ValueError) as error:
        # What libraries say may repeat the URL, password included: only the first line, and only of the server's own
        # and of what asyncpg says of a parameter (`sslmode`, a certificate's file).
        said = _said(error)
        raise DatabaseError(f"PostgreSQL at {place_of(database_url)} does not answer as it should: {said}") from error


def _said(error: Exception) -> str:
    wrapped = getattr(error, "orig", None)  # SQLAlchemy's errors wrap asyncpg's, some of them twice
    for cause in (getattr(wrapped, "__cause__", None), wrapped, error):
        if isinstance(cause, asyncpg.UndefinedTableError):
            return f"{str(cause).splitlines()[0]}: run `hookline db upgrade`"
        if isinstance(cause, _PLAIN):
            return str(cause).splitlines()[0]
    return type(error).__name__


def place_of(database_url: str) -> str:
    """Return `host:port/database` of a URL: what may be shown of it."""
    try:
        parts = urlsplit(database_url)
        return f"{parts.hostname or 'its socket'}:{parts.port or 5432}{parts.path}"
    except ValueError:
        return "an address that cannot be read"
