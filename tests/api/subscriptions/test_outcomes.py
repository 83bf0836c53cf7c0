"""Waiting for an outcome: told by NOTIFY, and by looking while nobody listens."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from api.subscriptions.outcomes import CHANNEL, Outcomes
from tests.api.conftest import NO_DATABASE_URL
from tests.api.subscriptions.making import rows_of

CUT = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE application_name = 'hookline-api-outcomes' AND datname = current_database()"""


class Log:
    """What a test lets the log have, and how often it was looked for."""

    def __init__(self) -> None:
        self.outcome: str | None = None
        self.looks = 0
        self.looked = asyncio.Event()

    async def look(self) -> str | None:
        self.looks += 1
        self.looked.set()
        return self.outcome


@pytest_asyncio.fixture
async def outcomes(database_url: str) -> AsyncIterator[Outcomes]:
    outcomes = Outcomes(database_url)
    running = asyncio.create_task(outcomes.run())
    async with asyncio.timeout(20):
        await outcomes.listening.wait()
    yield outcomes
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


@pytest.mark.postgres
async def test_it_looks_when_it_is_told_and_no_more(outcomes: Outcomes, database_url: str) -> None:
    log = Log()
    waiting = asyncio.create_task(outcomes.wait("dlv_1", log.look, timeout_s=20))
    await log.looked.wait()
    await rows_of(database_url, f"SELECT pg_notify('{CHANNEL}', 'dlv_2')")  # another's
    log.outcome = "there"
    await rows_of(database_url, f"SELECT pg_notify('{CHANNEL}', 'dlv_1')")
    assert await waiting == "there"
    assert log.looks == 2
    assert not outcomes._waiting


@pytest.mark.postgres
async def test_a_connection_that_broke_is_made_anew_and_nothing_said_meanwhile_is_missed(
    outcomes: Outcomes, database_url: str
) -> None:
    log = Log()
    waiting = asyncio.create_task(outcomes.wait("dlv_1", log.look, timeout_s=60))
    await log.looked.wait()
    log.outcome = "there"  # and no NOTIFY that anybody hears
    await rows_of(database_url, CUT)
    async with asyncio.timeout(20):
        assert await waiting == "there"
        await outcomes.listening.wait()
    other = Log()
    waiting = asyncio.create_task(outcomes.wait("dlv_2", other.look, timeout_s=20))
    await other.looked.wait()
    other.outcome = "there"
    await rows_of(database_url, f"SELECT pg_notify('{CHANNEL}', 'dlv_2')")
    assert await waiting == "there"


async def test_without_a_connection_it_looks_once_a_second() -> None:
    outcomes, log = Outcomes(NO_DATABASE_URL), Log()
    started = time.monotonic()
    assert await outcomes.wait("dlv_1", log.look, timeout_s=1.5) is None
    assert time.monotonic() - started >= 1.5
    assert 2 <= log.looks <= 3  # at the beginning, after a second, at the end, which a slow machine makes one
    log.outcome = "there"
    assert await outcomes.wait("dlv_1", log.look, timeout_s=0) == "there"
