"""The app as a client sees it: over ASGI, on the real PostgreSQL."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
import pytest_asyncio
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # re-exported without __all__
from pydantic import SecretStr

from api.app import create_app
from api.migrations import upgrade
from api.settings import ApiSettings
from producers.settings import KafkaSettings
from schemas.topics import EVENTS

TOKEN = "an-administrators-token"
MASTER_KEYS = "k1:" + "A" * 43 + "="
NO_DATABASE_URL = "postgresql://nobody@127.0.0.1:1/nothing"
NO_KAFKA = KafkaSettings(bootstrap_servers="127.0.0.1:1")


def settings_of(database_url: str, **others: object) -> ApiSettings:
    given = {"database_url": database_url, "master_keys": SecretStr(MASTER_KEYS), "admin_token": SecretStr(TOKEN)}
    return ApiSettings.model_validate({**given, **others})


@asynccontextmanager
async def client_of(settings: ApiSettings, kafka: KafkaSettings = NO_KAFKA) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client with the administrator's token, to an app that runs from start to end."""
    app = create_app(settings, kafka)
    transport = httpx.ASGITransport(app)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers, timeout=30) as client,
    ):
        yield client


@pytest_asyncio.fixture
async def upgraded_url(database_url: str) -> str:
    await upgrade(database_url)
    return database_url


@pytest_asyncio.fixture
async def api(upgraded_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client to the app as it is in production: https and public addresses only."""
    async with client_of(settings_of(upgraded_url)) as client:
        yield client


@pytest_asyncio.fixture
async def bare_api() -> AsyncIterator[httpx.AsyncClient]:
    """A client to the app without a database: what is refused before anything is looked up needs none."""
    async with client_of(settings_of(NO_DATABASE_URL)) as client:
        yield client


@pytest_asyncio.fixture
async def development_api(upgraded_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client to the app as it is in development: plain http and loopback are allowed."""
    async with client_of(settings_of(upgraded_url, development=True)) as client:
        yield client


@pytest.fixture
def kafka_with_events(bootstrap: str) -> KafkaSettings:
    """The real Kafka, with the events topic."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    topic = NewTopic(EVENTS, num_partitions=8, replication_factor=1)
    with suppress(KafkaException):  # it is there already
        admin.create_topics([topic])[EVENTS].result(30)
    while any(partition.leader < 0 for partition in admin.list_topics(EVENTS).topics[EVENTS].partitions.values()):
        time.sleep(0.05)
    return KafkaSettings(bootstrap_servers=bootstrap)
