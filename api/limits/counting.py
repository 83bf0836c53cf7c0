"""Where it is counted what was taken: in Redis, for all processes, or in this process's memory.

While Redis is away each process counts for itself: requests are let through that all together are too many, but no
guessing without a limit. Redis is asked again every few seconds.
"""

import time
from collections.abc import Callable
from typing import Any, Final

import structlog
from limits.aio.storage import MemoryStorage, RedisStorage
from prometheus_client import Counter
from redis.asyncio import BlockingConnectionPool
from redis.exceptions import RedisError

from api.limits.defaults import Limit
from api.limits.memory import BoundedMemory
from api.limits.standing import Taken
from producers.secret_settings import UnfitSettings

log = structlog.get_logger("api.limits")

REDIS_WAIT_S: Final = 0.5  # for a connection and for an answer: it is in every request's way
_CONNECTIONS: Final = 10  # more requests than these wait for one: opening two hundred at once takes longer
ASKED_AGAIN_S: Final = 5.0
_SAID_EVERY_S: Final = 60.0


class Counting:
    """Takes from limits. `away` counts what was taken without Redis although there should be one."""

    def __init__(
        self, redis_url: str | None, *, away: Counter | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pool = None if redis_url is None else _pool_at(redis_url)
        self._redis = None if self._pool is None else _storage_at(self._pool)
        self._away = away
        self._clock = clock
        self._asked_again_at = self._said_again_at = clock()

    async def take(self, key: str, limit: Limit, cost: int, *, memory: BoundedMemory) -> tuple[bool, Taken]:
        """Take `cost` and return whether there was so much, and what is taken now; from `memory` without Redis."""
        if self._redis is not None:
            if self._clock() >= self._asked_again_at:
                try:
                    return await _take(self._redis, key, limit, cost)
                except (RedisError, OSError, TimeoutError) as error:
                    self._note_away(error)
            if self._away is not None:
                self._away.inc()
        return await _take(memory, key, limit, cost)

    async def forget(self, key: str, limit: Limit, *, memory: BoundedMemory) -> None:
        """Forget what was taken, here and in Redis."""
        await memory.clear_sliding_window(key, limit.window_s)
        if self._redis is not None and self._clock() >= self._asked_again_at:
            try:
                await self._redis.clear_sliding_window(key, limit.window_s)
            except (RedisError, OSError, TimeoutError) as error:
                self._note_away(error)

    async def close(self) -> None:
        """Close the connections to Redis."""
        if self._pool is not None:
            await self._pool.aclose()

    def _note_away(self, error: Exception) -> None:
        now = self._clock()
        self._asked_again_at = now + ASKED_AGAIN_S
        if now >= self._said_again_at:
            self._said_again_at = now + _SAID_EVERY_S
            log.warning("api.redis_away", error=type(error).__name__, counting="in each process for itself")


async def _take(storage: MemoryStorage | RedisStorage, key: str, limit: Limit, cost: int) -> tuple[bool, Taken]:
    is_let_in = await storage.acquire_sliding_window_entry(key, limit.most, limit.window_s, cost)
    return is_let_in, Taken(*await storage.get_sliding_window(key, limit.window_s))


def _storage_at(pool: BlockingConnectionPool) -> RedisStorage:
    url = "async+redis://"  # says which kind of client; where it is, the pool knows
    options: dict[str, Any] = {"connection_pool": pool}  # limits' types know texts and numbers only
    return RedisStorage(url, implementation="redispy", key_prefix="hookline", **options)


def _pool_at(url: str) -> BlockingConnectionPool:
    try:
        if not url.startswith(("redis://", "rediss://")):
            raise ValueError
        return BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=REDIS_WAIT_S,
            socket_timeout=REDIS_WAIT_S,
            socket_connect_timeout=REDIS_WAIT_S,
        )
    except ValueError:  # its text has the URL, and that a password
        raise UnfitSettings("HOOKLINE_REDIS_URL must be redis://host:port/0, or rediss:// for TLS") from None
