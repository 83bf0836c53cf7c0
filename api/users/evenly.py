"""Taking equally long, so that what was done does not show in the time."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


@asynccontextmanager
async def no_sooner_than(seconds: float, *, unless: Callable[[], bool] = lambda: False) -> AsyncIterator[None]:
    """Let what is inside take at least this long, unless it says at its end that it need not."""
    began = time.monotonic()
    yield
    if not unless():
        await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))
