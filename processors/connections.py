"""Kept connections: a request takes one that leads where it goes, or a new one, and gives it back."""

import asyncio
from typing import Final

from processors.answers import Answer, StaleConnection
from processors.dialling import Dialler
from processors.exchange import Connection
from processors.requests import Target
from schemas.addresses import Network

KEEPALIVE_S: Final = 4.0  # below the 5 s after which Node's HTTP server hangs up on an idle connection

# Scheme, host, port, and the blocks in which the address was allowed to lie: another subscription's may be others.
_Way = tuple[bool, str, int, tuple[Network, ...]]


class Connections:
    """Sends requests. It keeps at most `most_idle` connections that nobody uses, each for KEEPALIVE_S."""

    def __init__(self, dialler: Dialler, *, most_idle: int) -> None:
        """Open nothing yet."""
        self._dialler = dialler
        self._most_idle = most_idle
        self._loop = asyncio.get_running_loop()
        self._idle: dict[_Way, list[Connection]] = {}  # of each way the longest idle first
        self._idle_count = 0
        self._sweeping: asyncio.TimerHandle | None = None
        self._closed = False

    async def exchange(
        self, target: Target, allowed: tuple[Network, ...], request: bytes, *, within_s: float
    ) -> Answer:
        """Return the answer to a request, DNS to the last byte within `within_s`; raises TimeoutError after that.

        Raises what `Dialler.dial` and `Connection.exchange` do, StaleConnection excepted. That is no failure of the
        receiver (RFC 9112, 9.3.1): the request goes out again, with the same webhook-id, should it have been read after
        all. On a connection that is certainly fresh, so this happens once: the other kept ones may be as stale
        (measured: a receiver that closes on the second request got one delivery 21 times over 20).
        """
        deadline = self._loop.time() + within_s
        way = target.is_tls, target.host, target.port, allowed
        connection = self._take(way)
        if connection is not None:
            try:
                return await self._exchange_on(connection, way, request, deadline)
            except StaleConnection:
                pass
        async with asyncio.timeout_at(deadline):
            connection = await self._dialler.dial(target, allowed)
        return await self._exchange_on(connection, way, request, deadline)

    def forget_names(self) -> None:
        """Look every name up again for the next new connection."""
        self._dialler.forget_names()

    async def close(self) -> None:
        """Close what is kept; what is in use is closed by its user."""
        self._closed = True
        self._sweep(idle_before=self._loop.time() + KEEPALIVE_S)
        await self._dialler.close()

    async def _exchange_on(self, connection: Connection, way: _Way, request: bytes, deadline: float) -> Answer:
        answer = await connection.exchange(request, deadline)
        if connection.is_usable:
            self._keep(way, connection)
        return answer

    def _take(self, way: _Way) -> Connection | None:
        idle = self._idle.get(way)
        oldest = self._loop.time() - KEEPALIVE_S
        while idle:
            connection = idle.pop()
            self._idle_count -= 1
            if connection.is_usable and connection.idle_since > oldest:
                return connection
            connection.close()
        return None

    def _keep(self, way: _Way, connection: Connection) -> None:
        if self._closed or self._idle_count >= self._most_idle:
            connection.close()
            return
        connection.idle_since = self._loop.time()
        self._idle.setdefault(way, []).append(connection)
        self._idle_count += 1
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(KEEPALIVE_S, self._sweep_and_go_on)

    def _sweep_and_go_on(self) -> None:
        self._sweep(idle_before=self._loop.time() - KEEPALIVE_S)
        self._sweeping = self._loop.call_later(1, self._sweep_and_go_on) if self._idle else None

    def _sweep(self, *, idle_before: float) -> None:
        for way, idle in tuple(self._idle.items()):
            kept = [each for each in idle if each.idle_since > idle_before and each.is_usable]
            for connection in idle:
                if connection.idle_since <= idle_before or not connection.is_usable:
                    connection.close()
            self._idle_count -= len(idle) - len(kept)
            if kept:
                self._idle[way] = kept
            else:
                del self._idle[way]
        if not self._idle and self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
