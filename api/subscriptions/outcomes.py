"""Waiting for what the projection writes about a test: one LISTEN connection a process, however many wait."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar

import asyncpg
import structlog

from producers.postgres import AWAY

log = structlog.get_logger("api.outcomes")

CHANNEL: Final = "hookline_outcomes"  # the payload is the delivery's id
LOOK_EVERY_S: Final = 1.0  # while there is no connection that listens
_CONNECT_S: Final = 5.0
_AGAIN_AFTER_S: Final = 1.0
_HEARTBEAT_S: Final = 15.0  # a connection that a firewall forgot says nothing by itself

T = TypeVar("T")


class Outcomes:
    """Tells those who wait that the log has the outcome of their delivery."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._waiting: dict[str, asyncio.Event] = {}
        self.listening = asyncio.Event()

    async def run(self) -> None:
        """Listen until cancelled; a connection that breaks is made anew."""
        while True:
            try:
                await self._listen()
            except AWAY as error:
                log.debug("outcomes.not_listening", error=type(error).__name__)
            except Exception:  # the operator sees it; who waits looks for itself
                log.exception("outcomes.not_listening")
            await asyncio.sleep(_AGAIN_AFTER_S)

    async def wait(self, delivery_id: str, look: Callable[[], Awaitable[T | None]], *, timeout_s: float) -> T | None:
        """Return what `look` finds once the delivery's outcome is written, or None after `timeout_s`.

        `look` is called at the beginning and when a connection is made, too: what was said before is not said again.
        Without a connection that listens it is called once a second.
        """
        told = self._waiting.setdefault(delivery_id, asyncio.Event())
        deadline = asyncio.get_running_loop().time() + timeout_s
        try:
            while (found := await look()) is None:
                remaining = deadline - asyncio.get_running_loop().time()
                if remaining <= 0:
                    return None
                pause = remaining if self.listening.is_set() else min(remaining, LOOK_EVERY_S)
                with suppress(TimeoutError):
                    await asyncio.wait_for(told.wait(), pause)
                told.clear()
            return found
        finally:
            self._waiting.pop(delivery_id, None)

    async def _listen(self) -> None:
        connection = await asyncpg.connect(
            self._database_url,
            timeout=_CONNECT_S,
            command_timeout=_CONNECT_S,
            server_settings={"application_name": "hookline-api-outcomes"},
        )
        broken = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: broken.set())
            await connection.add_listener(CHANNEL, self._on_notify)
            self.listening.set()
            self._wake_all()
            while not broken.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(broken.wait(), _HEARTBEAT_S)
                    break
                await connection.execute("SELECT 1")
        finally:
            self.listening.clear()
            self._wake_all()  # who waits must begin to look for itself
            with suppress(*AWAY):
                await connection.close(timeout=1)

    def _on_notify(self, _connection: object, _pid: int, _channel: str, delivery_id: object) -> None:
        told = self._waiting.get(str(delivery_id))
        if told is not None:
            told.set()

    def _wake_all(self) -> None:
        for told in self._waiting.values():
            told.set()
