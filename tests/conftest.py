"""The real parts that tests run on: one Kafka and one PostgreSQL for each process of a run (`make test` has two).

They are started when the first test asks for them.

`HOOKLINE_TEST_KAFKA` (host:port) and `HOOKLINE_TEST_DATABASE_URL` name running servers instead, in containers for
example; tests are the same.
"""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest
import structlog
from hypothesis import HealthCheck, settings

from compose import children
from compose.kafka import EmbeddedKafka
from compose.postgres import EmbeddedPostgres

# rich's tracebacks show all locals: rendering SQLAlchemy's takes 19 s, in the loop of the app under test.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)


# How long an example takes says how busy the machine is, and what a run has found the next one must find as well: the
# examples are the same every time. `pytest --hypothesis-profile=search` looks for others.
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("suite", settings.get_profile("search"), derandomize=True)
settings.load_profile("suite")


def _ports_of_this_process() -> range:
    """Return half of the ports for each of two processes of a run: one may not listen yet where the other looks."""
    ports, worker = children.FREE_PORTS, os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    half = len(ports) // 2
    return ports[half:] if int(worker.removeprefix("gw")) % 2 else ports[:half]


children.FREE_PORTS = _ports_of_this_process()


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """Return the folder where the embedded servers keep their data and logs.

    Not below pytest's own folder: as root PostgreSQL runs as another user, and each pytest that starts takes away what
    lets that user pass there.
    """
    with tempfile.TemporaryDirectory(prefix="hookline-tests-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def bootstrap(servers_folder: Path) -> Iterator[str]:
    """Return where the run's Kafka is, `host:port`."""
    if named := os.environ.get("HOOKLINE_TEST_KAFKA"):
        yield named
        return
    kafka = EmbeddedKafka(servers_folder / "kafka")
    kafka.start()
    try:
        kafka.wait_until_ready()
        yield kafka.bootstrap_servers
    finally:
        kafka.stop()


@pytest.fixture(scope="session")
def postgres_url(servers_folder: Path) -> Iterator[str]:
    """Return the URL of a database on the run's PostgreSQL, for making others."""
    if named := os.environ.get("HOOKLINE_TEST_DATABASE_URL"):
        yield named
        return
    postgres = EmbeddedPostgres(servers_folder / "postgres", durable=False)
    postgres.start()
    try:
        postgres.wait_until_ready()
        yield postgres.database_url
    finally:
        postgres.stop()


@pytest.fixture
def database_url(postgres_url: str) -> Iterator[str]:
    """Return the URL of an empty database of this test's own, dropped after it."""
    with database(postgres_url) as url:
        yield url


@contextmanager
def database(postgres_url: str) -> Iterator[str]:
    """Yield the URL of an empty database, dropped at the end."""
    name = f"test_{uuid4().hex}"
    asyncio.run(_execute(postgres_url, f"CREATE DATABASE {name}"))
    yield urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
    asyncio.run(_execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)"))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
