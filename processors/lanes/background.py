"""Tasks that nobody awaits: kept until they end, and what they raise is heard."""

import asyncio
from collections.abc import Awaitable, Callable


class Background:
    """Runs tasks; what one raises goes to `on_failure`."""

    def __init__(self, on_failure: Callable[[BaseException], None]) -> None:
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, work: Awaitable[object]) -> None:
        """Start a task."""
        task = asyncio.get_running_loop().create_task(_awaited(work))
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    async def stop(self, within_s: float) -> None:
        """Let what runs end, and cancel what has not after `within_s` seconds."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within_s)
        for task in tuple(self._tasks):
            task.cancel()

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failure(error)


async def _awaited(work: Awaitable[object]) -> None:
    await work
