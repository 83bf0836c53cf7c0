"""A POST with a key is done once: on the real PostgreSQL, with routes that fail, wait or write as a test wants."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

import asyncpg
import httpx
import pytest
import pytest_asyncio
from fastapi import APIRouter, FastAPI, Response
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from api.access import Access
from api.callers import Callers, may
from api.credentials import Caller
from api.database import Db, engine_of
from api.errors import NotFound
from api.idempotency.repeats import Repeats
from api.limits.taking import RateLimits
from api.metrics import Metrics
from api.permissions import Permission
from api.problems import add_handlers
from api.requests import JsonRoute
from tests.api.conftest import MASTER_KEYS, TOKEN, settings_of
from tests.api.problem import problem_of

pytestmark = pytest.mark.postgres

KEY = {"Idempotency-Key": "their-key"}
Publisher = Annotated[Caller, may(Permission.EVENTS_PUBLISH)]  # what is published has no entry in the audit log


class Written(BaseModel):
    """A body of any text."""

    text: str


@dataclass
class Gate:
    """Where a route says that it runs, and waits."""

    entered: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)


def app_of(engine: AsyncEngine, gate: Gate) -> FastAPI:
    """Return an app with routes that write a row, and then do what their name says."""
    router = APIRouter(prefix="/api/v1", route_class=JsonRoute)

    async def write(db: Db, text_of_it: str) -> None:
        await db.execute(text("INSERT INTO written VALUES (:text)"), {"text": text_of_it})

    @router.post("/write", status_code=201)
    async def writes(body: Written, caller: Publisher, db: Db, response: Response) -> Written:
        await write(db, body.text)
        response.headers.update({"Location": "/there", "ETag": '"1"', "X-Other": "not kept"})
        return body

    @router.post("/wait")
    async def waits(body: Written, caller: Publisher, db: Db) -> Written:
        await write(db, body.text)
        gate.entered.set()
        await gate.opened.wait()
        return body

    @router.post("/raise")
    async def raises(body: Written, caller: Publisher, db: Db) -> None:
        await write(db, body.text)
        if not gate.opened.is_set():
            raise RuntimeError("ours")

    @router.post("/refuse")
    async def refuses(body: Written, caller: Publisher, db: Db) -> None:
        await write(db, body.text)
        if not gate.opened.is_set():
            raise NotFound("not there")

    @router.post("/fail")
    async def fails(body: Written, caller: Publisher, db: Db) -> Response:
        await write(db, body.text)
        return Response(status_code=204 if gate.opened.is_set() else 500)

    @router.post("/without-database")
    async def without(body: Written, caller: Publisher) -> Written:
        gate.entered.set()
        return body

    app = FastAPI()
    app.include_router(router)
    app.state.callers = Callers(admin_token=TOKEN, admin_organization="org_default")
    app.state.limits = RateLimits()
    app.state.largest_body_bytes = 10_000
    app.state.engine = engine
    app.state.repeats = Repeats(engine, settings_of("postgresql://x", master_keys=MASTER_KEYS).sealer())
    app.add_middleware(Access, metrics=Metrics())
    add_handlers(app)
    return app


@dataclass
class Stage:
    """An app, its gate and its database."""

    api: httpx.AsyncClient
    gate: Gate
    engine: AsyncEngine

    async def post(self, path: str, said: str = "a", headers: dict[str, str] | None = None) -> httpx.Response:
        return await self.api.post(f"/api/v1{path}", json={"text": said}, headers={**KEY, **(headers or {})})

    async def written(self) -> list[str]:
        return [row[0] for row in await self.run("SELECT text FROM written ORDER BY 1")]

    async def run(self, statement: str) -> list[Any]:
        async with self.engine.begin() as connection:
            result = await connection.execute(text(statement))
            return list(result.all()) if result.returns_rows else []


@asynccontextmanager
async def stage_on(url: str) -> AsyncIterator[Stage]:
    engine, gate = engine_of(settings_of(url, database_wait_s=30, database_query_s=30)), Gate()
    transport = httpx.ASGITransport(app_of(engine, gate))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers, timeout=30) as client:
        stage = Stage(client, gate, engine)
        await stage.run("CREATE TABLE written (text text UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        await stage.run("GRANT ALL ON written TO hookline_tenant")
        yield stage
    await engine.dispose()


@pytest_asyncio.fixture
async def stage(upgraded_url: str) -> AsyncIterator[Stage]:
    async with stage_on(upgraded_url) as stage:
        yield stage


async def test_a_repeat_gets_the_first_answer_and_does_nothing(stage: Stage) -> None:
    first, again = await stage.post("/write"), await stage.post("/write")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    for name in ("content-type", "location", "etag"):
        assert again.headers[name] == first.headers[name]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert "x-other" not in again.headers
    assert await stage.written() == ["a"]


async def test_without_a_key_nothing_is_kept(stage: Stage) -> None:
    for said in "ab":
        response = await stage.api.post("/api/v1/write", json={"text": said})
        assert "idempotent-replayed" not in response.headers
    assert await stage.written() == ["a", "b"]
    assert await stage.run("SELECT 1 FROM idempotency_keys") == []


@pytest.mark.parametrize(("path", "said"), [("/write", "b"), ("/write?x=1", "a"), ("/fail", "a")])
async def test_another_request_under_the_same_key_is_refused(stage: Stage, path: str, said: str) -> None:
    await stage.post("/write")
    document = problem_of(await stage.post(path, said), 422)
    assert document["errors"] == [
        {"detail": "was used for another request; take a new one", "header": "Idempotency-Key"}
    ]
    assert await stage.written() == ["a"]


async def test_a_key_belongs_to_an_organization(stage: Stage) -> None:
    await stage.post("/write")
    other = await stage.post("/write", "b", {"Hookline-Organization": "org_other"})
    assert (other.status_code, other.json()) == (201, {"text": "b"})
    assert await stage.written() == ["a", "b"]


async def test_while_the_first_is_under_way_a_repeat_is_told_to_wait(stage: Stage) -> None:
    first = asyncio.create_task(stage.post("/wait"))
    await stage.gate.entered.wait()
    early = await stage.post("/wait")
    problem_of(early, 409)
    assert int(early.headers["retry-after"]) >= 1
    problem_of(await stage.post("/wait", "b"), 422)
    stage.gate.opened.set()
    assert (await first).status_code == 200
    assert (await stage.post("/wait")).headers["idempotent-replayed"] == "true"
    assert await stage.written() == ["a"]


@pytest.mark.parametrize(("path", "status"), [("/raise", 500), ("/refuse", 404), ("/fail", 500)])
async def test_what_failed_or_was_refused_frees_the_key(stage: Stage, path: str, status: int) -> None:
    assert (await stage.post(path)).status_code == status
    assert await stage.run("SELECT 1 FROM idempotency_keys") == []
    await stage.run("DELETE FROM written")  # a 500 that is an answer, not an exception, was committed
    stage.gate.opened.set()
    assert (await stage.post(path, "b")).status_code < 300
    assert await stage.written() == ["b"]


async def test_an_answer_is_kept_with_its_change_or_not_at_all(stage: Stage) -> None:
    await stage.run("INSERT INTO written VALUES ('a')")  # the commit fails: the constraint is deferred
    problem_of(await stage.post("/write"), 500)
    assert await stage.run("SELECT 1 FROM idempotency_keys") == []
    await stage.run("DELETE FROM written")
    assert (await stage.post("/write")).status_code == 201
    assert await stage.written() == ["a"]


async def test_a_cancelled_request_frees_the_key(stage: Stage) -> None:
    first = asyncio.create_task(stage.post("/wait"))
    await stage.gate.entered.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    stage.gate.opened.set()
    assert "idempotent-replayed" not in (await stage.post("/wait")).headers
    assert await stage.written() == ["a"]


async def test_a_claim_that_was_left_is_taken_over_and_its_late_owner_changes_nothing(stage: Stage) -> None:
    first = asyncio.create_task(stage.post("/wait"))
    await stage.gate.entered.wait()
    await stage.run("UPDATE idempotency_keys SET created_at = now() - interval '91 s'")
    problem_of(await stage.post("/wait", "b"), 422)  # by the same request only
    stage.gate.entered.clear()
    second = asyncio.create_task(stage.post("/wait"))
    await stage.gate.entered.wait()
    stage.gate.opened.set()
    assert sorted([(await first).status_code, (await second).status_code]) == [200, 409]
    assert (await second).status_code == 200
    assert await stage.written() == ["a"]
    assert (await stage.post("/wait")).headers["idempotent-replayed"] == "true"


async def test_after_a_day_the_key_is_free(stage: Stage) -> None:
    await stage.post("/write")
    await stage.run("UPDATE idempotency_keys SET created_at = now() - interval '24 h'")
    assert (await stage.post("/write", "b")).json() == {"text": "b"}
    assert (await stage.post("/write", "b")).headers["idempotent-replayed"] == "true"
    assert await stage.written() == ["a", "b"]


async def test_a_route_without_a_transaction_is_done_once_too(stage: Stage) -> None:
    await stage.post("/without-database")
    stage.gate.entered.clear()
    assert (await stage.post("/without-database")).headers["idempotent-replayed"] == "true"
    assert not stage.gate.entered.is_set()


async def test_what_is_kept_is_sealed_and_what_does_not_open_is_not_done_again(stage: Stage) -> None:
    await stage.post("/write", "a-secret-to-be-shown-once")
    [(kept,)] = await stage.run("SELECT answer FROM idempotency_keys")
    assert b"a-secret" not in kept
    await stage.run("UPDATE idempotency_keys SET answer = 'damaged'")
    problem_of(await stage.post("/write", "a-secret-to-be-shown-once"), 409)
    assert len(await stage.written()) == 1


async def test_twenty_at_once_make_one_subscription(api: httpx.AsyncClient, shared_url: str) -> None:
    body = {"url": "https://93.184.216.34/in", "event_types": ["*"]}
    answers = await asyncio.gather(
        *(api.post("/api/v1/subscriptions", json=body, headers=KEY) for _ in range(20)),
    )
    assert {answer.status_code for answer in answers} <= {201, 409}
    told = [answer for answer in answers if answer.status_code == 201]
    assert len({answer.text for answer in told}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in told) == 1
    again = await api.post("/api/v1/subscriptions", json=body, headers=KEY)
    assert again.json() == told[0].json()
    assert again.json()["secret"].startswith("whsec_")
    connection = await asyncpg.connect(shared_url)
    made = await connection.fetchval(
        "SELECT count(*) FROM subscriptions WHERE organization_id = $1", api.headers["Hookline-Organization"]
    )
    await connection.close()
    assert made == 1
