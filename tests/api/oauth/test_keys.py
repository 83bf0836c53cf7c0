"""Signing keys: published before they sign and as long as something that they signed is valid."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import nullcontext

import httpx
import pytest
import pytest_asyncio
from joserfc import jwt
from joserfc.jwk import KeySet, OKPKey, RSAKey
from sqlalchemy import event

from api.callers import KEPT_S
from api.database import transaction_of
from api.oauth.keeping import KeyKeeper
from api.oauth.keys import kept_keys, rotate_if_due
from api.oauth.signing import SigningKeys
from schemas.sealing import new_master_key, sealer_of
from tests.api.conftest import settings_of
from tests.api.oauth.forging import parts_of
from tests.api.oauth.granting import ISSUER, Client, Server, server_in, server_of
from tests.api.running import RunningApps
from tests.machine import SLOW_MACHINE_S

pytestmark = pytest.mark.postgres


@pytest_asyncio.fixture
async def server(running: RunningApps, shared_url: str) -> AsyncIterator[Server]:
    async with server_in(running, shared_url) as made:
        yield made


@pytest.mark.parametrize("algorithm", ["EdDSA", "RS256"])
async def test_a_stranger_verifies_a_token_with_the_published_keys_alone(server: Server, algorithm: str) -> None:
    client = await server.client(signing_algorithm=algorithm)
    token = await server.of_client(client, scope="read")
    response = await server.anonymous.get("/oauth/jwks.json")
    assert response.headers["cache-control"] == "public, max-age=3600"
    published = response.json()
    for key in published["keys"]:
        assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & set(key)
    header, claims, _ = parts_of(token)
    assert (header["typ"], header["alg"]) == ("at+jwt", algorithm)
    keys = KeySet.import_key_set(published)
    with pytest.warns() if algorithm == "EdDSA" else nullcontext():
        found = jwt.decode(token, keys, algorithms=[algorithm])
    assert found.claims == claims
    assert claims.keys() == {"iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope", "org"}
    assert (claims["iss"], claims["sub"], claims["client_id"]) == (ISSUER, client.id, client.id)
    assert (claims["org"], claims["scope"]) == (server.organization, "read")
    key = next(each for each in published["keys"] if each["kid"] == header["kid"])
    made = OKPKey.import_key(key) if algorithm == "EdDSA" else RSAKey.import_key(key)
    assert made.thumbprint() == key["kid"]  # RFC 7638


async def test_a_key_is_published_a_day_before_it_signs_and_until_its_last_token_expired(upgraded_url: str) -> None:
    async with server_of(upgraded_url) as server:
        client, services = await server.client(), server.services
        old = await server.of_client(client)
        first = parts_of(old)[0]["kid"]
        assert await rotate_if_due(services.engine, services.sealer, services.settings) == 0
        await _shift(server, "89 days 1 hour")  # of 90
        assert await rotate_if_due(services.engine, services.sealer, services.settings) == 2
        fresh = SigningKeys(services.sealer, services.settings)
        published = [key["kid"] for key in await fresh.published(services.engine)]
        assert len(published) == 4
        assert (await fresh.signer(services.engine, "EdDSA")).id == first
        await _shift(server, "1 day")
        fresh = SigningKeys(services.sealer, services.settings)
        second = (await fresh.signer(services.engine, "EdDSA")).id
        assert second in published
        assert second != first
        assert (await server.call(old)).status_code == 200
        await _shift(server, "2 days")
        assert await rotate_if_due(services.engine, services.sealer, services.settings) == 0
        async with transaction_of(services.engine) as db:
            assert first not in {row.id for row in await kept_keys(db)}


async def _shift(server: Server, by: str) -> None:
    await server.rows(
        "UPDATE oauth_signing_keys SET signs_from = signs_from - $1::text::interval,"
        " signs_until = signs_until - $1::text::interval, expires_at = expires_at - $1::text::interval",
        by,
    )


async def test_many_processes_at_once_make_one_key_of_each_kind(upgraded_url: str) -> None:
    async with server_of(upgraded_url) as server:
        services = server.services
        made = await asyncio.gather(
            *(rotate_if_due(services.engine, services.sealer, services.settings) for _ in range(5))
        )
        assert sorted(made) == [0, 0, 0, 0, 2]


async def test_keys_are_kept_ahead_though_nobody_asks_for_a_token(upgraded_url: str) -> None:
    async with server_of(upgraded_url) as server:
        running = asyncio.create_task(KeyKeeper(server.services.settings, every_s=0.01).run())
        try:
            assert await _until(server, 2)
            await _shift(server, "89 days 1 hour")
            assert await _until(server, 4)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def _until(server: Server, wanted: int) -> bool:
    """Return whether there are so many keys within twenty seconds."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if (await server.rows("SELECT count(*) FROM oauth_signing_keys"))[0]["count"] == wanted:
            return True
        await asyncio.sleep(0.02)
    return False


async def test_a_key_that_another_process_made_is_found_and_made_up_ones_cost_no_query(upgraded_url: str) -> None:
    async with server_of(upgraded_url) as server, server_of(upgraded_url) as other:
        await server.anonymous.get("/oauth/jwks.json")
        client = await other.client()
        token = await other.of_client(client)
        assert (await server.call(token)).status_code == 200
        asked: list[str] = []
        async with transaction_of(server.services.engine) as db:
            connection = (await db.connection()).sync_connection
            assert connection is not None
            event.listen(connection, "before_cursor_execute", lambda *given: asked.append(given[2]))
            for number in range(20):
                assert await server.keys.verifier(db, f"made-up-{number}") is None
        assert len(asked) <= 1


async def test_with_another_master_key_tokens_verify_and_a_new_key_signs(upgraded_url: str) -> None:
    async with server_of(upgraded_url) as server:
        client = await server.client()
        token = await server.of_client(client)
        stranger = SigningKeys(sealer_of(new_master_key()), settings_of(upgraded_url))
        async with transaction_of(server.services.engine) as db:
            assert await stranger.verifier(db, parts_of(token)[0]["kid"]) is not None
        signer = await stranger.signer(server.services.engine, "EdDSA")
        assert signer.id != parts_of(token)[0]["kid"]


async def test_a_revoked_token_is_refused_within_two_seconds_by_another_process(shared_url: str) -> None:
    async with server_of(shared_url) as server, server_of(shared_url) as other:
        client = await server.client()
        token = await server.of_client(client)
        assert (await other.call(token)).status_code == 200  # from here on it is kept there
        await _revoked(server, client, token)
        assert (await server.call(token)).status_code == 401  # at once where it was revoked
        assert KEPT_S <= 2
        began = time.monotonic()
        while (await other.call(token)).status_code == 200:
            assert time.monotonic() - began < KEPT_S + SLOW_MACHINE_S
            await asyncio.sleep(0.05)


async def _revoked(server: Server, client: Client, token: str) -> httpx.Response:
    return await server.anonymous.post("/oauth/revoke", data={**client.form, "token": token})
