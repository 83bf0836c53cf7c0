"""A service's outbox on the real PostgreSQL and Kafka: with the row or not at all, in order per key, none lost."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
import structlog
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from sqlalchemy import Column, Integer, MetaData, Table, insert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from producers.event_outbox import TABLE, EventOutbox, Shared
from producers.relay import BATCH_BYTES, Relay
from producers.setting_aside import SetAside
from producers.settings import KafkaSettings
from schemas.codec import decode
from schemas.errors import InvalidInput
from schemas.records import Event
from schemas.topics import EVENTS
from tests.producers.test_relay import Db
from tests.producers.topics import arrived_on, made_topic

service = MetaData()  # with the outbox in it, as a service's Alembic has them
users = Table("users", service, Column("id", Integer, primary_key=True))
outbox = EventOutbox(source="/billing", metadata=service)


@pytest_asyncio.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    url = database_url.replace("postgresql://", "postgresql+asyncpg://", 1)
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.run_sync(service.create_all)
    yield engine
    await engine.dispose()


@pytest_asyncio.fixture
async def db(engine: AsyncEngine, database_url: str) -> AsyncIterator[Db]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


def created(number: int = 1, **more: Any) -> dict[str, Any]:
    return {"type": "user.created", "organization_id": "org_789", "data": {"id": f"user_{number}"}, **more}


@pytest.mark.postgres
async def test_a_row_and_its_event_are_there_together_or_neither_is(engine: AsyncEngine, db: Db) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(insert(users).values(id=1))
        await outbox.add(session, **created(1))
        await session.rollback()
    assert await counts(db) == (0, 0)
    async with AsyncSession(engine) as session, session.begin():
        await session.execute(insert(users).values(id=1))
        event_id = await outbox.add(session, **created(1))
    assert await counts(db) == (1, 1)
    value = await db.fetchval(f"SELECT value FROM {TABLE}")
    event = decode(Event, value)
    assert (event.id, event.key, event.source) == (event_id, "user_1", "/billing")


@pytest.mark.postgres
async def test_a_session_that_is_not_of_asyncio_writes_the_same(engine: AsyncEngine, db: Db) -> None:
    def work(session: Session) -> None:
        session.execute(insert(users).values(id=1))
        outbox.add(session, **created(1))
        outbox.add(session, type="hookline.test", organization_id="org_789", data={"no": "key"})

    async with AsyncSession(engine) as session, session.begin():
        await session.run_sync(work)
    assert await counts(db) == (1, 2)


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({"data": {}}, "/data/id"),
        ({"type": "subscription.failing"}, "/type"),
        ({"traceparent": "x"}, "/traceparent"),
    ],
)
async def test_what_does_not_fit_is_refused_before_anything_is_written(
    engine: AsyncEngine, db: Db, given: dict[str, Any], pointer: str
) -> None:
    async with AsyncSession(engine) as session, session.begin():
        with pytest.raises(InvalidInput) as caught:
            await outbox.add(session, **{**created(), **given})
        assert caught.value.pointer == pointer
        await session.execute(insert(users).values(id=1))  # the transaction goes on
    assert await counts(db) == (1, 0)


@pytest.mark.postgres
async def test_ids_of_a_key_are_drawn_in_the_order_of_commits(engine: AsyncEngine, db: Db) -> None:
    async with AsyncSession(engine) as slow:
        await outbox.add(slow, **created(1, metadata={"n": 1}))

        async def add_later() -> None:
            async with AsyncSession(engine) as other, other.begin():
                await outbox.add(other, **created(1, metadata={"n": 2}))

        async with AsyncSession(engine) as third, third.begin():
            await outbox.add(third, **created(2))  # another key's does not wait
        later = asyncio.create_task(add_later())
        async with asyncio.timeout(30):
            while not await db.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert not later.done()
        await slow.commit()
        await later
    values = [decode(Event, row["value"]) for row in await db.fetch(f"SELECT value FROM {TABLE} ORDER BY id")]
    assert [event.metadata for event in values if event.key == "user_1"] == [b'{"n":1}', b'{"n":2}']


@pytest.mark.postgres
async def test_the_ddl_makes_the_same_table(engine: AsyncEngine, db: Db, postgres_url: str) -> None:
    columns = "SELECT column_name, data_type, is_nullable, is_identity FROM information_schema.columns WHERE table_name"
    made = await db.fetch(f"{columns} = '{TABLE}' ORDER BY 1")
    other = EventOutbox(source="/billing", table="my outbox")
    await db.execute(other.ddl())
    assert await db.fetch(f"{columns} = 'my outbox' ORDER BY 1") == made
    assert {row[0] for row in await db.fetch("SELECT indexname FROM pg_indexes WHERE tablename = 'my outbox'")} == {
        "my outbox_pkey",
        "my outbox_sent",
        "my outbox_unsent",
    }


async def counts(db: Db) -> tuple[int, int]:
    return await db.fetchval("SELECT count(*) FROM users"), await db.fetchval(f"SELECT count(*) FROM {TABLE}")


# What relays do is shown on a topic of the test's own; the table does not care.

INSERT = f"INSERT INTO {TABLE} (topic, key, value, headers) VALUES ($1, $2, $3, '[]')"


async def fill(db: Db, topic: str, keys: int, each: int) -> None:
    rows = [(topic, f"k{key}".encode(), str(number).encode()) for number in range(each) for key in range(keys)]
    await db.executemany(INSERT, rows)
    await db.execute(f"NOTIFY {TABLE}")


async def all_sent(db: Db, within_s: float = 40) -> None:
    async with asyncio.timeout(within_s):
        while await db.fetchval(f"SELECT count(*) FROM {TABLE} WHERE sent_at IS NULL"):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)


def arrived_by_key(bootstrap: str, topic: str, *, at_least: int) -> dict[bytes, list[int]]:
    found: dict[bytes, list[int]] = {}
    for message in arrived_on(bootstrap, topic, partitions=3, until=lambda found: len(found) >= at_least):
        found.setdefault(message.key() or b"", []).append(int(message.value() or b""))
    return found


def in_order(arrived: list[int], each: int) -> bool:
    """Return whether nothing is lost, and nothing comes first after what followed it (a batch may come twice)."""
    return list(dict.fromkeys(arrived)) == list(range(each))


def relay_of(database_url: str, bootstrap: str, **more: Any) -> Relay:
    return outbox.relay_of(database_url, KafkaSettings(bootstrap_servers=bootstrap), **more)


@pytest.fixture(scope="module")
def with_events(bootstrap: str) -> str:
    """The broker with the topic of events, whatever ran before."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    if EVENTS not in admin.list_topics(timeout=30).topics:
        admin.create_topics([NewTopic(EVENTS, 8, 1)])[EVENTS].result(30)
    return bootstrap


@pytest.mark.postgres
@pytest.mark.kafka
async def test_a_committed_event_is_sent_at_once_and_marked(
    engine: AsyncEngine, db: Db, database_url: str, with_events: str
) -> None:
    bootstrap, first, second = with_events, uuid4().int, uuid4().int  # all tests share the topic
    async with relay_of(database_url, bootstrap).running(), AsyncSession(engine) as session:
        await outbox.add(session, **created(first))
        await session.rollback()
        event_id = await outbox.add(session, **created(second))
        await session.commit()
        await all_sent(db, within_s=30)
    partitions = await asyncio.to_thread(partitions_of, bootstrap, EVENTS)
    arrived = await asyncio.to_thread(
        lambda: arrived_on(
            bootstrap,
            EVENTS,
            partitions=partitions,
            until=lambda found: any(dict(m.headers() or []).get("ce_id") == event_id.encode() for m in found),
        )
    )
    mine = {message.key(): message.value() for message in arrived}
    assert f"user_{first}".encode() not in mine  # what was rolled back
    assert decode(Event, mine[f"user_{second}".encode()]).id == event_id


def partitions_of(bootstrap: str, topic: str) -> int:
    return len(AdminClient({"bootstrap.servers": bootstrap}).list_topics(topic, 10).topics[topic].partitions)


@pytest.mark.postgres
@pytest.mark.kafka
async def test_two_relays_at_once_keep_the_order_of_each_key(db: Db, database_url: str, bootstrap: str) -> None:
    with made_topic(bootstrap, partitions=3) as topic:
        async with relay_of(database_url, bootstrap).running(), relay_of(database_url, bootstrap).running():
            for _ in range(4):  # while they send, more comes
                await fill_from(db, topic)
            await all_sent(db)
        found = await asyncio.to_thread(arrived_by_key, bootstrap, topic, at_least=4 * 300)
    assert {key: in_order(numbers, 100) for key, numbers in found.items()} == {
        f"k{n}".encode(): True for n in range(12)
    }
    assert sum(map(len, found.values())) == 1200  # nobody died: none twice


async def fill_from(db: Db, topic: str) -> None:
    """Add 25 more of each of 12 keys, numbered on."""
    first = await db.fetchval(f"SELECT count(*) / 12 FROM {TABLE}")
    rows = [
        (topic, f"k{key}".encode(), str(number).encode()) for number in range(first, first + 25) for key in range(12)
    ]
    await db.executemany(INSERT, rows)
    await db.execute(f"NOTIFY {TABLE}")


@pytest.mark.postgres
@pytest.mark.kafka
async def test_what_another_relay_has_is_left_to_it_with_all_of_its_key(
    db: Db, database_url: str, bootstrap: str
) -> None:
    with made_topic(bootstrap, partitions=3) as topic:
        await fill(db, topic, keys=2, each=3)
        other = await asyncpg.connect(database_url)
        async with other.transaction():  # another relay that has the first key, and hangs
            await other.execute(f"SELECT 1 FROM {TABLE} WHERE key = 'k0' ORDER BY id LIMIT 1 FOR UPDATE")
            async with relay_of(database_url, bootstrap).running(), asyncio.timeout(20):
                while await db.fetchval(f"SELECT count(*) FROM {TABLE} WHERE sent_at IS NULL") > 3:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            left = await db.fetch(f"SELECT key FROM {TABLE} WHERE sent_at IS NULL")
        assert [row["key"] for row in left] == [b"k0"] * 3
        await other.close()


@pytest.mark.postgres
@pytest.mark.kafka
async def test_what_was_sent_long_ago_is_swept_and_nothing_else(
    db: Db, database_url: str, bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producers.relay._SWEEP_EVERY_S", 0)
    with made_topic(bootstrap, partitions=3) as topic:
        await fill(db, topic, keys=1, each=3)
        await db.execute(f"UPDATE {TABLE} SET sent_at = now() - interval '2 hours' WHERE value = '0'")
        await db.execute(f"UPDATE {TABLE} SET sent_at = now() - interval '30 minutes' WHERE value = '1'")
        async with relay_of(database_url, bootstrap, keep_sent=timedelta(hours=1)).running(), asyncio.timeout(20):
            while await db.fetchval(f"SELECT count(*) FROM {TABLE} WHERE value = '0'"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            await all_sent(db)
        assert await db.fetchval(f"SELECT count(*) FROM {TABLE}") == 2


@pytest.mark.postgres
async def test_without_kafka_and_without_the_table_it_waits_and_says_so_once(db: Db, database_url: str) -> None:
    await fill(db, "any", keys=1, each=2)
    away = outbox.relay_of(database_url, KafkaSettings(bootstrap_servers="127.0.0.1:1"))
    away._patience_s = 0.3
    missing = EventOutbox(source="/x", table="missing").relay_of(database_url)
    with structlog.testing.capture_logs() as logs:
        async with away.running(), missing.running(), asyncio.timeout(20):
            while len([log for log in logs if log["event"] == "relay.waiting"]) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert sorted(log["waits_for"] for log in logs if log["event"] == "relay.waiting") == ["kafka", "postgresql"]
    assert await db.fetchval(f"SELECT count(*) FROM {TABLE} WHERE sent_at IS NULL") == 2


@pytest.mark.postgres
@pytest.mark.kafka
async def test_a_relay_beside_a_service_says_that_it_failed_and_goes_on(
    db: Db, database_url: str, bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producers.relay._FAILED_AGAIN_S", 0.05)
    with made_topic(bootstrap) as topic:
        await fill(db, topic, keys=1, each=1)
        relay = outbox.relay_of(
            database_url, KafkaSettings(security_protocol="SSL", ssl_ca_location="/not/there", bootstrap_servers="x:1")
        )
        with structlog.testing.capture_logs() as logs:
            async with relay.running(), asyncio.timeout(60):
                while not (failed := [log for log in logs if log["event"] == "relay.failed"]):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
                relay._kafka = KafkaSettings(bootstrap_servers=bootstrap)  # as if the file had come
                await all_sent(db)
    assert "ssl.ca.location" in failed[0]["error"]


RELAYING = f"""
import asyncio, sys
from producers.event_outbox import EventOutbox
from producers.settings import KafkaSettings
outbox = EventOutbox(source="/billing", table="{TABLE}")
asyncio.run(outbox.relay_of(sys.argv[1], KafkaSettings(bootstrap_servers=sys.argv[2])).run())
"""


@asynccontextmanager
async def relay_process(database_url: str, bootstrap: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", RELAYING, database_url, bootstrap)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.postgres
@pytest.mark.kafka
async def test_kills_lose_nothing_and_keep_the_order_of_each_key(db: Db, database_url: str, bootstrap: str) -> None:
    """Two relays at once, both killed in the middle; the next pair sends the rest."""
    with made_topic(bootstrap, partitions=3) as topic:
        await fill(db, topic, keys=5, each=300)
        for left in (750, 0):
            async with (
                relay_process(database_url, bootstrap) as one,
                relay_process(database_url, bootstrap) as other,
                asyncio.timeout(60),
            ):
                while await db.fetchval(f"SELECT count(*) FROM {TABLE} WHERE sent_at IS NULL") > left:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
                os.kill(one.pid, signal.SIGKILL)
                os.kill(other.pid, signal.SIGKILL)
        found = await asyncio.to_thread(arrived_by_key, bootstrap, topic, at_least=1500)
    assert {key: in_order(numbers, 300) for key, numbers in found.items()} == {f"k{n}".encode(): True for n in range(5)}


@pytest.mark.postgres
@pytest.mark.kafka
async def test_a_table_in_a_schema_of_the_services_is_relayed(
    engine: AsyncEngine, db: Db, database_url: str, with_events: str
) -> None:
    await db.execute("CREATE SCHEMA billing")
    own = EventOutbox(source="/billing", metadata=MetaData(schema="billing"))
    await db.execute(own.ddl())
    async with own.relay_of(database_url, KafkaSettings(bootstrap_servers=with_events)).running():
        async with AsyncSession(engine) as session, session.begin():
            await own.add(session, **created(1))
        async with asyncio.timeout(40):
            while await db.fetchval(f"SELECT count(*) FROM billing.{TABLE} WHERE sent_at IS NULL"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert await db.fetchval(f"SELECT count(*) FROM billing.{TABLE}") == 1


@pytest.mark.postgres
async def test_a_batch_is_bounded_in_bytes_and_has_one_row_at_least(db: Db) -> None:
    """500 of the largest events are 128 MB, in the service's memory, and more than some networks bring in 3 s."""
    taking = Shared(TABLE, keep_sent=timedelta(days=1))
    sizes = [1 << 20, *[1 << 18] * 100, 1 << 25, 1]
    await db.executemany(INSERT, [("any", f"k{at % 3}".encode(), bytes(size)) for at, size in enumerate(sizes)])
    batches = []
    while await db.fetchval(f"SELECT count(*) FROM {TABLE} WHERE sent_at IS NULL"):
        async with taking.batch(db, SetAside()) as rows:
            batches.append([len(row.record.value or b"") for row in rows])
            await taking.finish(db, rows)
    assert [size for batch in batches for size in batch] == sizes
    assert max(sum(batch[:-1]) for batch in batches) < BATCH_BYTES


@pytest.mark.postgres
@pytest.mark.kafka
async def test_sweeping_goes_on_until_nothing_old_is_left(
    db: Db, database_url: str, bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A minute's share would be a limit: a service that sends more than that has a table that only grows."""
    monkeypatch.setattr("producers.event_outbox._SWEPT_AT_ONCE", 10)
    with made_topic(bootstrap, partitions=3) as topic:
        await fill(db, topic, keys=1, each=35)
        await db.execute(f"UPDATE {TABLE} SET sent_at = now() - interval '2 hours'")
        relay = relay_of(database_url, bootstrap, keep_sent=timedelta(hours=1))
        relay._swept_at = float("-inf")  # it is time
        async with relay.running(), asyncio.timeout(30):
            while await db.fetchval(f"SELECT count(*) FROM {TABLE}"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)


@pytest.mark.postgres
@pytest.mark.kafka
async def test_a_record_that_is_refused_for_good_holds_up_its_key_alone_and_doubles_nothing(
    db: Db, database_url: str, bootstrap: str
) -> None:
    with made_topic(bootstrap, largest_bytes=10_000) as topic:
        rows = [(topic, b"poisoned", os.urandom(50_000)), *((topic, b"poisoned", b"behind it") for _ in range(3000))]
        await db.executemany(INSERT, rows)
        relay = relay_of(database_url, bootstrap)
        async with relay.running(), asyncio.timeout(60):
            for number in range(5):
                await db.execute(INSERT, topic, f"k{number}".encode(), b"fits")
                await db.execute(f"NOTIFY {TABLE}")
                while await db.fetchval(f"SELECT count(*) FROM {TABLE} WHERE sent_at IS NULL") > len(rows):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        found = await asyncio.to_thread(arrived_on, bootstrap, topic)
    assert [message.key() for message in found if message.key() != b"poisoned"] == [b"k0", b"k1", b"k2", b"k3", b"k4"]
    assert len(found) - 5 < 500  # those of the first batch, before it was known
