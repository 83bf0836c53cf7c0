"""The app as a client sees it: over ASGI, on the real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import httpx
import pytest
import pytest_asyncio
from pwdlib.hashers.argon2 import Argon2Hasher
from pydantic import SecretStr

from api.app import create_app
from api.migrations import upgrade
from api.settings import ApiSettings
from api.users import passwords
from producers.settings import KafkaSettings
from schemas.ids import OrganizationId
from schemas.topics import EVENTS
from tests.api.logged import Log
from tests.api.reading import ensure_topic
from tests.api.running import NO_KAFKA, RunningApps, running_apps

TOKEN = "an-administrators-token"
MASTER_KEYS = "k1:" + "A" * 43 + "="
NO_DATABASE_URL = "postgresql://nobody@127.0.0.1:1/nothing"


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


@pytest.fixture
def upgraded_url(postgres_url: str, upgraded_template: str) -> Iterator[str]:
    """Return the URL of an upgraded database of this test's own, dropped after it."""
    with _database(postgres_url, prefix="test", template=upgraded_template) as url:
        yield url


@pytest.fixture(scope="session")
def upgraded_template(postgres_url: str) -> Iterator[str]:
    """Return the name of an upgraded database to make others of: nobody may be connected to it."""
    with _database(postgres_url, prefix="upgraded") as url:
        asyncio.run(upgrade(url))
        yield urlsplit(url).path[1:]


@pytest.fixture(scope="session")
def shared_url(postgres_url: str, upgraded_template: str) -> Iterator[str]:
    """One upgraded database for tests that keep to an organization of their own: another costs 0.1 s."""
    with _database(postgres_url, prefix="api", template=upgraded_template) as url:
        yield url


@contextmanager
def _database(postgres_url: str, *, prefix: str, template: str = "template1") -> Iterator[str]:
    name = f"{prefix}_{uuid4().hex}"
    asyncio.run(_execute(postgres_url, f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
    asyncio.run(_execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)"))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


@pytest_asyncio.fixture(scope="session")
async def running(shared_url: str) -> AsyncIterator[RunningApps]:
    """The apps that run on the shared database."""
    async with running_apps() as apps:
        yield apps


@asynccontextmanager
async def client_in(apps: RunningApps, settings: ApiSettings) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client with the administrator's token, to an app that runs before and after it."""
    transport = httpx.ASGITransport(await apps.app(settings))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers, timeout=30) as client:
        yield client


@pytest_asyncio.fixture
async def api(running: RunningApps, shared_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client to the app as in production (https and public addresses only), in an organization of its own."""
    async with client_in(running, settings_of(shared_url)) as client:
        client.headers["Hookline-Organization"] = f"org_{uuid4().hex}"
        yield client


@pytest_asyncio.fixture
async def log(running: RunningApps, shared_url: str, api: httpx.AsyncClient) -> Log:
    """The delivery log of the organization in which `api` asks, to write to."""
    app = await running.app(settings_of(shared_url))
    return Log(app.state.engine, OrganizationId(api.headers["Hookline-Organization"]))


@pytest_asyncio.fixture
async def bare_api() -> AsyncIterator[httpx.AsyncClient]:
    """A client to the app without a database: what is refused before anything is looked up needs none."""
    async with client_of(settings_of(NO_DATABASE_URL)) as client:  # its own: it says time and again what is away
        yield client


@pytest_asyncio.fixture
async def development_api(running: RunningApps, shared_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client to the app as it is in development: plain http and loopback are allowed."""
    async with client_in(running, settings_of(shared_url, development=True)) as client:
        client.headers["Hookline-Organization"] = f"org_{uuid4().hex}"
        yield client


@pytest.fixture(scope="session", autouse=True)
def quick_hashes() -> Iterator[None]:
    """Let passwords cost next to nothing: a full hash takes 0.1 s of a core, and few tests are about hashes."""
    with _hashing_with(Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)):
        yield


@pytest.fixture
def full_hashes() -> Iterator[None]:
    """Let passwords cost what they do in production."""
    with _hashing_with(Argon2Hasher()):
        yield


@contextmanager
def _hashing_with(hasher: Argon2Hasher) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_ARGON2", hasher)
        passwords._nobodys_hash.cache_clear()
        yield
    passwords._nobodys_hash.cache_clear()


@pytest.fixture
def kafka_with_events(bootstrap: str) -> KafkaSettings:
    """The real Kafka, with the events topic."""
    ensure_topic(bootstrap, EVENTS)
    return KafkaSettings(bootstrap_servers=bootstrap)
