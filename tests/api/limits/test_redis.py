"""Counting in Redis, for all processes; and what becomes of it when Redis is away.

A real one is used when `HOOKLINE_TEST_REDIS` (redis://host:port/0) names it: no package of ours brings one. What it is
like without one is tested everywhere.
"""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import pytest_asyncio
import structlog
from prometheus_client import Counter

from api.errors import TooManyRequests
from api.limits.counting import ASKED_AGAIN_S, Counting
from api.limits.defaults import Limit
from api.limits.memory import BoundedMemory
from api.limits.taking import RateLimits
from api.metrics import Metrics
from api.permissions import RateClass
from producers.secret_settings import UnfitSettings
from tests.machine import SLOW_MACHINE_S

REDIS = os.environ.get("HOOKLINE_TEST_REDIS", "")
real = pytest.mark.skipif(not REDIS, reason="HOOKLINE_TEST_REDIS names no Redis")
NOBODY = "redis://127.0.0.1:1/0"
LIMIT = Limit(100, 60)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest_asyncio.fixture
async def processes() -> AsyncIterator[list[RateLimits]]:
    """Four processes' limits at one Redis."""
    there = [RateLimits(REDIS) for _ in range(4)]
    yield there
    for each in there:
        await each.close()


@real
async def test_processes_count_together_and_exactly(processes: list[RateLimits]) -> None:
    client = uuid4().hex

    async def take(number: int) -> bool:
        try:
            await processes[number % 4].take_open(RateClass.SIGNING_IN, client)
        except TooManyRequests:
            return False
        return True

    let_in = 0
    for _ in range(5):  # forty at once: as many as have a connection, lest one that waits for it counts for itself
        let_in += sum(await asyncio.gather(*(take(number) for number in range(40))))
    assert let_in == 30


@real
async def test_what_redis_says_of_a_limit_is_what_memory_says() -> None:
    counting, memory, key = Counting(REDIS), BoundedMemory(), uuid4().hex
    for cost, is_let_in, left in [(60, True, 40), (41, False, 40), (40, True, 0), (1, False, 0)]:
        took, taken = await counting.take(key, LIMIT, cost, memory=memory)
        assert (took, taken.left_of(LIMIT)) == (is_let_in, left)
    assert len(memory) == 0
    await counting.forget(key, LIMIT, memory=memory)
    assert (await counting.take(key, LIMIT, 100, memory=memory))[0]
    await counting.close()


@real
async def test_the_wait_that_is_told_is_enough_with_redis_too() -> None:
    counting, memory, key, second = Counting(REDIS), BoundedMemory(), uuid4().hex, Limit(5, 1)
    while (await counting.take(key, second, 1, memory=memory))[0]:
        pass
    _, taken = await counting.take(key, second, 1, memory=memory)
    await asyncio.sleep(taken.seconds_until(1, second))  # Redis's clock
    assert (await counting.take(key, second, 1, memory=memory))[0]
    await counting.close()


@pytest.mark.parametrize("is_silent", [False, True], ids=["refusing", "silent"])
async def test_without_redis_each_process_counts_for_itself_and_says_so(*, is_silent: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:  # takes connections and answers none
        url = f"redis://127.0.0.1:{listening.getsockname()[1]}/0" if is_silent else NOBODY
        metrics = Metrics()
        limits = RateLimits(url, away=metrics.limits_without_redis)
        with structlog.testing.capture_logs() as logs:
            began = time.monotonic()
            for _ in range(30):
                await limits.take_open(RateClass.SIGNING_IN, "203.0.113.1")
            with pytest.raises(TooManyRequests):
                await limits.take_open(RateClass.SIGNING_IN, "203.0.113.1")
            took_s = time.monotonic() - began
        await limits.close()
    assert took_s < 0.5 + SLOW_MACHINE_S  # one of them waited for Redis, half a second; all of them would wait for 15 s
    assert [log["event"] for log in logs] == ["api.redis_away"]
    assert url not in str(logs)
    assert metrics.registry.get_sample_value("hookline_api_limits_without_redis_total") == 31


async def test_it_is_said_once_a_minute_at_most() -> None:
    clock = Clock()
    counting = Counting(NOBODY, away=Counter("taken", "", registry=None), clock=clock)
    with structlog.testing.capture_logs() as logs:
        for _ in range(24):  # two minutes
            await counting.take("key", LIMIT, 1, memory=BoundedMemory())
            clock.now += ASKED_AGAIN_S
    assert len(logs) == 2
    await counting.close()


@real
async def test_redis_that_comes_back_counts_again() -> None:
    clock, memory = Clock(), BoundedMemory()
    host, port = REDIS.removeprefix("redis://").partition("/")[0].split(":")
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        front = reserved.getsockname()[1]
    counting = Counting(f"redis://127.0.0.1:{front}/0", clock=clock)
    key = uuid4().hex
    await counting.take(key, LIMIT, 1, memory=memory)
    assert len(memory) == 1

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, int(port))

        async def copy(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
            while chunk := await source.read(65_536):
                to.write(chunk)
            to.close()

        await asyncio.gather(copy(reader, back), copy(there, writer))

    server = await asyncio.start_server(pass_on, "127.0.0.1", front)
    clock.now += ASKED_AGAIN_S
    _, taken = await counting.take(key, LIMIT, 3, memory=memory)
    assert taken.current == 3  # in Redis, where the first one is not
    await counting.close()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    "url", ["http://u:hidden@host", "redis:/", "redis://u:hidden@host:port/0", "u:hidden@host", ""]
)
def test_a_url_that_is_none_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(UnfitSettings, match="HOOKLINE_REDIS_URL") as refused:
        RateLimits(url)
    assert "hidden" not in str(refused.value)
    assert refused.value.__suppress_context__
