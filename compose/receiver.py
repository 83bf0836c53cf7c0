"""A receiver of webhooks, as an integrator would run one: for the demo. It verifies with an independent library."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import orjson
from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

FAILURES_BEFORE_RECOVERY = 2
REPLAY_HEADER = "hookline-replay"


@dataclass(slots=True)
class Arrivals:
    """What one endpoint received."""

    requests: int = 0
    verified: int = 0
    forged: int = 0
    accepted: dict[str, float] = field(default_factory=dict)  # webhook-id → seconds since the epoch
    tries: Counter[str] = field(default_factory=Counter)
    created_at: dict[str, str] = field(default_factory=dict)
    replayed: dict[str, str] = field(default_factory=dict)  # webhook-id → the replay that brought it


class Receiver:
    """Serves `/healthy`, `/recovers` (fails twice an event, then takes it) and `/broken` on loopback.

    `/broken` fails until it is mended.
    """

    def __init__(self) -> None:
        """Prepare; `async with` serves."""
        self.arrivals = {name: Arrivals() for name in _ANSWERS}
        self._answers = dict(_ANSWERS)
        self._secrets: dict[str, Webhook] = {}
        self.url = ""

    def trust(self, name: str, secret: str) -> None:
        """Verify what comes to an endpoint with the secret that its subscription was given."""
        self._secrets[name] = Webhook(secret)

    def mend(self, name: str) -> None:
        """Take whatever comes to an endpoint from now on."""
        self._answers[name] = _ANSWERS["healthy"]

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_post("/{name}", self._receive)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _receive(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        arrivals = self.arrivals[name]
        body = await request.read()
        arrivals.requests += 1
        try:
            self._secrets[name].verify(body, dict(request.headers))
        except (KeyError, WebhookVerificationError):
            arrivals.forged += 1
            return web.Response(status=401)
        arrivals.verified += 1
        webhook_id = request.headers["webhook-id"]
        if replay := request.headers.get(REPLAY_HEADER):
            return self._receive_again(name, webhook_id, replay)
        arrivals.tries[webhook_id] += 1
        status = self._answers[name](arrivals.tries[webhook_id])
        if status < 300:
            arrivals.accepted.setdefault(webhook_id, time.time())
            arrivals.created_at[webhook_id] = orjson.loads(body)["created_at"]
        return web.Response(status=status)

    def _receive_again(self, name: str, webhook_id: str, replay: str) -> web.Response:
        status = self._answers[name](1)
        if status < 300:
            self.arrivals[name].replayed[webhook_id] = replay
        return web.Response(status=status)


_ANSWERS: dict[str, Callable[[int], int]] = {
    "healthy": lambda _: 204,
    "recovers": lambda tries: 503 if tries <= FAILURES_BEFORE_RECOVERY else 204,
    "broken": lambda _: 500,
}
