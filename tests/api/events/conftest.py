"""The API on the real Kafka and PostgreSQL, and what comes to the events topic."""

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from confluent_kafka import Consumer

from producers.settings import KafkaSettings
from schemas.topics import EVENTS
from tests.api.conftest import client_of, settings_of
from tests.api.reading import reading_from_now


@pytest.fixture
def events(bootstrap: str) -> Iterator[Consumer]:
    """Read the events that come from now on."""
    with reading_from_now(bootstrap, EVENTS) as consumer:
        yield consumer


@pytest_asyncio.fixture
async def posting_api(shared_url: str, kafka_with_events: KafkaSettings) -> AsyncIterator[httpx.AsyncClient]:
    """A client to the app with all that it needs, in an organization of its own."""
    async with client_of(settings_of(shared_url), kafka_with_events) as client:
        client.headers["Hookline-Organization"] = f"org_{uuid4().hex}"
        yield client
