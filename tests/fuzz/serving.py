"""The real server on a free port of the loopback address, in a thread of this process."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from api.serving import serving
from api.settings import ApiSettings
from producers.settings import KafkaSettings

_STARTS_WITHIN_S = 30.0


@contextmanager
def served(settings: ApiSettings, kafka: KafkaSettings) -> Iterator[str]:
    """Yield the URL of a server that takes requests."""
    started: Future[str] = Future()
    running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = Future()

    async def serve() -> None:
        task = asyncio.current_task()
        assert task is not None
        running.set_result((asyncio.get_running_loop(), task))
        await serving(settings, kafka, announce=started.set_result)

    def run() -> None:
        try:
            asyncio.run(serve())
        except asyncio.CancelledError:
            pass
        except BaseException as error:  # noqa: BLE001 - raised where the URL is waited for
            if not started.done():
                started.set_exception(error)

    thread = threading.Thread(target=run, name="api")
    thread.start()
    loop, task = running.result(_STARTS_WITHIN_S)
    try:
        yield started.result(_STARTS_WITHIN_S)
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
