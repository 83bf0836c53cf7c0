"""PostgreSQL: the engine, and one transaction a request."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Final, cast

import asyncpg
from fastapi import Depends, Request
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from api.errors import Unavailable
from api.settings import ApiSettings

# Shutting down, starting up, too many connections, and the connection exceptions of the standard's class 08.
_AWAY_STATES: Final = ("57P01", "57P02", "57P03", "53300", "08")
# A plan made before the values are known cannot leave out the days that they leave out, nor use an index that holds only
# some rows; a plan for a few rows of many is not worth compiling.
_PLANNING: Final = {"plan_cache_mode": "force_custom_plan", "jit": "off"}
_AWAY: Final = (OSError, NoConnectionFree, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)


class Base(DeclarativeBase):
    """The tables of the API."""


class DatabaseAway(Unavailable):
    """PostgreSQL does not answer, or not in time."""

    def __init__(self) -> None:
        super().__init__("the database does not answer; nothing was changed, unless the connection broke at the end")


def engine_of(settings: ApiSettings) -> AsyncEngine:
    """Return an engine; it connects when it is first used.

    asyncpg reads the URL itself, so that all of libpq's parameters (sslmode, passfile, sockets) mean what they say.
    """

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(
            settings.database_url,
            timeout=settings.database_wait_s,
            command_timeout=settings.database_query_s,
            server_settings={"application_name": "hookline-api", **_PLANNING},
        )

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        pool_size=settings.database_connections,
        max_overflow=0,
        pool_timeout=settings.database_wait_s,
        pool_pre_ping=True,  # after a restart of PostgreSQL the pool is full of dead connections
        hide_parameters=True,  # they would be in every error's text
    )


@asynccontextmanager
async def transaction_of(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    """Begin, and commit at the end or roll back; raises DatabaseAway when PostgreSQL is."""
    try:
        async with AsyncSession(engine, expire_on_commit=False) as db, db.begin():
            yield db
    except _AWAY as error:
        raise DatabaseAway from error
    except DBAPIError as error:
        if is_away(error):
            raise DatabaseAway from error
        raise


def is_away(error: DBAPIError) -> bool:
    """Return whether a failed statement says that PostgreSQL, and not the statement, is the trouble."""
    state = str(getattr(error.orig, "sqlstate", None) or "")
    return (
        error.connection_invalidated
        or state.startswith(_AWAY_STATES)
        or (not state and isinstance(error, InterfaceError | OperationalError))
    )


async def _transaction(request: Request) -> AsyncIterator[AsyncSession]:
    async with transaction_of(cast(AsyncEngine, request.app.state.engine)) as db:
        yield db


# "function": committed before the answer goes out, or a 201 could be a lie.
Db = Annotated[AsyncSession, Depends(_transaction, scope="function")]
