"""A receiver that records every request: the fake at the wire that stands in for a customer."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from aiohttp import web

Answer = Callable[[int], int]


@dataclass(slots=True)
class Request:
    """One request as it came; `at` in seconds since 1970."""

    at: float
    headers: dict[str, str]
    body: bytes

    @property
    def webhook_id(self) -> str:
        return self.headers["webhook-id"]


@dataclass(slots=True)
class Path:
    """What came to one path, and what it answers to an event's n-th try (from 1)."""

    answer: Answer
    headers: dict[str, str]
    requests: list[Request] = field(default_factory=list)
    tries: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    hangs: bool = False


def always(status: int) -> Answer:
    return lambda _: status


def fails(times: int, *, status: int = 503) -> Answer:
    return lambda tries: status if tries <= times else 204


class Recorder:
    """Serves paths on loopback for as long as it is entered."""

    def __init__(self) -> None:
        self._paths: dict[str, Path] = {}
        self.url = ""

    def path(self, name: str, answer: Answer | None = None, **headers: str) -> str:
        """Open a path, which answers with these headers (`Retry_After`), and return its URL."""
        self._paths[name] = Path(
            answer or always(204), {key.replace("_", "-"): value for key, value in headers.items()}
        )
        return f"{self.url}/{name}"

    def hang(self, name: str) -> None:
        """Never answer on a path from now on, until the receiver is closed."""
        self._paths[name].hangs = True

    def mend(self, name: str) -> None:
        """Answer on a path with 204 from now on; what hangs goes on hanging."""
        self._paths[name].hangs = False
        self._paths[name].answer = always(204)

    def requests_to(self, name: str) -> list[Request]:
        return self._paths[name].requests

    async def until(self, name: str, reached: Callable[[list[Request]], bool], *, within_s: float) -> list[Request]:
        """Return a path's requests once `reached` holds; fails when it does not within `within_s`."""
        path = self._paths[name]
        async with asyncio.timeout(within_s):
            while not reached(path.requests):
                path.changed.clear()
                await path.changed.wait()
        return path.requests

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=4 * 1024 * 1024)
        application.router.add_post("/{name}", self._receive)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024).start()
        self.url = "http://{}:{}".format(*self._runner.addresses[0][:2])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _receive(self, incoming: web.Request) -> web.Response:
        path = self._paths[incoming.match_info["name"]]
        request = Request(time.time(), {k.lower(): v for k, v in incoming.headers.items()}, await incoming.read())
        path.requests.append(request)
        path.tries[request.webhook_id] += 1
        path.changed.set()
        if path.hangs:
            await asyncio.Event().wait()
        return web.Response(status=path.answer(path.tries[request.webhook_id]), headers=path.headers)
