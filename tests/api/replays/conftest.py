"""An organization's log, a topic of its events, and what a replay puts onto hookline.replay, each for one test."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from confluent_kafka import Consumer

from schemas.topics import REPLAY, ROUNDS
from tests.api.reading import ensure_topic, reading_from_now
from tests.api.replays.log_events import EventLog, event_log
from tests.api.replays.logged import Log, log_of


@pytest_asyncio.fixture
async def log(upgraded_url: str) -> AsyncIterator[Log]:
    """Yield a log in a database of its own: runners take whatever replay they find."""
    async with log_of(upgraded_url) as log:
        yield log


@pytest.fixture
def events(bootstrap: str, log: Log) -> Iterator[EventLog]:
    with event_log(bootstrap, log) as events:
        yield events


@pytest.fixture
def replayed(bootstrap: str) -> Iterator[Consumer]:
    ensure_topic(bootstrap, ROUNDS)
    with reading_from_now(bootstrap, REPLAY) as consumer:
        yield consumer
