"""Each API process knows organizations' own event types, as PostgreSQL has them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import asyncpg
import httpx
import pytest
import structlog

from api.errors import Unavailable
from api.event_types.knowing import KnownEventTypes
from schemas.catalogue import EventType, UnknownEventType
from tests.api.conftest import NO_DATABASE_URL
from tests.api.event_types.defining import CARRIER, PATH, STRING, define, schema

pytestmark = pytest.mark.postgres


@asynccontextmanager
async def knowing(url: str) -> AsyncIterator[KnownEventTypes]:
    """Run what another API process would, which has no part in the changes."""
    known = KnownEventTypes(url)
    task = asyncio.create_task(known.run())
    try:
        await asyncio.wait_for(known.tried.wait(), 30)
        yield known
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def relay(url: str) -> None:
    """Stand for the relay: what waits for Kafka is there."""
    connection = await asyncpg.connect(url)
    await connection.execute("DELETE FROM outbox WHERE topic = 'hookline.event-types'")
    await connection.close()


async def until(holds: Callable[[], bool], *, within_s: float = 30) -> None:
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 - the catalogue has no event for it
            await asyncio.sleep(0.01)


async def test_follows_what_other_processes_do(api: httpx.AsyncClient, shared_url: str) -> None:
    organization = api.headers["Hookline-Organization"]
    old = await define(api, schema=schema(STRING, CARRIER))
    await relay(shared_url)
    async with knowing(shared_url) as known:

        def its(name: str) -> EventType | None:
            return known.catalogue.get(name, organization)

        assert its(old["name"]) is not None  # it was there before
        new = await define(api, state="draft")
        await relay(shared_url)
        await until(lambda: its(new["name"]) is not None)
        assert known.catalogue.get(new["name"], "org_another") is None
        await api.patch(f"{PATH}/{old['name']}", json={"schema": schema(STRING)})
        await relay(shared_url)
        await until(lambda: getattr(its(old["name"]), "version", 0) == 2)
        found = its(old["name"])
        assert found is not None
        found.check({"order_id": "x", "carrier": "what version 1 had"})
        await api.delete(f"{PATH}/{new['name']}")
        await until(lambda: its(new["name"]) is None)


async def test_a_change_counts_once_kafka_has_it(api: httpx.AsyncClient, shared_url: str) -> None:
    """An event taken by a newer type than workers can know would be quarantined."""
    organization = api.headers["Hookline-Organization"]
    made = await define(api, schema=schema(STRING))
    async with knowing(shared_url) as known:
        with pytest.raises(Unavailable, match="on its way to the workers"):
            known.catalogue.of(made["name"], organization)
        await relay(shared_url)
        await until(lambda: known.catalogue.get(made["name"], organization) is not None)
        await api.patch(f"{PATH}/{made['name']}", json={"schema": schema(STRING, CARRIER)})
        await until(lambda: bool(known.catalogue.on_their_way))
        assert known.catalogue.of(made["name"], organization).version == 1
        await relay(shared_url)
        await until(lambda: known.catalogue.of(made["name"], organization).version == 2)
        assert not known.catalogue.on_their_way


class Interrupted:
    """A connection; after its first query something else happens before the next."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", then: Callable[[], Awaitable[object]]) -> None:
        self._connection = connection
        self._then: Callable[[], Awaitable[object]] | None = then

    async def fetch(self, *asked: Any) -> list[asyncpg.Record]:
        found = await self._connection.fetch(*asked)
        then, self._then = self._then, None
        if then is not None:
            await then()
        return found


async def test_a_change_between_two_queries_does_not_count_either(api: httpx.AsyncClient, shared_url: str) -> None:
    organization = api.headers["Hookline-Organization"]
    made = await define(api, schema=schema(STRING))
    await relay(shared_url)
    known = KnownEventTypes(shared_url)
    known.catalogue.is_loaded = True
    connection = await asyncpg.connect(shared_url)

    async def patch() -> None:
        answer = await api.patch(f"{PATH}/{made['name']}", json={"schema": schema(STRING, CARRIER)})
        assert answer.status_code == 200

    await known._read(cast(Any, Interrupted(connection, patch)), [organization])
    with pytest.raises(Unavailable, match="on its way to the workers"):
        known.catalogue.of(made["name"], organization)
    await relay(shared_url)
    await known._read(connection, [organization])
    assert known.catalogue.of(made["name"], organization).version == 2
    await connection.close()


async def test_a_row_that_nobody_can_read_takes_no_other_with_it(api: httpx.AsyncClient, shared_url: str) -> None:
    organization = api.headers["Hookline-Organization"]
    whole, broken = await define(api), await define(api)
    await relay(shared_url)
    connection = await asyncpg.connect(shared_url)
    await connection.execute("UPDATE event_types SET accepts = '[' WHERE name = $1", broken["name"])
    with structlog.testing.capture_logs() as logs:
        async with knowing(shared_url) as known:
            assert known.catalogue.get(whole["name"], organization) is not None
            assert known.catalogue.get(broken["name"], organization) is None
    # The API follows too, in this process, and may say so as well.
    assert {log["event_type"] for log in logs if log["event"] == "event_type.unreadable"} == {broken["name"]}
    await connection.execute("DELETE FROM event_types WHERE name = $1", broken["name"])
    await connection.close()


async def test_what_nobody_foresaw_is_logged_and_following_goes_on(
    api: httpx.AsyncClient, shared_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    organization, read = api.headers["Hookline-Organization"], KnownEventTypes._read
    made, failures = await define(api), iter(range(2))
    await relay(shared_url)

    async def stumbling(*given: Any) -> None:
        if next(failures, None) is not None:
            raise ZeroDivisionError
        await read(*given)

    monkeypatch.setattr(KnownEventTypes, "_read", stumbling)
    with structlog.testing.capture_logs() as logs:
        async with knowing(shared_url) as known:
            await until(lambda: known.catalogue.get(made["name"], organization) is not None)
    assert [log["log_level"] for log in logs if log["event"] == "event_types.not_followed"] == ["error"] * 2


async def test_a_broken_connection_loses_nothing(api: httpx.AsyncClient, shared_url: str) -> None:
    organization = api.headers["Hookline-Organization"]
    async with knowing(shared_url) as known:
        admin = await asyncpg.connect(shared_url)
        ended = await admin.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'hookline-api-event-types' AND datname = current_database()"
        )
        assert ended
        made = await define(api)
        await relay(shared_url)
        await until(lambda: known.catalogue.get(made["name"], organization) is not None)
        await admin.close()


async def test_what_was_never_read_is_not_called_unknown(api: httpx.AsyncClient, shared_url: str) -> None:
    async with knowing(NO_DATABASE_URL) as known:
        assert known.catalogue.of("user.created", "org_1").name == "user.created"
        with pytest.raises(Unavailable):
            known.catalogue.of("order.shipped", "org_1")
    async with knowing(shared_url) as known:
        with pytest.raises(UnknownEventType):
            known.catalogue.of("order.shipped", "org_1")
