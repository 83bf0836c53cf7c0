"""The relay on the real PostgreSQL and the real Kafka: one sends, in order per key, and nothing is lost."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg
import pytest
import pytest_asyncio
import structlog
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # re-exported without __all__

from producers.errors import BrokersAway, ProducingError
from producers.outbox import CHANNEL
from producers.outbox_rows import Row, sort_out
from producers.records import Outgoing
from producers.relay import Relay
from producers.setting_aside import FOR_S, MOST, SetAside
from producers.settings import KafkaSettings
from tests.half_cut import half_cut
from tests.producers.topics import made_topic

Db: TypeAlias = "asyncpg.Connection[asyncpg.Record]"  # generic in its stubs only
Sent = tuple[bytes | None, bytes | None]

CUT = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_locks JOIN pg_database ON database = pg_database.oid"
    " WHERE locktype = 'advisory' AND granted AND datname = current_database()"
)
JUST_LOOKED = "SELECT pid FROM pg_stat_activity WHERE state = 'idle' AND now() - state_change BETWEEN '0.1s' AND '0.5s'"
INSERT = "INSERT INTO outbox (topic, key, value, headers) VALUES ($1, $2, $3, $4)"
TABLE = (
    "CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, topic text NOT NULL, key bytea NOT NULL,"
    " value bytea, headers jsonb NOT NULL, created_at timestamptz NOT NULL DEFAULT now())"
)


@pytest.fixture
def topic(bootstrap: str) -> Iterator[str]:
    """A topic of one partition, so that the order of all its records can be seen."""
    admin, name = AdminClient({"bootstrap.servers": bootstrap}), f"relay.{uuid.uuid4().hex}"
    admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)])[name].result(30)
    yield name
    admin.delete_topics([name])[name].result(30)


@pytest_asyncio.fixture
async def db(database_url: str) -> AsyncIterator[Db]:
    connection = await asyncpg.connect(database_url)
    await connection.execute(TABLE)
    yield connection
    await connection.close()


async def add(db: Db, topic: str, *values: tuple[bytes, bytes | None]) -> None:
    await db.executemany(INSERT, [(topic, key, value, "[]") for key, value in values])
    await db.execute(f"NOTIFY {CHANNEL}")


async def emptied(db: Db) -> None:
    async with asyncio.timeout(15):
        while await db.fetchval("SELECT count(*) FROM outbox"):  # noqa: ASYNC110 - nobody tells of a delete
            await asyncio.sleep(0.02)


def sent_to(bootstrap: str, topic: str, *, at_least: int) -> list[Sent]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[Sent] = []
    deadline = time.monotonic() + 15
    try:
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=30)
        while len(found) < max(at_least, end) and time.monotonic() < deadline:
            message = consumer.poll(0.2)
            if message is not None and message.error() is None:
                found.append((message.key(), message.value()))
    finally:
        consumer.close()
    return found


@asynccontextmanager
async def running(relay: Relay) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(relay.run())
    try:
        yield task
    finally:
        relay.stop()
        async with asyncio.timeout(20):
            await task


def relay_of(database_url: str, bootstrap: str) -> Relay:
    return Relay(database_url, KafkaSettings(bootstrap_servers=bootstrap))


@pytest.mark.postgres
@pytest.mark.kafka
async def test_rows_are_sent_in_order_and_deleted(db: Db, database_url: str, bootstrap: str, topic: str) -> None:
    rows = [(b"a", b"1"), (b"b", b"1"), (b"a", b"2"), (b"a", None)]
    await add(db, topic, *rows)
    async with running(relay_of(database_url, bootstrap)):
        await emptied(db)
    assert sent_to(bootstrap, topic, at_least=4) == rows


@pytest.mark.postgres
@pytest.mark.kafka
async def test_a_row_is_sent_when_it_is_told_of_and_not_at_the_next_look(
    db: Db, database_url: str, bootstrap: str, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producers.relay._LOOK_EVERY_S", 60.0)
    relay = relay_of(database_url, bootstrap)
    async with running(relay):
        await add(db, topic, (b"warm", b"up"))
        await emptied(db)
        await add(db, topic, (b"a", b"1"))
        await emptied(db)


@pytest.mark.postgres
@pytest.mark.kafka
async def test_a_row_that_no_notify_announced_is_found(db: Db, database_url: str, bootstrap: str, topic: str) -> None:
    relay = relay_of(database_url, bootstrap)
    async with running(relay):
        await relay.wait_active()
        await db.execute(INSERT, topic, b"a", b"1", "[]")
        await emptied(db)
    assert sent_to(bootstrap, topic, at_least=1) == [(b"a", b"1")]


@pytest.mark.postgres
@pytest.mark.kafka
async def test_a_backlog_is_sent_batch_after_batch_without_a_pause(
    db: Db, database_url: str, bootstrap: str, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producers.relay._LOOK_EVERY_S", 60.0)
    rows = [(str(number % 10).encode(), str(number).encode()) for number in range(3000)]
    await add(db, topic, *rows)
    relay = relay_of(database_url, bootstrap)
    async with running(relay):
        await emptied(db)  # in 15 s: six batches, and not one pause between them
    assert sent_to(bootstrap, topic, at_least=3000) == rows


@pytest.mark.postgres
@pytest.mark.kafka
async def test_a_lower_id_that_commits_later_is_sent_too(db: Db, database_url: str, bootstrap: str, topic: str) -> None:
    slow = await asyncpg.connect(database_url)
    transaction = slow.transaction()
    await transaction.start()
    await slow.execute(INSERT, topic, b"slow", b"1", "[]")
    async with running(relay_of(database_url, bootstrap)):
        await add(db, topic, (b"quick", b"1"))
        await emptied(db)
        await transaction.commit()
        await emptied(db)
    await slow.close()
    assert sent_to(bootstrap, topic, at_least=2) == [(b"quick", b"1"), (b"slow", b"1")]


@pytest.mark.postgres
@pytest.mark.kafka
async def test_one_of_two_relays_sends_and_the_other_takes_over(
    db: Db, database_url: str, bootstrap: str, topic: str
) -> None:
    first, second = relay_of(database_url, bootstrap), relay_of(database_url, bootstrap)
    async with running(second):
        async with running(first):
            done, _ = await asyncio.wait(
                [asyncio.create_task(relay.wait_active()) for relay in (first, second)],
                return_when=asyncio.FIRST_COMPLETED,
            )
            assert len(done) == 1
            await add(db, topic, *((b"a", str(number).encode()) for number in range(50)))
            await emptied(db)
        async with asyncio.timeout(30):
            await second.wait_active()
        await add(db, topic, (b"a", b"after"))
        await emptied(db)
    values = [value for _, value in sent_to(bootstrap, topic, at_least=51)]
    assert values == [*(str(number).encode() for number in range(50)), b"after"]  # each once: one was active


@pytest.mark.postgres
@pytest.mark.kafka
async def test_a_relay_whose_connection_is_cut_connects_again_and_says_so_once(
    db: Db, database_url: str, bootstrap: str, topic: str
) -> None:
    relay = relay_of(database_url, bootstrap)
    with structlog.testing.capture_logs() as logs:
        async with running(relay):
            await relay.wait_active()
            assert await db.fetchval(CUT) == 1
            await add(db, topic, (b"a", b"1"))
            await emptied(db)
    assert [log["waits_for"] for log in logs if log["event"] == "relay.waiting"] == ["postgresql"]
    assert [log["waited_for"] for log in logs if log["event"] == "relay.going_on"] == ["postgresql"]


@pytest.mark.postgres
@pytest.mark.kafka
async def test_a_relay_that_asks_before_the_end_of_a_cut_connection_comes_connects_again(
    db: Db, database_url: str, bootstrap: str, topic: str
) -> None:
    with structlog.testing.capture_logs() as logs:
        async with half_cut(database_url) as lagging_url, running(relay := relay_of(lagging_url, bootstrap)):
            await relay.wait_active()
            while not await db.fetchval(f"{CUT} AND pid IN ({JUST_LOOKED})"):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.05)
            await add(db, topic, (b"a", b"1"))
            await emptied(db)
    [waited] = [log["error"] for log in logs if log["event"] == "relay.waiting"]
    assert waited.startswith("InternalClientError: cannot switch to state")
    assert sent_to(bootstrap, topic, at_least=1) == [(b"a", b"1")]


@pytest.mark.postgres
async def test_without_kafka_rows_stay_and_it_is_said_once(db: Db, database_url: str) -> None:
    await add(db, "any", (b"a", b"1"))
    relay = Relay(database_url, KafkaSettings(bootstrap_servers="127.0.0.1:1"), patience_s=0.3)
    with structlog.testing.capture_logs() as logs:
        async with running(relay):
            await asyncio.sleep(4)  # several tries: librdkafka looks for what is overdue once a second
    assert [log["waits_for"] for log in logs if log["event"] == "relay.waiting"] == ["kafka"]
    assert await db.fetchval("SELECT count(*) FROM outbox") == 1


async def test_another_reason_to_wait_for_the_same_is_said_too(monkeypatch: pytest.MonkeyPatch) -> None:
    relay = Relay("postgresql://", KafkaSettings())
    monkeypatch.setattr("producers.relay._SAY_OTHER_AFTER_S", 0)
    with structlog.testing.capture_logs() as logs:
        for error in [OSError("refused"), OSError("refused"), *[asyncpg.UndefinedTableError("no such table")] * 2]:
            await relay._back_off("postgresql", error)
    assert [log["error"] for log in logs] == ["OSError: refused", "UndefinedTableError: no such table"]


KILLED_BEFORE_ITS_DELETE = """
import asyncio, os, signal, sys
import producers.relay as relay
from producers.settings import KafkaSettings

class Killed(relay.asyncpg.Connection):
    async def execute(self, query, *args, **options):
        if query.startswith("DELETE"):
            os.kill(os.getpid(), signal.SIGKILL)
        return await super().execute(query, *args, **options)

connect = relay.asyncpg.connect
relay.asyncpg.connect = lambda *args, **options: connect(*args, connection_class=Killed, **options)
asyncio.run(relay.Relay(sys.argv[1], KafkaSettings(bootstrap_servers=sys.argv[2])).run())
"""


@pytest.mark.postgres
@pytest.mark.kafka
async def test_a_relay_killed_before_its_delete_leaves_the_row_to_be_sent_again(
    db: Db, database_url: str, bootstrap: str, topic: str
) -> None:
    await add(db, topic, (b"a", b"1"))
    # The wire is where it dies: at the statement that would delete what Kafka has.
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED_BEFORE_ITS_DELETE, database_url, bootstrap, stderr=subprocess.DEVNULL
    )
    try:
        assert await asyncio.wait_for(process.wait(), 30) == -signal.SIGKILL
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    assert await db.fetchval("SELECT count(*) FROM outbox") == 1
    async with running(relay_of(database_url, bootstrap)):
        await emptied(db)
    assert sent_to(bootstrap, topic, at_least=2) == [(b"a", b"1"), (b"a", b"1")]


@pytest.mark.postgres
@pytest.mark.kafka
async def test_a_record_that_is_refused_for_good_takes_no_other_with_it(
    db: Db, database_url: str, bootstrap: str
) -> None:
    """Brokers refuse a batch on the wire as a whole, and the rows of no key have no order to wait for."""
    await db.execute("ALTER TABLE outbox ALTER key DROP NOT NULL")
    with made_topic(bootstrap, largest_bytes=10_000) as topic:
        large = os.urandom(50_000)
        rows = [(None, large), (None, b"1"), (b"a", b"2"), (b"b", large), (b"c", b"3"), (b"b", b"behind it")]
        await db.executemany(INSERT, [(topic, key, value, "[]") for key, value in rows])
        async with running(relay_of(database_url, bootstrap)), asyncio.timeout(30):
            while await db.fetchval("SELECT count(*) FROM outbox") > 3:  # noqa: ASYNC110 - nobody tells of a delete
                await asyncio.sleep(0.02)
        left = await db.fetch("SELECT key, length(value) FROM outbox ORDER BY id")
        found = await asyncio.to_thread(sent_to, bootstrap, topic, at_least=3)
    assert [tuple(row) for row in left] == [(None, 50_000), (b"b", 50_000), (b"b", 9)]
    assert [each for each in found if each[0] != b"b"] == [(None, b"1"), (b"a", b"2"), (b"c", b"3")]


def test_what_is_set_aside_comes_back_and_has_a_limit() -> None:
    now = [0.0]
    aside = SetAside(lambda: now[0])
    assert aside.add(("t", b"a"))
    assert not aside.add(("t", None))  # no key, no order
    assert aside.places() == (["t"], [b"a"])
    now[0] = FOR_S
    assert aside.places() == ([], [])
    assert [aside.add(("t", str(number).encode())) for number in range(MOST + 1)] == [*[True] * MOST, False]


AWAY, REFUSED = BrokersAway("away"), ProducingError("refused")


@pytest.mark.parametrize(
    ("keys", "errors", "done"),
    [
        ("ab", [None, None], [0, 1]),
        ("ab", [AWAY, None], [1]),  # another key's row does not wait
        ("aab", [AWAY, None, None], [2]),  # the later one of its key is sent again after it
        ("aab", [None, AWAY, None], [0, 2]),
        ("aaa", [None, REFUSED, None], [0]),
        ("", [], []),
    ],
)
def test_a_row_is_done_when_it_and_the_earlier_ones_of_its_key_are_sent(
    keys: str, errors: list[ProducingError | None], done: list[int]
) -> None:
    rows = [Row(number, Outgoing("t", key.encode(), b"", [])) for number, key in enumerate(keys)]
    sent, error = sort_out(rows, errors)
    assert [row.id for row in sent] == done
    assert error is next((found for found in errors if found), None)
