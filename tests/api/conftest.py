"""The app as a client sees it: over ASGI, on the real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import httpx
import pytest
import pytest_asyncio
from pwdlib.hashers.argon2 import Argon2Hasher
from pydantic import SecretStr

from api.app import create_app
from api.database import engine_of
from api.migrations import upgrade
from api.settings import ApiSettings
from api.users import passwords
from producers.settings import KafkaSettings
from schemas.ids import OrganizationId
from schemas.topics import EVENTS
from tests.api.logged import Log
from tests.api.reading import ensure_topic

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


@pytest.fixture(scope="session")
def shared_url(postgres_url: str) -> Iterator[str]:
    """One upgraded database for tests that keep to an organization of their own: a fresh one costs 0.3 s."""
    name = f"api_{uuid4().hex}"
    url = urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
    asyncio.run(_execute(postgres_url, f"CREATE DATABASE {name}"))
    asyncio.run(upgrade(url))
    yield url
    asyncio.run(_execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)"))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


@pytest_asyncio.fixture
async def api(shared_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client to the app as in production (https and public addresses only), in an organization of its own."""
    async with client_of(settings_of(shared_url)) as client:
        client.headers["Hookline-Organization"] = f"org_{uuid4().hex}"
        yield client


@pytest_asyncio.fixture
async def log(shared_url: str, api: httpx.AsyncClient) -> AsyncIterator[Log]:
    """The delivery log of the organization in which `api` asks, to write to."""
    engine = engine_of(settings_of(shared_url))
    yield Log(engine, OrganizationId(api.headers["Hookline-Organization"]))
    await engine.dispose()


@pytest_asyncio.fixture
async def bare_api() -> AsyncIterator[httpx.AsyncClient]:
    """A client to the app without a database: what is refused before anything is looked up needs none."""
    async with client_of(settings_of(NO_DATABASE_URL)) as client:
        yield client


@pytest_asyncio.fixture
async def development_api(shared_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client to the app as it is in development: plain http and loopback are allowed."""
    async with client_of(settings_of(shared_url, development=True)) as client:
        client.headers["Hookline-Organization"] = f"org_{uuid4().hex}"
        yield client


@pytest.fixture
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let passwords cost next to nothing: for tests that are about who signs in, not about hashes."""
    monkeypatch.setattr(passwords, "_ARGON2", Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1))
    passwords._nobodys_hash.cache_clear()
    yield
    passwords._nobodys_hash.cache_clear()


@pytest.fixture
def kafka_with_events(bootstrap: str) -> KafkaSettings:
    """The real Kafka, with the events topic."""
    ensure_topic(bootstrap, EVENTS)
    return KafkaSettings(bootstrap_servers=bootstrap)
