"""Who is calling: the administrator, whoever a look-up finds, or nobody; and for how long that is believed."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sized
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit, urlunsplit

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI, Request
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from api.callers import KEPT_S, Callers
from api.credentials import Caller, CredentialKind
from api.database import DatabaseAway, engine_of, transaction_of
from api.errors import InvalidRequest, Unauthenticated
from schemas.ids import OrganizationId
from tests.api.conftest import NO_DATABASE_URL, TOKEN, client_of, settings_of
from tests.api.problem import problem_of
from tests.machine import SLOW_MACHINE_S

CALLERS = Callers(admin_token=TOKEN, admin_organization="org_default")
UNKNOWN = 'Bearer realm="hookline"'
INVALID = 'Bearer realm="hookline", error="invalid_token"'


def request(authorization: str | None, organization: str | None = None) -> Request:
    named = {"authorization": authorization, "hookline-organization": organization}
    headers = [(name.encode(), value.encode("latin-1")) for name, value in named.items() if value is not None]
    return Request({"type": "http", "method": "GET", "headers": headers, "app": FastAPI()})


@pytest.mark.parametrize(
    ("authorization", "challenge"),
    [
        (None, UNKNOWN),
        ("", UNKNOWN),
        (TOKEN, UNKNOWN),
        (f"Basic {TOKEN}", UNKNOWN),
        ("Bearer", UNKNOWN),
        ("Bearer  ", UNKNOWN),
        ("Bearer x", INVALID),
        (f"Bearer {TOKEN}x", INVALID),
        (f"Bearer {TOKEN[:-1]}", INVALID),
        (f"Bearer {TOKEN} {TOKEN}", INVALID),
        ("Bearer \xff", INVALID),
    ],
)
async def test_without_the_token_nobody_is_known(authorization: str | None, challenge: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        await CALLERS.identify(request(authorization))
    assert refused.value.headers == {"WWW-Authenticate": challenge}
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_is_the_same_in_every_case(scheme: str) -> None:
    assert (await CALLERS.identify(request(f"{scheme} {TOKEN}"))).name == "administrator"


@pytest.mark.parametrize(("named", "acts_in"), [(None, "org_default"), ("org_789", "org_789"), ("x" * 100, "x" * 100)])
async def test_the_administrator_acts_in_the_organization_named(named: str | None, acts_in: str) -> None:
    assert (await CALLERS.identify(request(f"Bearer {TOKEN}", named))).organization_id == acts_in


@pytest.mark.parametrize("named", ["", "-x", "a b", "x" * 101, "é", "a\n"])
async def test_what_cannot_be_an_organization_is_refused(named: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await CALLERS.identify(request(f"Bearer {TOKEN}", named))
    assert refused.value.flaws[0].header == "Hookline-Organization"


async def test_every_route_under_api_asks_who_calls_but_these(bare_api: httpx.AsyncClient) -> None:
    document = (await bare_api.get("/openapi.json")).json()
    asked, is_open = 0, []
    for path, operations in document["paths"].items():
        for method in operations:
            if not path.startswith("/api/"):
                continue
            if "security" not in operations[method]:
                is_open.append(f"{method} {path}")
                continue
            at = path.replace("{subscription_id}", "sub_x").replace("{name}", "user.created")
            response = await bare_api.request(method, at, headers={"Authorization": "Bearer nobody"})
            problem_of(response, 401)
            assert response.headers["www-authenticate"] == INVALID
            asked += 1
    assert asked >= 80
    assert sorted(is_open) == [
        "post /api/v1/invitations/accept",
        "post /api/v1/password-resets",
        "post /api/v1/password-resets/confirm",
        "post /api/v1/sessions",
        "post /api/v1/users/verify",
    ]


async def test_an_organization_that_cannot_be_one_is_a_problem(bare_api: httpx.AsyncClient) -> None:
    document = problem_of(
        await bare_api.get("/api/v1/event-types/user.created", headers={"Hookline-Organization": "a b"}), 422
    )
    assert document["errors"] == [
        {"detail": "must be 1 to 100 letters, digits and . _ : -", "header": "Hookline-Organization"}
    ]


class Finding:
    """A look-up that says what it was told to, when it is let."""

    def __init__(self, found: Caller | Exception | None = None) -> None:
        self.found = found
        self.asked: list[str] = []
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.entered = asyncio.Event()

    async def __call__(self, db: AsyncSession, value: str, organization_id: OrganizationId | None) -> Caller | None:
        del db, organization_id
        self.asked.append(value)
        self.entered.set()
        found = self.found
        await self.goes_on.wait()
        if isinstance(found, Exception):
            raise found
        return found


@dataclass
class Asked:
    """Callers with a look-up of API tokens, and requests that they identify; no query is made, so no database."""

    finding: Finding
    callers: Callers
    app: FastAPI

    async def identify(self, token: str = "hkl_1") -> str:
        headers = [(b"authorization", f"Bearer {token}".encode())]
        asked = Request({"type": "http", "method": "GET", "headers": headers, "app": self.app})
        return (await self.callers.identify(asked)).id


@pytest_asyncio.fixture
async def asked() -> AsyncIterator[Asked]:
    finding = Finding(known("tok_1"))
    app = FastAPI()
    app.state.engine = engine_of(settings_of(NO_DATABASE_URL))
    lookups = {CredentialKind.API_TOKEN: finding}
    yield Asked(finding, Callers(admin_token=TOKEN, admin_organization="org_default", lookups=lookups), app)
    await app.state.engine.dispose()


def known(identifier: str, *, expires_at: datetime | None = None) -> Caller:
    return Caller(
        organization_id=OrganizationId("org_1"),
        name="n",
        kind=CredentialKind.API_TOKEN,
        id=identifier,
        permissions=frozenset(),
        expires_at=expires_at,
    )


async def test_a_hundred_first_requests_are_one_look_up(asked: Asked) -> None:
    asked.finding.goes_on.clear()
    waiting = [asyncio.create_task(asked.identify()) for _ in range(100)]
    await asked.finding.entered.wait()
    asked.finding.goes_on.set()
    assert await asyncio.gather(*waiting) == ["tok_1"] * 100
    assert await asked.identify() == "tok_1"
    assert asked.finding.asked == ["hkl_1"]
    await asked.identify("hkl_2")
    assert asked.finding.asked == ["hkl_1", "hkl_2"]  # each credential its own


async def test_whoever_asked_first_may_hang_up(asked: Asked) -> None:
    asked.finding.goes_on.clear()
    first = asyncio.create_task(asked.identify())
    await asked.finding.entered.wait()
    second = asyncio.create_task(asked.identify())
    await asyncio.sleep(0)
    first.cancel()
    asked.finding.goes_on.set()
    assert await second == "tok_1"
    assert len(asked.finding.asked) == 1


async def test_a_look_up_that_fails_fails_for_all_and_is_not_kept(asked: Asked) -> None:
    asked.finding.found = DatabaseAway()
    asked.finding.goes_on.clear()
    waiting = [asyncio.create_task(asked.identify()) for _ in range(3)]
    await asked.finding.entered.wait()
    asked.finding.goes_on.set()
    assert [type(each) for each in await asyncio.gather(*waiting, return_exceptions=True)] == [DatabaseAway] * 3
    asked.finding.found = known("tok_1")
    assert await asked.identify() == "tok_1"


async def test_what_is_made_up_is_kept_nowhere(asked: Asked) -> None:
    asked.finding.found = None
    for _ in range(2):
        for number in range(100):
            with pytest.raises(Unauthenticated):
                await asked.identify(f"hkl_{number}")
    assert len(asked.finding.asked) == 200
    kept = vars(asked.callers)
    assert [name for name, value in kept.items() if isinstance(value, Sized) and len(value) > 32] == []


async def test_kept_verdicts_are_bounded(asked: Asked) -> None:
    for number in range(10_100):
        await asked.identify(f"hkl_{number}")
    assert max(len(value) for value in vars(asked.callers).values() if isinstance(value, MutableMapping)) <= 10_000


async def test_what_expires_while_it_is_kept_is_refused(asked: Asked) -> None:
    until = datetime.now(UTC) + timedelta(seconds=0.2)
    asked.finding.found = known("tok_1", expires_at=until)
    assert await asked.identify() == "tok_1"
    await asyncio.sleep((until - datetime.now(UTC)).total_seconds())  # a clock, no event
    with pytest.raises(Unauthenticated):
        await asked.identify()
    assert len(asked.finding.asked) == 1


async def test_a_look_up_from_before_a_revocation_is_not_kept(asked: Asked) -> None:
    asked.finding.goes_on.clear()
    before = asyncio.create_task(asked.identify())
    await asked.finding.entered.wait()
    asked.finding.found = None
    asked.callers.forget()
    asked.finding.goes_on.set()
    assert await before == "tok_1"  # it came before
    with pytest.raises(Unauthenticated):
        await asked.identify()


async def test_nobody_joins_a_look_up_from_before_a_revocation(asked: Asked) -> None:
    asked.finding.goes_on.clear()
    before = asyncio.create_task(asked.identify())
    await asked.finding.entered.wait()
    asked.finding.found = None
    asked.callers.forget()
    after = asyncio.create_task(asked.identify())
    asked.finding.goes_on.set()
    assert await before == "tok_1"
    with pytest.raises(Unauthenticated):
        await after


@pytest.mark.postgres
async def test_what_is_seen_before_a_revocation_commits_is_forgotten_when_it_does(
    api: httpx.AsyncClient, shared_url: str
) -> None:
    token = (await api.post("/api/v1/api-tokens", json={"name": "x", "scopes": ["read"]})).json()
    headers = {"Authorization": f"Bearer {token['token']}"}
    engine = engine_of(settings_of(shared_url))
    async with transaction_of(engine) as db:  # the revocation waits for its entry in the audit log
        await db.execute(text("LOCK TABLE audit_log IN EXCLUSIVE MODE"))
        revoking = asyncio.create_task(api.delete(f"/api/v1/api-tokens/{token['id']}"))
        waiting = text("SELECT count(*) FROM pg_locks WHERE relation = 'audit_log'::regclass AND NOT granted")
        while not (await db.execute(waiting)).scalar_one():
            assert not revoking.done()
        assert (await api.get("/api/v1/event-types/user.created", headers=headers)).status_code == 200
    assert (await revoking).status_code == 204
    problem_of(await api.get("/api/v1/event-types/user.created", headers=headers), 401)
    await engine.dispose()


@pytest.mark.postgres
async def test_a_revocation_in_another_process_holds_within_two_seconds(
    api: httpx.AsyncClient, shared_url: str
) -> None:
    token = (await api.post("/api/v1/api-tokens", json={"name": "x", "scopes": ["read"]})).json()
    headers = {"Authorization": f"Bearer {token['token']}"}
    async with client_of(settings_of(shared_url)) as other:
        assert (await other.get("/api/v1/event-types/user.created", headers=headers)).status_code == 200
        assert (await api.delete(f"/api/v1/api-tokens/{token['id']}")).status_code == 204
        assert KEPT_S <= 2
        revoked_at = time.monotonic()
        assert (await api.get("/api/v1/event-types/user.created", headers=headers)).status_code == 401  # here at once
        while (await other.get("/api/v1/event-types/user.created", headers=headers)).status_code == 200:
            assert time.monotonic() - revoked_at < KEPT_S + SLOW_MACHINE_S
            await asyncio.sleep(0.05)


@pytest.mark.postgres
async def test_without_postgresql_kept_verdicts_hold_for_two_seconds_and_then_it_is_503(
    api: httpx.AsyncClient, shared_url: str
) -> None:
    token = (await api.post("/api/v1/api-tokens", json={"name": "x", "scopes": ["read"]})).json()
    headers = {"Authorization": f"Bearer {token['token']}"}
    async with (
        cut_off_from(shared_url) as (cut, url),
        client_of(settings_of(url, database_wait_s=1)) as other,
    ):
        began = time.monotonic()
        assert (await other.get("/api/v1/event-types/user.created", headers=headers)).status_code == 200
        await cut()
        response = await other.get("/api/v1/event-types/user.created", headers=headers)
        assert response.status_code == 200 or time.monotonic() - began > KEPT_S
        while (response := await other.get("/api/v1/event-types/user.created", headers=headers)).status_code == 200:
            assert time.monotonic() - began < KEPT_S + SLOW_MACHINE_S
            await asyncio.sleep(0.05)
        problem_of(response, 503)
        assert response.headers["retry-after"]
        problem_of(
            await other.get("/api/v1/event-types/user.created", headers={"Authorization": "Bearer hkl_" + "A" * 43}),
            503,
        )
        assert (
            await other.get("/api/v1/event-types/user.created")
        ).status_code == 200  # the administrator needs no database


@asynccontextmanager
async def cut_off_from(url: str) -> AsyncIterator[tuple[Callable[[], Awaitable[None]], str]]:
    """Yield a way to PostgreSQL that can be cut, and the URL by which it goes."""
    parts = urlsplit(url)
    writers: list[asyncio.StreamWriter] = []

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(65_536):
                writer.write(chunk)
                await writer.drain()
        writer.close()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(parts.hostname, parts.port)
        writers.extend((writer, back))
        await asyncio.gather(copy(reader, back), copy(there, writer))

    server = await asyncio.start_server(pass_on, "127.0.0.1", 0)

    async def cut() -> None:
        server.close()
        for writer in writers:
            writer.close()
        for writer in writers:
            with suppress(OSError):
                await writer.wait_closed()

    netloc = f"{parts.username}:{parts.password}@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield cut, urlunsplit(parts._replace(netloc=netloc))
    finally:
        await cut()
