"""The API's process: uvicorn with uvloop and httptools, until SIGTERM or SIGINT."""

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

import structlog
import uvicorn
import uvloop

from api.app import create_app
from api.settings import ApiSettings
from producers.settings import KafkaSettings

log = structlog.get_logger("api.serving")

Announce = Callable[[str], None]
_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def serve(settings: ApiSettings, kafka: KafkaSettings, *, announce: Announce | None = None) -> None:
    """Serve until told to stop by SIGTERM or SIGINT, then return; requests at hand have `shutdown_s` to finish.

    `announce` is called with the URL once requests are taken: port 0 is known only then. Raises UnfitSettings when the
    settings do not allow a start, OSError when the port is taken.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serving(settings, kafka, announce=announce))


async def serving(settings: ApiSettings, kafka: KafkaSettings, *, announce: Announce | None = None) -> None:
    """Do the same in a running event loop, also beside other things in it; cancelling it stops the server too."""
    app = create_app(settings, kafka)
    with _bound(settings.api_host, settings.api_port) as bound:
        url = _url_of(settings.api_host, bound)
        config = uvicorn.Config(
            app,
            http="httptools",
            lifespan="off",  # it is ours below: uvicorn would turn what it raises into an exit code
            log_config=None,  # the process decides what its logs look like
            access_log=False,  # api/access.py writes it
            server_header=False,
            proxy_headers=bool(settings.trusted_proxies),  # uvicorn would believe whoever is on this machine
            forwarded_allow_ips=settings.trusted_proxies,
            timeout_graceful_shutdown=settings.shutdown_s,
        )
        async with app.router.lifespan_context(app):
            await _Server(config, lambda: _say(url, announce)).serve(sockets=[bound])
    log.info("api.stopped", url=url)


class _Server(uvicorn.Server):
    """uvicorn's server, but it tells when it takes requests, and a stop that was asked for is no failure.

    uvicorn raises the signal again at the end, which makes the exit code of a graceful stop -15.
    """

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().serve(sockets)
        finally:  # cancelled, uvicorn leaves its listeners with the loop: whoever gets their numbers next is not heard
            for listener in getattr(self, "servers", ()):
                listener.close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # signals come to the main thread only
            return
        loop = asyncio.get_running_loop()
        for number in _STOP_SIGNALS:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in _STOP_SIGNALS:
                loop.remove_signal_handler(number)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


def _url_of(host: str, bound: socket.socket) -> str:
    port = bound.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _say(url: str, announce: Announce | None) -> None:
    log.info("api.serving", url=url)
    if announce is not None:
        announce(url)
