"""A piece of work that ends when it is done, whatever is away meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import structlog
from confluent_kafka import KafkaException

from api.database import DatabaseAway
from api.replays.log_bounds import LogAway
from producers.errors import ProducingError

log = structlog.get_logger("api.replays")

_SHORTEST_BACKOFF_S: Final = 0.1
_LONGEST_BACKOFF_S: Final = 2.0


async def persevere(name: str, step: Callable[[], Awaitable[bool]], stopped: asyncio.Event) -> None:
    """Call `step` until it returns True or `stopped` is set; what it raises is logged once and tried again later."""
    backoff_s, waits_for = _SHORTEST_BACKOFF_S, ""
    while not stopped.is_set():
        try:
            if await step():
                return
        except Exception as error:
            culprit = _culprit(error)
            if culprit != waits_for:
                said = f"{type(error).__name__}: {error}"
                log.warning("replay.waiting", work=name, waits_for=culprit, error=said, exc_info=culprit == "us")
            waits_for = culprit
            await waited(stopped, backoff_s)
            backoff_s = min(backoff_s * 2, _LONGEST_BACKOFF_S)
        else:
            if waits_for:
                log.info("replay.going_on", work=name, waited_for=waits_for)
            backoff_s, waits_for = _SHORTEST_BACKOFF_S, ""


async def waited(event: asyncio.Event, seconds: float) -> None:
    """Return when `event` is set, after `seconds` at most."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


def _culprit(error: Exception) -> str:
    if isinstance(error, DatabaseAway):
        return "postgresql"
    return "kafka" if isinstance(error, ProducingError | KafkaException | LogAway) else "us"
