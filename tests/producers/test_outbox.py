"""The outbox: written with the caller's transaction or not at all."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from producers.outbox import CHANNEL, add_to_outbox, headers_as_json, headers_from_json, metadata
from producers.records import Outgoing

RECORD = Outgoing("a.topic", b"key", b"\x00value", [("name", b"\xff\x00")])


@pytest_asyncio.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(database_url)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield engine
    await engine.dispose()


async def rows(connection: AsyncConnection) -> list[tuple[object, ...]]:
    found = await connection.exec_driver_sql("SELECT topic, key, value, headers FROM outbox ORDER BY id")
    return [tuple(row) for row in found]


@pytest.mark.postgres
async def test_a_record_and_its_tombstone_are_kept_in_the_order_they_came(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await add_to_outbox(connection, RECORD)
        await add_to_outbox(connection, Outgoing("a.topic", b"key", None, []))
    async with engine.connect() as connection:
        assert await rows(connection) == [
            ("a.topic", b"key", b"\x00value", [["name", "/wA="]]),
            ("a.topic", b"key", None, []),
        ]


@pytest.mark.postgres
async def test_what_is_rolled_back_was_never_in_the_outbox(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await add_to_outbox(connection, RECORD)
        await connection.rollback()
    async with engine.connect() as connection:
        assert await rows(connection) == []


@pytest.mark.postgres
async def test_the_relay_is_woken_when_the_transaction_commits(engine: AsyncEngine, database_url: str) -> None:
    woken = asyncio.Event()
    listener = await asyncpg.connect(database_url)
    await listener.add_listener(CHANNEL, lambda *_: woken.set())
    async with engine.begin() as connection:
        await add_to_outbox(connection, RECORD)
        await listener.fetchval("SELECT 1")
        assert not woken.is_set()
    await asyncio.wait_for(woken.wait(), 5)
    await listener.close()


@pytest.mark.postgres
async def test_a_record_without_a_key_is_kept_so_and_a_tombstone_without_one_is_refused(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await add_to_outbox(connection, Outgoing("a.topic", None, b"value", []))
        assert await rows(connection) == [("a.topic", None, b"value", [])]
        with pytest.raises(ValueError, match="key"):
            await add_to_outbox(connection, Outgoing("a.topic", None, None, []))


@given(st.lists(st.tuples(st.text(), st.binary())))
def test_headers_come_back_as_they_were(headers: list[tuple[str, bytes]]) -> None:
    assert headers_from_json(headers_as_json(headers)) == headers
