"""docs/publishing.md: each example runs as it is written."""

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # re-exported without __all__
from fastapi import FastAPI

from producers import AsyncPublisher
from producers.event_outbox import TABLE
from producers.fastapi import Events, publisher_of, publishing
from schemas.ids import is_time_ordered
from schemas.topics import EVENTS

ROOT = Path(__file__).parents[2]
BLOCKS = dict(
    re.findall(r"<!-- run: (\w+) -->\n```python\n(.*?)```", (ROOT / "docs/publishing.md").read_text(), re.DOTALL)
)


@pytest.fixture(scope="module")
def kafka(bootstrap: str) -> str:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    if EVENTS not in admin.list_topics(timeout=30).topics:
        admin.create_topics([NewTopic(EVENTS, 8, 1)])[EVENTS].result(30)
    return bootstrap


def test_these_are_all() -> None:
    assert sorted(BLOCKS) == ["asyncio", "fastapi", "outbox", "sync"]


def ran(name: str, **env: str) -> list[str]:
    """Return what an example prints, run as a program of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BLOCKS[name]],
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.kafka
def test_from_threads(kafka: str) -> None:
    [event_id] = ran("sync", KAFKA_BOOTSTRAP_SERVERS=kafka)
    assert is_time_ordered(event_id, "evt")


@pytest.mark.kafka
def test_from_asyncio(kafka: str) -> None:
    event_id, many, refused = ran("asyncio", KAFKA_BOOTSTRAP_SERVERS=kafka)
    assert is_time_ordered(event_id, "evt")
    assert many == "100"
    assert refused.startswith("/data/id is missing")


@asynccontextmanager
async def client_of(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Run an application's lifespan and give a client that calls it, as a server would."""
    async with app.router.lifespan_context(app) as state:

        async def served(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "state": dict(state or {})}, receive, send)

        async with httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url="http://service") as client:
            yield client


@pytest.mark.kafka
async def test_from_fastapi(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka)
    names: dict[str, Any] = {}
    exec(BLOCKS["fastapi"], names)  # it defines an application
    async with client_of(names["app"]) as client:
        answer = await client.post("/users/user_123")
    assert answer.status_code == 201
    assert is_time_ordered(answer.json()["event_id"], "evt")


@pytest.mark.kafka
@pytest.mark.postgres
async def test_with_the_outbox(kafka: str, database_url: str) -> None:
    said = ran("outbox", KAFKA_BOOTSTRAP_SERVERS=kafka, DATABASE_URL=database_url)
    assert [line for line in said if "relay." not in line] == []  # it may log what it does before it is stopped
    connection = await asyncpg.connect(database_url)
    assert await connection.fetchval("SELECT count(*) FROM users") == 1
    assert await connection.fetchval(f"SELECT count(*) FROM {TABLE}") == 1
    await connection.close()


async def test_a_services_own_lifespan_and_override_go_on_working() -> None:
    seen = []

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        seen.append("opened")
        yield {"mine": "kept"}
        seen.append("closed")

    app = FastAPI(lifespan=publishing("127.0.0.1:1", source="/x", lifespan=own))

    async def asked(events: Events) -> str:
        return type(events).__name__

    app.get("/")(asked)
    async with client_of(app) as client:
        assert (await client.get("/")).json() == AsyncPublisher.__name__
        app.dependency_overrides[publisher_of] = lambda: 1
        assert (await client.get("/")).json() == "int"
    assert seen == ["opened", "closed"]


async def test_an_application_without_a_publisher_is_told_what_to_do() -> None:
    app = FastAPI()

    async def asked(events: Events) -> None: ...

    app.get("/")(asked)
    async with client_of(app) as client:
        with pytest.raises(RuntimeError, match="lifespan=publishing"):
            await client.get("/")
