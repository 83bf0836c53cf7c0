"""A service's outbox: its relays are killed and the broker is away while transactions commit and are rolled back."""

import asyncio
import os
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson
from confluent_kafka import Message
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine

from compose.children import Child, start_child
from compose.kafka import EmbeddedKafka
from compose.postgres import EmbeddedPostgres
from compose.topics import apply_topics
from processors.settings import WorkerSettings
from producers.event_outbox import EventOutbox
from producers.settings import KafkaSettings
from schemas.codec import decode
from schemas.records import Event
from schemas.topics import EVENTS
from tests.faults.figures import Figure
from tests.faults.scenario import Control, Scenario, Setting
from tests.faults.without import command_without
from tests.producers.topics import arrived_on

KILLS: Final = 20  # of both relays; the broker is away at every fourth
DOWN_S: Final = 10.0
KEYS: Final = 40
ROLLED_BACK: Final = 0.2  # of the transactions
RELAY: Final = (sys.executable, "-m", "compose.command", "outbox", "relay")
outbox = EventOutbox(source="/faults")


@dataclass
class Written:
    """What transactions wrote: numbers of each key in the order of their commits, and those that were rolled back."""

    committed: dict[str, list[int]] = field(default_factory=dict)
    rolled_back: set[tuple[str, int]] = field(default_factory=set)
    over: bool = False


def play(setting: Setting) -> list[Figure]:
    """Two relays are killed again and again, and the broker is stopped, while 200 events/s are written."""
    return asyncio.run(_play(setting, RELAY))


def play_marking_first(setting: Setting) -> list[Figure]:
    """The control: rows are marked as sent when they are taken, before Kafka has them."""
    return asyncio.run(_play(setting, command_without("outbox-marks", "outbox", "relay")))


async def _play(setting: Setting, relay: Sequence[str]) -> list[Figure]:
    kafka, postgres = EmbeddedKafka(setting.folder / "kafka"), EmbeddedPostgres(setting.folder / "postgres")
    try:
        await asyncio.to_thread(_start, kafka, postgres)
        env = {
            **os.environ,
            "DATABASE_URL": postgres.database_url,
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "HOOKLINE_LOG_LEVEL": "warning",
        }
        engine = create_async_engine(postgres.database_url.replace("postgresql://", "postgresql+asyncpg://", 1))
        async with engine.begin() as connection:
            await connection.run_sync(outbox.metadata.create_all)
        written, rng = Written(), random.Random(setting.seed)
        writers = [asyncio.create_task(_write(engine_key, engine, written, rng)) for engine_key in range(4)]
        for number in range(setting.scaled(KILLS, at_least=3)):
            relays = [_relay(setting, relay, env, f"{number}-{each}") for each in range(2)]
            await asyncio.sleep(rng.uniform(3, 6))
            if number % 4 == 1:
                await asyncio.to_thread(kafka.kill)
                await asyncio.sleep(max(3.0, DOWN_S * setting.scale))
                await asyncio.to_thread(kafka.start)
                await asyncio.to_thread(kafka.wait_until_ready)
            for child in relays:
                child.kill()
            setting.say(f"kill {number + 1}: {sum(map(len, written.committed.values()))} events written")
        written.over = True
        await asyncio.gather(*writers)
        last = _relay(setting, relay, env, "last")
        try:
            async with engine.connect() as connection:
                await _all_sent(connection)
        finally:
            last.stop()
        await engine.dispose()
        arrived = await asyncio.to_thread(
            arrived_on, kafka.bootstrap_servers, EVENTS, partitions=WorkerSettings().partitions
        )
        return _figures(written, arrived)
    finally:
        await asyncio.to_thread(postgres.stop)
        await asyncio.to_thread(kafka.stop)


def _start(kafka: EmbeddedKafka, postgres: EmbeddedPostgres) -> None:
    kafka.start()
    postgres.start()
    postgres.wait_until_ready()
    kafka.wait_until_ready()
    apply_topics(WorkerSettings(), KafkaSettings(bootstrap_servers=kafka.bootstrap_servers))


def _relay(setting: Setting, command: Sequence[str], env: dict[str, str], name: str) -> Child:
    return start_child(f"relay-{name}", [*command], log=setting.folder / f"relay-{name}.log", env=env)


async def _write(writer: int, engine: AsyncEngine, written: Written, rng: random.Random) -> None:
    """Commit ten events of as many keys in each transaction, 50 events/s; one in five is rolled back."""
    number = 0
    while not written.over:
        number += 1
        keys = [f"w{writer}-k{number * 10 % KEYS + each}" for each in range(10)]
        async with AsyncSession(engine) as session:
            for key in keys:
                await outbox.add(
                    session,
                    type="user.created",
                    organization_id="org_1",
                    data={"id": key},
                    key=key,
                    metadata={"n": number},
                )
            if rng.random() < ROLLED_BACK:
                await session.rollback()
                written.rolled_back.update((key, number) for key in keys)
            else:
                await session.commit()
                for key in keys:
                    written.committed.setdefault(key, []).append(number)
        await asyncio.sleep(0.2)


async def _all_sent(connection: AsyncConnection, within_s: float = 120.0) -> None:
    deadline = time.monotonic() + within_s
    waiting = f"SELECT count(*) FROM {outbox.table.name} WHERE sent_at IS NULL"
    while (await connection.exec_driver_sql(waiting)).scalar_one():
        if time.monotonic() > deadline:
            raise AssertionError("the outbox is not empty after two minutes")
        await connection.rollback()
        await asyncio.sleep(0.2)


def _figures(written: Written, arrived: list[Message]) -> list[Figure]:
    found: dict[str, list[int]] = {}
    for message in arrived:
        event = decode(Event, message.value())
        found.setdefault(str(event.key), []).append(orjson.loads(event.metadata or b"")["n"])
    lost = sum(len(set(numbers) - set(found.get(key, ()))) for key, numbers in written.committed.items())
    out_of_order = sum(
        [number for number in dict.fromkeys(found.get(key, ())) if number in set(numbers)]
        != [number for number in numbers if number in set(found.get(key, ()))]
        for key, numbers in written.committed.items()
    )
    sent = sum(map(len, found.values()))
    once = sum(len(set(numbers)) for numbers in found.values())
    return [
        Figure("lost", lost, 0),
        Figure("keys out of order", out_of_order, 0),
        Figure(
            "sent although rolled back", sum((key, n) in written.rolled_back for key in found for n in found[key]), 0
        ),
        Figure("committed", sum(map(len, written.committed.values()))),
        Figure("sent twice, %", round(100 * (sent - once) / max(once, 1), 2)),
    ]


SCENARIOS: Final = (
    Scenario(
        "outbox",
        "both relays of a service's outbox are killed again and again, and the broker is away in between",
        play,
        (Control("rows are marked before Kafka has them", play_marking_first),),
    ),
)
