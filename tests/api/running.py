"""Apps that run as long as the tests do: one for each way of setting it up, asked by one test after the other."""

import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import cast

import pytest
from fastapi import FastAPI

from api.app import create_app
from api.callers import Callers
from api.events import publishing
from api.limits.memory import BoundedMemory
from api.limits.taking import RateLimits
from api.services import Services
from api.settings import ApiSettings
from producers.settings import KafkaSettings

NO_KAFKA = KafkaSettings(bootstrap_servers="127.0.0.1:1")


class RunningApps:
    """Starts an app when it is first asked for: connections, plans and keys cost 0.15 s each time.

    Who takes one keeps to an organization of its own, and starts another app for what outlives a request: counters,
    what an app does at its end, databases that go away.
    """

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._running: list[tuple[ApiSettings, FastAPI]] = []

    async def app(self, settings: ApiSettings) -> FastAPI:
        """Return the running app of these settings, without Kafka; nobody has used anything up of its limits."""
        for known, app in self._running:
            if known == settings:
                _forget(app)
                return app
        app = create_app(settings, NO_KAFKA)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(publishing, "PATIENCE_S", 0.5)  # nothing is there to wait for, and 7 s are long
            await self._stack.enter_async_context(app.router.lifespan_context(app))
        # What it says of Kafka would be among the log lines of another test.
        cast(Services, app.state.services).publishing._records._said_at = math.inf
        self._running.append((settings, app))
        return app


@asynccontextmanager
async def running_apps() -> AsyncIterator[RunningApps]:
    """Yield an empty collection; its apps end with it."""
    async with AsyncExitStack() as stack:
        yield RunningApps(stack)


def _forget(app: FastAPI) -> None:
    limits = cast(RateLimits, app.state.limits)
    limits._known, limits._open = BoundedMemory(), BoundedMemory()
    cast(Callers, app.state.callers).forget()
