"""`hookline keys`: from one master key to the next beside everything that changes, over a kill, to the last value."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from api.database import engine_of, transaction_of
from api.migrations import upgrade
from api.resealing.counting import left_to_reseal
from api.settings import ApiSettings
from api.subscriptions.bodies import NewSubscription
from api.subscriptions.changes import row_of
from api.subscriptions.tables import SubscriptionRow, record_of, stored, subscription_to_change
from compose.master_keys import sealed_on_topic
from processors.endpoints import Endpoints
from producers.relay import Relay
from producers.settings import KafkaSettings
from schemas.ids import OrganizationId
from schemas.sealing import Sealer, new_master_key, sealer_of
from tests.api.reading import ensure_topic
from tests.compose.shell import Ran, hookline, started

MANY = 200
ORGANIZATION = OrganizationId("org_1")

pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.kafka]


class Ring:
    """Two master keys of a test's own, since all tests share one topic."""

    def __init__(self) -> None:
        self.old_key, self.new_key = new_master_key(), new_master_key()
        self.old, self.new = sealer_of(self.old_key), sealer_of(self.new_key)
        self.both = f"{self.new_key},{self.old_key}"


@pytest.fixture
def ring() -> Ring:
    return Ring()


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    await upgrade(database_url)
    engine = engine_of(ApiSettings().model_copy(update={"database_url": database_url}))
    yield engine
    await engine.dispose()


@asynccontextmanager
async def relaying(database_url: str, bootstrap: str) -> AsyncIterator[None]:
    relay = Relay(database_url, KafkaSettings(bootstrap_servers=bootstrap))
    running = asyncio.create_task(relay.run())
    await relay.wait_active()
    try:
        yield
    finally:
        relay.stop()
        await running


async def subscribed(engine: AsyncEngine, sealer: Sealer, number: int) -> dict[str, tuple[bytes, ...]]:
    """Write so many subscriptions; return the keys of each by its id."""
    body = NewSubscription(url="https://example.com", event_types=["*"], headers={"Authorization": "Bearer of-theirs"})
    made = {}
    async with transaction_of(engine) as db:
        for _ in range(number):
            row, _ = row_of(body, url="https://example.com", organization_id=ORGANIZATION, sealer=sealer)
            await stored(db, row)
            made[row.id] = Endpoints(sealer).endpoint_of(record_of(row)).keys
    return made


async def ran(*arguments: str, **env: str) -> Ran:
    return await asyncio.to_thread(lambda: hookline(*arguments, **env))


async def changing(
    engine: AsyncEngine, identifiers: list[str], changed: dict[str, int], stopping: asyncio.Event
) -> None:
    """Change one subscription after the other, as callers of the API do, until told to stop."""
    for number in count():
        if stopping.is_set():
            return
        identifier = identifiers[number * 7 % len(identifiers)]
        async with transaction_of(engine) as db:
            row = await subscription_to_change(db, ORGANIZATION, identifier)
            assert row is not None
            row.description = f"change {number}"
            await stored(db, row)
        changed[identifier] = changed.get(identifier, 0) + 1


async def test_a_run_that_was_killed_goes_on_and_nothing_needs_the_old_key(
    engine: AsyncEngine, database_url: str, bootstrap: str, ring: Ring
) -> None:
    ensure_topic(bootstrap, "hookline.subscriptions")
    made = await subscribed(engine, ring.old, MANY)
    env = {"DATABASE_URL": database_url, "KAFKA_BOOTSTRAP_SERVERS": bootstrap, "HOOKLINE_MASTER_KEYS": ring.both}
    changed: dict[str, int] = {}
    both = sealer_of(ring.both)

    async def left() -> int:
        async with transaction_of(engine) as db:
            return await left_to_reseal(db, both)

    async with relaying(database_url, bootstrap):
        stopping = asyncio.Event()
        writer = asyncio.create_task(changing(engine, list(made), changed, stopping))
        with started("keys", "rotate", "--rate", "20", **env) as killed:
            while await left() > MANY - 20:
                assert killed.poll() is None
            killed.kill()
            killed.wait()
        assert 0 < await left() <= MANY - 20
        before = await ran("keys", "status", "--json", **env)
        rotated = await ran("keys", "rotate", "--rate", "1000", "--json", **env)
        stopping.set()
        await writer  # cancelled after its commit it would have counted one too few

        assert rotated.code == 0, rotated.err
        answer = json.loads(rotated.out)
        by_id = {key["id"]: key for key in answer["keys"]}
        assert by_id[ring.old.current]["may_be_dropped"] is True
        assert by_id[ring.new.current]["is_current"] is True
        assert by_id[ring.new.current]["subscriptions"] == 2 * MANY  # a secret and headers each
        assert 0 < answer["resealed"] < MANY  # the killed run had done the others
        in_between = {key["id"]: key for key in json.loads(before.out)["keys"]}[ring.old.current]
        assert in_between["may_be_dropped"] is False
        assert in_between["subscriptions"] > 0
        await _wait_until_empty(engine)

    only_new = Endpoints(ring.new)
    async with transaction_of(engine) as db:
        rows = (await db.execute(select(SubscriptionRow))).scalars().all()
    assert {row.id: only_new.endpoint_of(record_of(row)).keys for row in rows} == made
    assert {row.id: row.version for row in rows} == {each: 2 + changed.get(each, 0) for each in made}
    on_topic = sealed_on_topic(KafkaSettings(bootstrap_servers=bootstrap))
    assert (on_topic[ring.old.current], on_topic[ring.new.current]) == (0, 2 * MANY)
    assert changed  # it was not alone


async def _wait_until_empty(engine: AsyncEngine) -> None:
    from producers.outbox import outbox

    while True:
        async with transaction_of(engine) as db:
            if not (await db.execute(select(func.count()).select_from(outbox))).scalar_one():
                return
        await asyncio.sleep(0.02)


async def test_a_key_that_is_missing_is_named_and_the_rest_is_done(
    engine: AsyncEngine, database_url: str, bootstrap: str, ring: Ring
) -> None:
    ensure_topic(bootstrap, "hookline.subscriptions")
    lost = sealer_of(new_master_key())
    await subscribed(engine, ring.old, 2)
    (missing,) = await subscribed(engine, lost, 1)
    env = {"DATABASE_URL": database_url, "KAFKA_BOOTSTRAP_SERVERS": bootstrap, "HOOKLINE_MASTER_KEYS": ring.both}
    async with relaying(database_url, bootstrap):
        rotated = await ran("keys", "rotate", **env)
        assert rotated.code == 1
        assert missing in rotated.err
        assert "2 of 3 rows sealed" in rotated.err
        status = await ran("keys", "status", **env)
        assert status.code == 3
        (line,) = (line for line in status.out.splitlines() if line.startswith(lost.current))
        assert "not in HOOKLINE_MASTER_KEYS" in line
        (line,) = (line for line in status.out.splitlines() if line.startswith(ring.old.current))
        assert "may be dropped" in line
