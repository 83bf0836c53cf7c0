"""PostgreSQL: the engine, and one transaction a request."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Annotated, Final, Self, cast

import asyncpg
from fastapi import Depends, Request
from sqlalchemy import Connection, Text, bindparam, event, func, select, true
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Session, SessionTransaction

from api.errors import Unavailable
from api.settings import ApiSettings
from schemas.ids import OrganizationId

# Shutting down, starting up, too many connections, and the connection exceptions of the standard's class 08.
_AWAY_STATES: Final = ("57P01", "57P02", "57P03", "53300", "08")
# A plan made before the values are known cannot leave out the days that they leave out, nor use an index that holds
# only some rows; a plan for a few rows of many is not worth compiling.
_PLANNING: Final = {"plan_cache_mode": "force_custom_plan", "jit": "off"}
TENANT_ROLE: Final = "hookline_tenant"
# Made once: making it took a quarter of a transaction's time (measured: docs/performance.md).
_BINDING: Final = select(
    func.set_config("role", TENANT_ROLE, true()),
    func.set_config("hookline.organization_id", bindparam("organization_id", type_=Text), true()),
)
_AWAY: Final = (
    OSError,
    NoConnectionFree,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # as in producers/postgres.py
)
_STATEMENTS_SHARE: Final = 5  # one connection for each five of the transactions': a statement takes a few ms


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


class Statements:
    """Connections on which each statement is a transaction of its own, for what is asked with every event.

    asyncpg's own pool: such a statement goes once to PostgreSQL and back, where a tenant's transaction of one goes
    seven times and through all of SQLAlchemy (measured: docs/performance.md). Nothing binds a statement to an
    organization but its own WHERE.
    """

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", *, wait_s: float) -> None:
        """Take an open pool; `wait_s` is how long to wait for a connection."""
        self._pool = pool
        self._wait_s = wait_s

    async def fetch(self, statement: str, *given: object) -> Sequence[asyncpg.Record]:
        """Return the rows of a statement, which is committed then; raises DatabaseAway when PostgreSQL is."""
        try:
            async with self._pool.acquire(timeout=self._wait_s) as connection:
                return await connection.fetch(statement, *given)
        except _AWAY as error:
            raise DatabaseAway from error
        except asyncpg.PostgresError as error:
            if str(error.sqlstate).startswith(_AWAY_STATES):
                raise DatabaseAway from error
            raise


@asynccontextmanager
async def statements_of(settings: ApiSettings) -> AsyncIterator[Statements]:
    """Yield such connections; each is made when it is first needed, and what is under way at the end ends first."""

    async def left_as_it_is(_: object) -> None:
        """Reset nothing when a connection goes back: no statement leaves anything behind."""

    async with asyncpg.create_pool(
        settings.database_url,
        min_size=0,
        max_size=max(1, settings.database_connections // _STATEMENTS_SHARE),
        reset=left_as_it_is,
        timeout=settings.database_wait_s,
        command_timeout=settings.database_query_s,
        server_settings={"application_name": "hookline-api-statements", **_PLANNING},
    ) as pool:
        yield Statements(pool, wait_s=settings.database_wait_s)


@asynccontextmanager
async def tenant_transaction_of(engine: AsyncEngine, organization_id: OrganizationId) -> AsyncIterator[AsyncSession]:
    """Do the same, bound to an organization: PostgreSQL shows no row of another, whatever a query says."""
    async with transaction_of(engine) as db:
        bind(db, organization_id)
        yield db


def bind(db: AsyncSession, organization_id: OrganizationId) -> None:
    """Bind the transaction to an organization until it ends: the second lock behind each query's own WHERE.

    The role `hookline_tenant` owns nothing, and the policies of migration 0006 show it one organization. PostgreSQL is
    told when the transaction begins there, which is with its first query: what asks nothing costs nothing.
    """

    def tell(_: Session, __: SessionTransaction, connection: Connection) -> None:
        connection.execute(_BINDING, {"organization_id": organization_id})

    event.listen(db.sync_session, "after_begin", tell)


def is_away(error: DBAPIError) -> bool:
    """Return whether a failed statement says that PostgreSQL, and not the statement, is the trouble."""
    state = str(getattr(error.orig, "sqlstate", None) or "")
    return (
        error.connection_invalidated
        or state.startswith(_AWAY_STATES)
        or (not state and isinstance(error, InterfaceError | OperationalError))
    )


class RequestTransaction:
    """A request's one transaction: it begins when the route asks for it, and ends before the answer goes out.

    `api/requests.py` enters it around each route: a 201 before the commit could be a lie, and what makes a POST
    idempotent is written in the same transaction. `db` is None until the route has asked. It is bound to the caller's
    organization unless the route asks for `SystemDb`.
    """

    def __init__(self, request: Request) -> None:
        self.db: AsyncSession | None = None
        self._request = request
        self._stack = AsyncExitStack()

    async def session(self) -> AsyncSession:
        """Return the session, in a transaction; raises DatabaseAway."""
        if self.db is None:
            db = await self.system_session()
            bind(db, self._request.state.caller.organization_id)
        return cast(AsyncSession, self.db)

    async def system_session(self) -> AsyncSession:
        """Return the session, bound to no organization unless it is already; raises DatabaseAway."""
        if self.db is None:
            engine = cast(AsyncEngine, self._request.app.state.engine)
            self.db = await self._stack.enter_async_context(transaction_of(engine))
        return self.db

    async def __aenter__(self) -> Self:
        self._request.state.transaction = self
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)


async def _session(request: Request) -> AsyncSession:
    return await cast(RequestTransaction, request.state.transaction).session()


async def _system_session(request: Request) -> AsyncSession:
    return await cast(RequestTransaction, request.state.transaction).system_session()


Db = Annotated[AsyncSession, Depends(_session)]
"""Bound to the caller's organization."""

SystemDb = Annotated[AsyncSession, Depends(_system_session)]
"""Bound to none: for what belongs to no organization (the quarantine, sign-in). tests/api lists who uses it."""
