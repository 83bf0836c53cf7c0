"""Introspection (RFC 7662): whom a token concerns learns what it allows now; to anybody else it is none."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.api.oauth.granting import ISSUER, Client, Server, error_of, server_in
from tests.api.running import RunningApps

pytestmark = pytest.mark.postgres


@pytest_asyncio.fixture
async def server(running: RunningApps, shared_url: str) -> AsyncIterator[Server]:
    async with server_in(running, shared_url) as made:
        yield made


INACTIVE = {"active": False}


async def introspect(server: Server, client: Client, token: str, **form: str) -> httpx.Response:
    return await server.anonymous.post("/oauth/introspect", data={**client.form, "token": token, **form})


async def test_an_access_token_says_what_it_allows(server: Server) -> None:
    client, user = await server.client(), await server.user()
    tokens = await server.tokens(client, user)
    answer = await introspect(server, client, tokens["access_token"])
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    said = answer.json()
    assert said.pop("exp") - said.pop("iat") == 3600
    assert said.pop("jti").startswith("acc_")
    assert said == {
        "active": True,
        "token_type": "Bearer",
        "iss": ISSUER,
        "aud": ISSUER,
        "sub": user,
        "client_id": client.id,
        "scope": "read",
        "org": server.organization,
    }


async def test_a_refresh_token_is_active_until_it_is_used(server: Server) -> None:
    client, user = await server.client(), await server.user()
    tokens = await server.tokens(client, user)
    said = (await introspect(server, client, tokens["refresh_token"])).json()
    assert said.pop("exp") - said.pop("iat") == 30 * 86_400
    assert said == {
        "active": True,
        "iss": ISSUER,
        "sub": user,
        "client_id": client.id,
        "scope": "read",
        "org": server.organization,
    }
    await server.refresh(client, tokens["refresh_token"])
    assert (await introspect(server, client, tokens["refresh_token"])).json() == INACTIVE


# whose client asks about which token, with which hint; whether it learns anything
CASES = [
    ("own", "access_token", "", True),
    ("own", "access_token", "refresh_token", True),
    ("own", "refresh_token", "", True),
    ("own", "refresh_token", "access_token", True),
    ("own", "refresh_token", "something", True),
    ("neighbour", "access_token", "", True),  # a resource server of the same organization
    ("neighbour", "refresh_token", "", False),  # a refresh token concerns its client only
    ("stranger", "access_token", "", False),
    ("stranger", "access_token", "access_token", False),
    ("stranger", "refresh_token", "", False),
]


@pytest.mark.parametrize(("whose", "which", "hint", "is_active"), CASES)
async def test_only_whom_a_token_concerns_learns_about_it(
    server: Server, whose: str, which: str, hint: str, is_active: bool
) -> None:
    owner = await server.client()
    asking = {
        "own": owner,
        "neighbour": await server.client(),
        "stranger": await server.client(organization=f"{server.organization}-other"),
    }[whose]
    tokens = await server.tokens(owner)
    answer = await introspect(server, asking, tokens[which], token_type_hint=hint)
    assert answer.status_code == 200
    assert answer.json()["active"] is is_active
    if not is_active:
        assert answer.json() == INACTIVE


@pytest.mark.parametrize(
    ("statement", "access_is_active"),
    [
        ("UPDATE oauth_grants SET revoked_at = now() WHERE user_id = $1 AND $2 <> ''", False),
        ("UPDATE users SET locked_at = now() WHERE id = $1 AND $2 <> ''", False),
        ("UPDATE users SET must_reset = true WHERE id = $1 AND $2 <> ''", False),
        ("DELETE FROM memberships WHERE user_id = $1 AND $2 <> ''", False),
        ("DELETE FROM users WHERE id = $1 AND $2 <> ''", False),
        ("UPDATE applications SET enabled = false WHERE $1 <> '' AND id = $2", False),
        ("DELETE FROM applications WHERE $1 <> '' AND id = $2", False),
        ("UPDATE applications SET name = 'x' WHERE $1 <> '' AND id = $2", True),  # the control
    ],
)
async def test_a_token_is_as_good_as_what_stands_behind_it(
    server: Server, statement: str, access_is_active: bool
) -> None:
    client, neighbour, user = await server.client(), await server.client(), await server.user()
    tokens = await server.tokens(client, user)
    await server.rows(statement, user, client.id)
    said = (await introspect(server, neighbour, tokens["access_token"])).json()
    assert said["active"] is access_is_active
    server.services.callers.forget()
    assert (await server.call(tokens["access_token"])).status_code == (200 if access_is_active else 401)


async def test_a_revoked_token_is_inactive(server: Server) -> None:
    client = await server.client()
    token = await server.of_client(client)
    assert (await introspect(server, client, token)).json()["active"]
    await server.anonymous.post("/oauth/revoke", data={**client.form, "token": token})
    assert (await introspect(server, client, token)).json() == INACTIVE


@pytest.mark.parametrize(
    "made_up", ["x", "hkr_", "hkr_" + "A" * 43, "hkl_" + "A" * 43, "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "é", "y" * 9000]
)
async def test_what_is_no_token_is_inactive(server: Server, made_up: str) -> None:
    assert (await introspect(server, await server.client(), made_up)).json() == INACTIVE


async def test_a_code_is_no_token(server: Server) -> None:
    client = await server.client()
    code = await server.code(client, await server.user())
    assert (await introspect(server, client, code)).json() == INACTIVE


async def test_only_confidential_clients_may_ask(server: Server) -> None:
    public, client = await server.client(kind="public"), await server.client()
    token = (await server.tokens(public))["access_token"]
    assert error_of(await introspect(server, public, token), 401) == "invalid_client"
    for form in ({}, {"client_id": client.id}, {**client.form, "client_secret": "wrong"}):
        answer = await server.anonymous.post("/oauth/introspect", data={**form, "token": token})
        assert error_of(answer, 401 if form else 400) == ("invalid_client" if form else "invalid_request")
    bearer = {"Authorization": f"Bearer {token}"}
    answer = await server.anonymous.post("/oauth/introspect", data={"token": token}, headers=bearer)
    assert error_of(answer, 401) == "invalid_client"
    assert error_of(await server.anonymous.post("/oauth/introspect", data=client.form)) == "invalid_request"
    assert (await introspect(server, client, token)).json()["active"]
