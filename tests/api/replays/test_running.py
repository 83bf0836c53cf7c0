"""The runner on the real PostgreSQL and the real Kafka: everything chosen goes out, at its rate, whoever is killed."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import Consumer

from api.replays.running import LOCK
from schemas.codec import decode
from schemas.headers import microseconds_of
from schemas.records import CurrentRound, Position
from schemas.topics import EVENTS, ROUNDS
from tests.api.reading import reading_from_now
from tests.api.replays.logged import Log
from tests.api.replays.running import arrivals, asked, asked_again, outcomes, replay_when, running, until
from tests.machine import SLOW_MACHINE_S

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]


async def test_a_replay_goes_its_whole_way(log: Log, upgraded_url: str, bootstrap: str, replayed: Consumer) -> None:
    subscription_id = await log.subscription(version=7)
    ids = await log.deliveries(subscription_id, 30)
    await log.delivery(subscription_id, state="success")
    began = datetime.now(UTC)
    async with running(upgraded_url, bootstrap):
        replay_id = await asked(log, subscription_id=subscription_id, delivery_state="failed")
        found = await arrivals(replayed, replay_id, 30)
        row = await replay_when(log, replay_id, state="finishing", sent=30)
        assert (row["total"], row["succeeded"], row["finished_at"]) == (30, 0, None)
        await outcomes(log, replay_id)
        row = await replay_when(log, replay_id, state="completed")
    assert (row["total"], row["sent"], row["succeeded"]) == (30, 30, 30)
    assert began <= row["started_at"] <= row["finished_at"]
    assert sorted(each.delivery.id for each in found) == ids
    [first] = [each for each in found if each.delivery.sequence == 0]
    delivery = first.delivery
    assert (delivery.subscription_version, delivery.attempt, delivery.schedule_version) == (7, 1, "")
    assert (delivery.body, delivery.key) == (b'{"number":0}', "u1")
    assert delivery.event_position == Position(topic=EVENTS, partition=3, offset=0)
    assert began <= delivery.due_at <= datetime.now(UTC)
    assert first.key == subscription_id.encode()
    assert first.headers["hookline_due_at"] == str(microseconds_of(delivery.due_at)).encode()


async def test_a_replay_of_nothing_is_completed(
    log: Log, upgraded_url: str, bootstrap: str, replayed: Consumer
) -> None:
    async with running(upgraded_url, bootstrap):
        row = await replay_when(log, await asked(log), state="completed")
    assert (row["total"], row["sent"]) == (0, 0)


@pytest.mark.parametrize("rate", [40.0, 300.0])
async def test_the_rate_is_kept(log: Log, upgraded_url: str, bootstrap: str, replayed: Consumer, rate: float) -> None:
    count = int(rate * 3)
    await log.deliveries(await log.subscription(), count)
    async with running(upgraded_url, bootstrap):
        found = await arrivals(replayed, await asked(log, rate_per_s=rate), count)
    assert len(found) == count
    times = sorted(each.at for each in found)
    # Never faster; slower by what the machine stands still, but for that test_pacing.py claims how near it comes.
    assert 3 * 0.9 <= times[-1] - times[0] <= 3 + SLOW_MACHINE_S
    # And evenly: sent once a second it would be three bursts; some batches become one while Kafka stands still.
    assert len({int((at - times[0]) / 0.5) for at in times}) >= 4


async def test_a_long_replay_holds_up_neither_another_nor_a_retry(
    log: Log, upgraded_url: str, bootstrap: str, replayed: Consumer
) -> None:
    long, short = await log.subscription(), await log.subscription()
    await log.deliveries(long, 600)
    await log.deliveries(short, 3)
    alone = await log.delivery(await log.subscription())
    async with running(upgraded_url, bootstrap):
        slow = await asked(log, subscription_id=long, rate_per_s=5.0)
        await arrivals(replayed, slow, 1)
        quick = await asked(log, subscription_id=short)
        assert len(await arrivals(replayed, quick, 3)) == 3
        [retried] = [each.delivery.id for each in await arrivals(replayed, await asked_again(log, alone), 1)]
        row = await replay_when(log, slow, state="running")
    assert retried == alone
    assert row["sent"] < 600


async def test_what_is_under_way_in_another_replay_is_skipped_and_said(
    log: Log, upgraded_url: str, bootstrap: str, replayed: Consumer
) -> None:
    subscription_id = await log.subscription()
    ids = await log.deliveries(subscription_id, 4)
    retry = await asked_again(log, ids[1])
    async with running(upgraded_url, bootstrap):
        replay_id = await asked(log, delivery_state="failed")
        row = await replay_when(log, replay_id, state="finishing", sent=3)
    items = await log.items(replay_id)
    assert items.pop(ids[1]) == ("skipped", f"{retry} is sending it already")
    assert set(items.values()) == {("sent", None)}
    assert (row["total"], row["skipped"]) == (4, 1)


async def test_many_retries_go_out_at_once(log: Log, upgraded_url: str, bootstrap: str, replayed: Consumer) -> None:
    ids = await log.deliveries(await log.subscription(), 250)
    replays = [await asked_again(log, delivery_id) for delivery_id in ids]
    async with running(upgraded_url, bootstrap):

        async def all_sent() -> bool:
            rows = await log.run("SELECT count(*) AS n FROM replays WHERE state = 'finishing' AND sent = 1")
            return bool(rows[0]["n"] == len(replays))

        await until(all_sent)
        await log.run("UPDATE replay_items SET state = 'failed', finished_at = now()")
        row = await replay_when(log, replays[-1], state="completed")
    assert (row["total"], row["sent"], row["failed"]) == (1, 1, 1)


async def test_a_round_that_waits_is_announced_before_it_is_taken_over(
    log: Log, upgraded_url: str, bootstrap: str, replayed: Consumer
) -> None:
    due_at = datetime.now(UTC) + timedelta(hours=1)
    subscription_id = await log.subscription()
    waiting = await log.delivery(subscription_id, state="retrying", due_at=due_at)
    failed = await log.delivery(subscription_id)
    with reading_from_now(bootstrap, ROUNDS) as rounds:
        async with running(upgraded_url, bootstrap):
            await arrivals(replayed, await asked_again(log, failed), 1)  # no other round of this one waits
            replay_id = await asked_again(log, waiting)
            [arrival] = await arrivals(replayed, replay_id, 1)
        message = await asyncio.to_thread(rounds.poll, 10)
        nothing_more = await asyncio.to_thread(rounds.poll, 0.5)
    assert message is not None
    assert nothing_more is None
    assert message.key() == waiting.encode()
    current = decode(CurrentRound, message.value())
    assert (current.delivery_id, current.subscription_id) == (waiting, subscription_id)
    assert current.round == replay_id
    assert message.timestamp()[1] / 1000 <= arrival.at


async def test_subscriptions_disabled_or_deleted_meanwhile_and_bodies_gone_are_said(
    log: Log, upgraded_url: str, bootstrap: str, replayed: Consumer
) -> None:
    subscriptions = [await log.subscription() for _ in range(4)]
    ids = [await log.delivery(each) for each in subscriptions]
    replay_id = await asked(log, delivery_state="failed")
    await log.run("UPDATE subscriptions SET enabled = false WHERE id = :id", id=subscriptions[0])
    await log.run("DELETE FROM subscriptions WHERE id = :id", id=subscriptions[1])
    await log.run("DELETE FROM events USING deliveries d WHERE events.id = d.event_id AND d.id = :id", id=ids[2])
    async with running(upgraded_url, bootstrap):
        row = await replay_when(log, replay_id, state="finishing", sent=1)
        [arrival] = await arrivals(replayed, replay_id, 1)
    assert arrival.delivery.id == ids[3]
    assert await log.items(replay_id) == {
        ids[0]: ("held", "the subscription is disabled"),
        ids[1]: ("skipped", "the subscription was deleted"),
        ids[2]: ("skipped", "the log does not keep the event any more"),
        ids[3]: ("sent", None),
    }
    assert (row["total"], row["held"], row["skipped"]) == (4, 1, 2)


async def test_what_fails_after_the_question_is_left_alone(
    log: Log, upgraded_url: str, bootstrap: str, replayed: Consumer
) -> None:
    subscription_id = await log.subscription()
    before = await log.delivery(subscription_id)
    replay_id = await asked(log, delivery_state="failed")
    await log.delivery(subscription_id, finished_at=datetime.now(UTC))
    async with running(upgraded_url, bootstrap):
        await replay_when(log, replay_id, state="finishing")
    assert list(await log.items(replay_id)) == [before]


async def test_a_cancelled_replay_sends_no_more_and_still_counts(
    log: Log, upgraded_url: str, bootstrap: str, replayed: Consumer
) -> None:
    await log.deliveries(await log.subscription(), 400)
    async with running(upgraded_url, bootstrap):
        replay_id = await asked(log, rate_per_s=100.0)
        await arrivals(replayed, replay_id, 20)
        await log.run("UPDATE replays SET state = 'cancelled' WHERE id = :id", id=replay_id)

        async def none_queued() -> bool:
            return "queued" not in {state for state, _ in (await log.items(replay_id)).values()}

        await until(none_queued)  # the runner cancels what the request did not
        sent = [state for state, _ in (await log.items(replay_id)).values()].count("sent")
        assert 20 <= sent < 400
        assert len(await asyncio.to_thread(replayed.consume, 500, 1.0)) <= sent - 20  # nothing after the cancel
        await outcomes(log, replay_id)
        row = await until(lambda: _finished(log, replay_id))
    assert (row["state"], row["sent"], row["succeeded"], row["cancelled"]) == ("cancelled", sent, sent, 400 - sent)


async def _finished(log: Log, replay_id: str) -> dict[str, Any] | None:
    [row] = await log.run("SELECT * FROM replays WHERE id = :id", id=replay_id)
    return row if row["finished_at"] is not None else None


async def test_of_two_runners_one_sends_and_the_other_takes_over(
    log: Log, upgraded_url: str, bootstrap: str, replayed: Consumer
) -> None:
    ids = await log.deliveries(await log.subscription(), 200)
    async with running(upgraded_url, bootstrap) as second:
        async with running(upgraded_url, bootstrap) as first:
            done, _ = await asyncio.wait(
                [asyncio.create_task(runner.wait_active()) for runner in (first, second)],
                return_when=asyncio.FIRST_COMPLETED,
            )
            assert len(done) == 1
            replay_id = await asked(log, rate_per_s=200.0)
            found = await arrivals(replayed, replay_id, 50)
        found += await arrivals(replayed, replay_id, 200 - len(found))
        await replay_when(log, replay_id, state="finishing", sent=200)
    assert sorted(each.delivery.id for each in found) == ids  # each once: the batch at hand was finished


async def test_a_runner_whose_connection_is_cut_goes_on(
    log: Log, upgraded_url: str, bootstrap: str, replayed: Consumer
) -> None:
    ids = await log.deliveries(await log.subscription(), 300)
    async with running(upgraded_url, bootstrap):
        replay_id = await asked(log, rate_per_s=300.0)
        found = await arrivals(replayed, replay_id, 30)
        cut = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await log.run(cut)
        await replay_when(log, replay_id, state="finishing", sent=300)
        found += await arrivals(replayed, replay_id, 300 - len(found))
    assert {each.delivery.id for each in found} == set(ids)


async def test_without_kafka_nothing_is_marked_and_it_goes_on(
    log: Log, upgraded_url: str, bootstrap: str, replayed: Consumer
) -> None:
    ids = await log.deliveries(await log.subscription(), 20)
    replay_id = await asked(log)
    async with running(upgraded_url, "127.0.0.1:1"):
        await replay_when(log, replay_id, state="running")
        await asyncio.sleep(3)  # tries: librdkafka looks for what is overdue once a second
    assert set((await log.items(replay_id)).values()) == {("queued", None)}
    async with running(upgraded_url, bootstrap):
        await replay_when(log, replay_id, state="finishing", sent=20)
        assert sorted(each.delivery.id for each in await arrivals(replayed, replay_id, 20)) == ids


RUNNER = """
import asyncio, os, signal, sys
from sqlalchemy.ext.asyncio import AsyncSession
from api.replays import filling, sending
from api.replays.running import ReplayRunner
from api.settings import ApiSettings
from producers.settings import KafkaSettings
from tests.machine import SLOW_MACHINE_S

dies_at, left = sys.argv[3], int(sys.argv[4])
execute = AsyncSession.execute

async def killed(self, statement, *args, **options):
    global left
    if dies_at in str(statement):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return await execute(self, statement, *args, **options)

AsyncSession.execute = killed
filling._CHUNK = 25
settings = ApiSettings(database_url=sys.argv[1])
asyncio.run(ReplayRunner(settings, KafkaSettings(bootstrap_servers=sys.argv[2])).run())
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dies_at", "after"),
    [
        ("INSERT INTO replay_items", 2),  # while it collects
        ("WITH free AS", 0),  # Kafka has the first batch, and nothing says so
        ("WITH free AS", 4),  # and a later one
        ("FROM unnest", 5),  # between two batches
    ],
)
async def test_nothing_is_missing_when_a_runner_is_killed(
    log: Log, upgraded_url: str, bootstrap: str, replayed: Consumer, *, dies_at: str, after: int
) -> None:
    ids = await log.deliveries(await log.subscription(), 240)
    replay_id = await asked(log, rate_per_s=200.0)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RUNNER, upgraded_url, bootstrap, dies_at, str(after), stderr=subprocess.DEVNULL
    )
    try:
        await until(lambda: _is_held(log))
        async with running(upgraded_url, bootstrap):  # it stands by until the other one dies
            assert await asyncio.wait_for(process.wait(), 30) == -signal.SIGKILL
            row = await replay_when(log, replay_id, state="finishing", sent=240)
        found = [each.delivery.id for each in await arrivals(replayed, replay_id, 240)]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    assert set(found) == set(ids)
    assert len(found) <= 240 + 110  # at most the batch at hand is there twice
    assert row["total"] == 240


async def _is_held(log: Log) -> bool:
    held = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = :low AND classid = :high"
    return bool(await log.run(held, low=LOCK & 0xFFFFFFFF, high=LOCK >> 32))
