"""Use is counted: in memory at once, in PostgreSQL now and then, and nothing of it twice."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from api.credentials import Caller, CredentialKind
from api.database import DatabaseAway, engine_of
from api.tokens.uses import Uses
from schemas.ids import OrganizationId
from tests.api.conftest import NO_DATABASE_URL, client_of, settings_of
from tests.api.subscriptions.making import rows_of
from tests.api.tokens.making import PATH, as_token, made

pytestmark = pytest.mark.postgres
READ = "/api/v1/subscriptions"
NOW = datetime.now(UTC)


def caller_of(token_id: str, kind: CredentialKind = CredentialKind.API_TOKEN) -> Caller:
    return Caller(organization_id=OrganizationId("o"), name="n", kind=kind, id=token_id, permissions=frozenset())


async def usage_of(api: httpx.AsyncClient, token: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await api.get(f"{PATH}/{token['id']}/usage")).json()
    return found


async def test_what_was_counted_is_written_when_the_process_stops(api: httpx.AsyncClient, shared_url: str) -> None:
    narrow = await made(api, scopes=["subscriptions:read"])
    bound = await made(api, allowed_addresses=["203.0.113.0/24"])
    limited = await made(api, rate_limit=1)
    async with client_of(settings_of(shared_url)) as other:
        for _ in range(3):
            assert (await other.get(READ, headers=as_token(narrow))).status_code == 200
        assert (await other.get("/api/v1/deliveries", headers=as_token(narrow))).status_code == 403  # counts
        assert (await other.get(READ, headers=as_token(bound))).status_code == 403  # from elsewhere: does not
        assert [(await other.get(READ, headers=as_token(limited))).status_code for _ in range(2)] == [200, 429]
        assert (await usage_of(api, narrow))["total"] == 0
    used = await usage_of(api, narrow)
    assert used["data"] == [{"day": datetime.now(UTC).date().isoformat(), "requests": 4}]
    assert used["total"] == 4
    assert (await usage_of(api, bound))["total"] == 0
    assert (await usage_of(api, limited))["total"] == 2
    shown = (await api.get(f"{PATH}/{narrow['id']}")).json()
    assert shown["last_used_at"] == used["last_used_at"] is not None
    assert shown["version"] == 1


async def test_processes_that_write_at_once_add_up(api: httpx.AsyncClient, shared_url: str) -> None:
    tokens = [await made(api) for _ in range(8)]
    engine = engine_of(settings_of(shared_url))
    processes = [Uses() for _ in range(10)]
    for number, uses in enumerate(processes):
        for token in tokens if number % 2 else reversed(tokens):
            uses.count(caller_of(token["id"]), now=NOW)
            uses.count(caller_of(token["id"]), now=NOW - timedelta(days=1))
    await asyncio.gather(*(uses.write(engine) for uses in processes))
    for token in tokens:
        assert [each["requests"] for each in (await usage_of(api, token))["data"]] == [10, 10]
    await engine.dispose()


async def test_what_fails_is_counted_with_the_next(api: httpx.AsyncClient, shared_url: str) -> None:
    token = await made(api)
    uses, away, there = Uses(), engine_of(settings_of(NO_DATABASE_URL)), engine_of(settings_of(shared_url))
    uses.count(caller_of(token["id"]), now=NOW - timedelta(seconds=5))
    with pytest.raises(DatabaseAway):
        await uses.write(away)
    uses.count(caller_of(token["id"]), now=NOW)
    await uses.write(there)
    await uses.write(there)  # nothing is left
    found = await usage_of(api, token)
    assert found["total"] == 2
    assert datetime.fromisoformat(found["last_used_at"]) == NOW
    await away.dispose()
    await there.dispose()


async def test_last_use_never_goes_back(api: httpx.AsyncClient, shared_url: str) -> None:
    token = await made(api)
    engine = engine_of(settings_of(shared_url))
    for at in (NOW, NOW - timedelta(minutes=3)):  # the clock of another process is behind
        uses = Uses()
        uses.count(caller_of(token["id"]), now=at)
        await uses.write(engine)
    assert datetime.fromisoformat((await usage_of(api, token))["last_used_at"]) == NOW
    await engine.dispose()


async def test_a_token_that_is_gone_does_not_keep_the_others_from_being_counted(
    api: httpx.AsyncClient, shared_url: str
) -> None:
    token = await made(api)
    engine = engine_of(settings_of(shared_url))
    uses = Uses()
    uses.count(caller_of("tok_gone"), now=NOW)
    uses.count(caller_of(token["id"]), now=NOW)
    uses.count(caller_of("administrator", CredentialKind.ADMINISTRATOR), now=NOW)
    await uses.write(engine)
    assert (await usage_of(api, token))["total"] == 1
    await engine.dispose()


async def test_use_is_shown_for_90_days(api: httpx.AsyncClient, shared_url: str) -> None:
    token = await made(api)
    today = datetime.now(UTC).date()
    add = "INSERT INTO api_token_uses (organization_id, token_id, day, requests) VALUES ($1, $2, $3, 7)"
    for days_ago in (90, 89, 1, 0):
        day = today - timedelta(days=days_ago)
        await rows_of(shared_url, add, api.headers["Hookline-Organization"], token["id"], day)
    found = await usage_of(api, token)
    assert [each["day"] for each in found["data"]] == [str(today - timedelta(days=days)) for days in (89, 1, 0)]
    assert found["total"] == 21
