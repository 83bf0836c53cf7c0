"""The projector on the real Kafka and the real PostgreSQL: each record once, whatever happens to anybody."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
import structlog

from api.migrations import upgrade
from api.projection.consuming import ThrownOut
from api.subscriptions.outcomes import CHANNEL
from compose.postgres import EmbeddedPostgres
from schemas.codec import encode
from schemas.headers import quarantine_headers
from schemas.ids import AttemptId, EventId, new_replay_id, new_subscription_id
from schemas.records import Attempt, AttemptState, Delivery, Event, Position
from tests.api.projection.projecting import (
    Db,
    Stage,
    assert_counts_are_the_rows,
    delivery,
    event,
    outcome,
    process,
    running,
    until,
    until_count,
)

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

A = AttemptState


@pytest_asyncio.fixture
async def db(upgraded_url: str) -> AsyncIterator[Db]:
    connection = await asyncpg.connect(upgraded_url)
    yield connection
    await connection.close()


@pytest.fixture
def stage(bootstrap: str, upgraded_url: str) -> Stage:
    return Stage(bootstrap, upgraded_url).create()


def a_life(to: Any, *, of: Event | None = None) -> list[Event | Delivery | Attempt]:
    """Return the records of an event, its delivery, a failed and a good attempt."""
    happened = of or event()
    owed = delivery(to, event_id=happened.id)
    second = replace(owed, attempt=2)
    return [happened, owed, outcome(owed, A.RETRYING), second, outcome(second)]


async def test_an_event_its_deliveries_and_attempts_become_rows(stage: Stage, db: Db) -> None:
    happened = event()
    good, bad = (delivery(event_id=happened.id) for _ in range(2))
    async with running(stage.projector()):
        stage.put(happened, good, bad, outcome(good), outcome(bad, A.RETRYING))
        await until_count(db, "attempts", 2)
        await until_count(db, "events", 1)
        await until_count(db, "deliveries", 2)
    row = await db.fetchrow("SELECT * FROM events")
    assert row is not None
    assert (row["id"], row["type"], row["organization_id"]) == (happened.id, happened.type, happened.organization_id)
    states = {row["id"]: (row["state"], row["attempts"]) for row in await db.fetch("SELECT * FROM deliveries")}
    assert states == {good.id: ("success", 1), bad.id: ("retrying", 1)}
    attempt = await db.fetchrow("SELECT * FROM attempts WHERE state = 'success'")
    assert attempt is not None
    assert attempt["request_headers"] == '{"content-type": "application/json"}'
    await assert_counts_are_the_rows(db)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_ten_kills_leave_no_row_missing_and_none_double(stage: Stage, db: Db) -> None:
    subscriptions = [new_subscription_id() for _ in range(5)]
    lives = [a_life(subscriptions[number % 5]) for number in range(4000)]
    rest = iter(lives)
    for number in range(10):
        with process(stage):
            for life in [next(rest) for _ in range(400)]:
                stage.put_some(*life)
            seen = await db.fetchval("SELECT count(*) FROM attempts")

            async def goes_on(seen: int = seen, more: int = random.Random(number).randrange(100, 700)) -> bool:
                return bool(await db.fetchval("SELECT count(*) FROM attempts") >= seen + more)

            await until(goes_on, within_s=60)
    async with running(stage.projector()):
        await until_count(db, "attempts", 8000, within_s=60)
        await until_count(db, "events", 4000)
        await until_count(db, "deliveries", 4000, where="state = 'success' AND attempts = 2")
    await assert_counts_are_the_rows(db)


async def test_a_projector_that_was_thought_dead_is_refused_and_writes_nothing_twice(stage: Stage, db: Db) -> None:
    """Two groups: both get every partition, as a zombie and the one that took over have."""
    to = new_subscription_id()
    with structlog.testing.capture_logs() as logs:
        async with running(stage.projector(group="one")), running(stage.projector(group="two")):
            for _ in range(8):
                stage.put(*(record for _ in range(10) for record in a_life(to)))
            await until_count(db, "attempts", 160, within_s=60)
            await until_count(db, "events", 80)
            await until_count(db, "deliveries", 80)
    assert [log for log in logs if log["event"] == "projection.refused"]
    assert not [log for log in logs if log["event"] == "record.quarantined"]
    await assert_counts_are_the_rows(db)


async def test_a_second_projector_of_the_same_slot_throws_the_first_out(stage: Stage) -> None:
    projector = stage.projector()
    first = asyncio.create_task(projector.run())
    await projector.placed.wait()
    async with running(stage.projector()):
        with pytest.raises(ThrownOut, match=r"hookline-projector-0-[0-9a-f]{8} out"):
            async with asyncio.timeout(30):
                await first


@pytest.mark.slow
@pytest.mark.parametrize("while_it_runs", [False, True])
async def test_a_topic_that_was_made_anew_is_read_from_its_beginning(
    stage: Stage, db: Db, *, while_it_runs: bool
) -> None:
    to = new_subscription_id()
    before, after = a_life(to), a_life(to)
    names = (stage.topics.deliver, stage.topics.attempts)
    with structlog.testing.capture_logs() as logs:
        async with running(stage.projector()):
            stage.put(*before)
            await until_count(db, "attempts", 2)
            if while_it_runs:
                await _make_anew(stage, names)
                stage.put(*after)
                await until_count(db, "attempts", 4, within_s=60)
        if not while_it_runs:
            await _make_anew(stage, names)
            stage.put(*after, before[-1])  # somebody filled it up again: what is there already is not doubled
            async with running(stage.projector()):
                await until_count(db, "attempts", 4)
                await until_count(db, "deliveries", 2)
    assert {log["topic"] for log in logs if log["event"] == "projection.topic_made_anew"} >= {stage.topics.attempts}
    await assert_counts_are_the_rows(db)


async def _make_anew(stage: Stage, names: tuple[str, ...]) -> None:
    stage.delete(*names)
    async with asyncio.timeout(30):
        while True:
            try:
                stage.create(names)
            except Exception:  # noqa: BLE001 - the broker has not forgotten it yet
                await asyncio.sleep(0.1)
            else:
                return


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_goes_on_when_postgresql_is_back(bootstrap: str, servers_folder: Path) -> None:
    postgres = EmbeddedPostgres(servers_folder / "postgres-away")
    postgres.start()
    postgres.wait_until_ready()
    await upgrade(postgres.database_url)
    stage, to = Stage(bootstrap, postgres.database_url).create(), new_subscription_id()
    try:
        with structlog.testing.capture_logs() as logs:
            async with running(stage.projector()):
                stage.put(*a_life(to))
                await _count_of(postgres, 2)
                postgres.kill()
                for _ in range(100):
                    stage.put_some(*a_life(to))
                await until(lambda: _said(logs, "projection.waiting"))
                await asyncio.sleep(2.5)  # several tries: a warning each would be one too many
                postgres.start()
                postgres.wait_until_ready()
                await _count_of(postgres, 202)
        assert len([log for log in logs if log["event"] == "projection.waiting"]) == 1
        db = await asyncpg.connect(postgres.database_url)
        await assert_counts_are_the_rows(db)
        await db.close()
    finally:
        postgres.stop()


async def _said(logs: Any, name: str) -> bool:
    return any(log["event"] == name for log in logs)


async def _count_of(postgres: EmbeddedPostgres, attempts: int) -> None:
    db = await asyncpg.connect(postgres.database_url)
    await until_count(db, "attempts", attempts)
    await db.close()


async def test_what_nobody_can_read_goes_into_the_quarantine_and_holds_up_nothing(stage: Stage, db: Db) -> None:
    to = new_subscription_id()
    wrong_id = outcome(delivery(to), id=AttemptId("att_1"))
    async with running(stage.projector()):
        for topic in stage.topics.names[:4]:
            stage.put_raw(topic, b"\x00\xff not Avro", key=to, headers=[("x", b"\xff")])
            stage.put_raw(topic, None, key=to)
        stage.put(event(data=b"[1]"), wrong_id, *a_life(to))
        await until_count(db, "attempts", 2)
        await until_count(db, "events", 1)
        await until_count(db, "quarantine", 3)
    rows = await db.fetch('SELECT * FROM quarantine ORDER BY "offset"')
    assert {(row["topic"], row["stage"]) for row in rows} == {(stage.topics.attempts, "projection")}
    assert [row["value"] for row in rows] == [b"\x00\xff not Avro", None, encode(wrong_id)]
    assert (rows[0]["key"], rows[0]["headers"]) == (to.encode(), '[["x", "/w=="]]')
    await assert_counts_are_the_rows(db)


async def test_what_postgresql_would_refuse_is_made_storable_or_found_among_the_others(stage: Stage, db: Db) -> None:
    to = new_subscription_id()
    odd = delivery(to, key="a\x00b", event_created_at=datetime(9999, 12, 31, 23, 59, tzinfo=UTC))
    huge = delivery(to, event_type="x" * 9000)  # more than an index takes
    random_bytes = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=9000))
    records = [record for _ in range(10) for record in a_life(to)]
    records[7:7] = [odd, outcome(odd, error="\x00", duration_ms=2**62, response_headers={"a\x00": "\x00"})]
    records[30:30] = [outcome(replace(huge, event_type=random_bytes))]
    stage.put(*records)
    async with running(stage.projector()):
        await until_count(db, "attempts", 21, within_s=60)
        await until_count(db, "quarantine", 1)
        await until_count(db, "deliveries", 11)
    row = await db.fetchrow("SELECT a.error, a.response_headers, d.key FROM attempts a, deliveries d"
                            " WHERE d.id = a.delivery_id AND d.id = $1", odd.id)  # fmt: skip
    assert row is not None
    assert (row["error"], row["response_headers"], row["key"]) == ("\ufffd", '{"a\ufffd": "\ufffd"}', "a\ufffdb")
    assert await db.fetchval("SELECT error_class FROM quarantine") == "ProgramLimitExceededError"
    await assert_counts_are_the_rows(db)


async def test_an_event_of_1970_or_2999_is_filed_under_the_brokers_time(stage: Stage, db: Db) -> None:
    old, new = (EventId(f"evt_{ms:012x}70008000{0:012x}") for ms in (0, 32_472_144_000_000))
    async with running(stage.projector()):
        stage.put(event(id=old), event(id=new))
        await until_count(db, "events", 2, where="at > now() - interval '1 minute' AND at <= now()")


async def test_a_second_record_of_an_event_or_an_attempt_adds_nothing(stage: Stage, db: Db) -> None:
    life = a_life(new_subscription_id())
    async with running(stage.projector()):
        stage.put(*life)
        await until_count(db, "attempts", 2)
        stage.put(life[0], life[-1], life[1])
        last = a_life(new_subscription_id())
        stage.put(*last)
        await until_count(db, "attempts", 4)
        await until_count(db, "events", 2)
    await until_count(db, "quarantine", 0)
    await assert_counts_are_the_rows(db)


async def test_a_workers_quarantine_is_kept_with_its_bytes_and_why(stage: Stage, db: Db) -> None:
    source = Position(topic="hookline.events", partition=3, offset=7)
    why = quarantine_headers(source, error=ValueError("no Avro\x00"), stage="route")
    async with running(stage.projector()):
        stage.put_raw(stage.topics.quarantine, b"\x00\x01", key="k", headers=[("x", b"1"), *why])
        stage.put_raw(stage.topics.quarantine, None)
        await until_count(db, "quarantine", 2)
    known = await db.fetchrow("SELECT * FROM quarantine WHERE stage = 'route'")
    assert known is not None
    assert (known["topic"], known["partition"], known["offset"]) == ("hookline.events", 3, 7)
    assert (known["error_class"], known["error"]) == ("ValueError", "no Avro\ufffd")
    assert (known["key"], known["value"]) == (b"k", b"\x00\x01")
    foreign = await db.fetchrow("SELECT * FROM quarantine WHERE stage = ''")
    assert foreign is not None
    assert (foreign["topic"], foreign["partition"], foreign["value"]) == ("", -1, None)


async def test_the_outcome_of_a_test_send_is_announced_and_counts_nowhere(stage: Stage, db: Db) -> None:
    tried, heard = delivery(is_test=True), asyncio.get_running_loop().create_future()
    await db.add_listener(CHANNEL, lambda *about: heard.set_result(about[-1]))
    async with running(stage.projector()):
        stage.put(tried, outcome(tried))
        async with asyncio.timeout(20):
            assert await heard == tried.id
    assert await db.fetchval("SELECT state FROM deliveries WHERE id = $1", tried.id) == "success"
    await until_count(db, "delivery_counts", 0)


ITEM = (
    "INSERT INTO replay_items (replay_id, delivery_id, subscription_id, event_id, state) VALUES ($1, $2, 's', 'e', $3)"
)


async def test_a_replays_items_end_as_its_deliveries_do(stage: Stage, db: Db) -> None:
    replay, to = new_replay_id(), new_subscription_id()
    first = [delivery(to) for _ in range(4)]
    again = [replace(one, round=replay, due_at=one.due_at + timedelta(minutes=5)) for one in first]
    for one, state in zip(first, ["sent", "sent", "queued", "cancelled"], strict=True):
        await db.execute(ITEM, replay, one.id, state)
    async with running(stage.projector()):
        stage.put(*first, *(outcome(one, A.FAILED) for one in first))
        await until_count(db, "deliveries", 4, where="state = 'failed'")
        stage.put(*again, again=True)
        await until_count(db, "deliveries", 4, where="state = 'pending' AND attempts = 0 AND status IS NULL")
        stage.put(outcome(again[0]), outcome(again[1], A.FAILED), outcome(again[2], A.HELD), outcome(again[3]))
        await until_count(db, "attempts", 8)
    rows = await db.fetch("SELECT state, finished_at IS NOT NULL AS ended FROM replay_items ORDER BY delivery_id")
    states = {row["state"]: row["ended"] for row in rows}
    assert states == {"succeeded": True, "failed": True, "held": True, "cancelled": False}
    await assert_counts_are_the_rows(db)
