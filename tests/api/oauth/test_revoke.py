"""Revocation (RFC 7009): a client ends its own tokens, and learns nothing about those of others."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.api.oauth.granting import Client, Server, error_of, server_in
from tests.api.running import RunningApps

pytestmark = pytest.mark.postgres


@pytest_asyncio.fixture
async def server(running: RunningApps, shared_url: str) -> AsyncIterator[Server]:
    async with server_in(running, shared_url) as made:
        yield made


async def revoke(server: Server, client: Client, token: str, **form: str) -> httpx.Response:
    return await server.anonymous.post("/oauth/revoke", data={**client.form, "token": token, **form})


# which token, whose, with which hint; and which are good afterwards
CASES = [
    ("access_token", "own", "", {"refresh_token"}),
    ("access_token", "own", "access_token", {"refresh_token"}),
    ("access_token", "own", "refresh_token", {"refresh_token"}),  # a hint is no more than that (RFC 7009, 2.1)
    ("access_token", "own", "something", {"refresh_token"}),
    ("refresh_token", "own", "", set()),
    ("refresh_token", "own", "refresh_token", set()),
    ("refresh_token", "own", "access_token", set()),
    ("refresh_token", "own", "something", set()),
    ("access_token", "other", "", {"access_token", "refresh_token"}),
    ("access_token", "other", "access_token", {"access_token", "refresh_token"}),
    ("refresh_token", "other", "", {"access_token", "refresh_token"}),
    ("refresh_token", "other", "refresh_token", {"access_token", "refresh_token"}),
    ("access_token", "stranger", "", {"access_token", "refresh_token"}),
    ("refresh_token", "stranger", "", {"access_token", "refresh_token"}),
    ("access_token", "public", "", {"access_token", "refresh_token"}),
    ("refresh_token", "public", "", {"access_token", "refresh_token"}),
]


@pytest.mark.parametrize(("which", "whose", "hint", "good"), CASES)
async def test_only_the_clients_own_tokens_are_revoked_and_the_answer_never_says(
    server: Server, which: str, whose: str, hint: str, good: set[str]
) -> None:
    owner = await server.client()
    asking = {
        "own": owner,
        "other": await server.client(),
        "stranger": await server.client(organization=f"{server.organization}-other"),
        "public": await server.client(kind="public"),
    }[whose]
    tokens = await server.tokens(owner)
    assert (await server.call(tokens["access_token"])).status_code == 200
    answer = await revoke(server, asking, tokens[which], token_type_hint=hint)
    nothing = await revoke(server, asking, "hkr_" + "A" * 43, token_type_hint=hint)
    assert (answer.status_code, answer.content, _steady(answer)) == (200, nothing.content, _steady(nothing))
    assert (await server.call(tokens["access_token"])).status_code == (200 if "access_token" in good else 401)
    refreshed = await server.refresh(owner, tokens["refresh_token"])
    assert refreshed.status_code == (200 if "refresh_token" in good else 400)


def _steady(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in ("x-request-id", "ratelimit")}


@pytest.mark.parametrize(
    "made_up", ["x", "hkr_", "hkr_" + "A" * 43, "hkl_" + "A" * 43, "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "é", "y" * 9000]
)
async def test_what_is_no_token_is_answered_as_if_it_was_one(server: Server, made_up: str) -> None:
    client = await server.client()
    answer = await revoke(server, client, made_up)
    assert (answer.status_code, answer.json()) == (200, {})


async def test_revoking_twice_is_once(server: Server) -> None:
    client = await server.client()
    tokens = await server.tokens(client)
    for which in ("access_token", "access_token", "refresh_token", "refresh_token"):
        assert (await revoke(server, client, tokens[which])).status_code == 200
    (row,) = await server.rows("SELECT revoked_reason FROM oauth_grants WHERE application_id = $1", client.id)
    assert row["revoked_reason"] == "revoked_by_client"


async def test_a_used_refresh_token_ends_its_family_too(server: Server) -> None:
    client = await server.client()
    first = await server.tokens(client)
    second = (await server.refresh(client, first["refresh_token"])).json()
    await revoke(server, client, first["refresh_token"])
    assert error_of(await server.refresh(client, second["refresh_token"])) == "invalid_grant"
    assert (await server.call(second["access_token"])).status_code == 401


async def test_a_public_client_revokes_its_own_by_its_id(server: Server) -> None:
    client = await server.client(kind="public")
    tokens = await server.tokens(client)
    assert (await revoke(server, client, tokens["refresh_token"])).status_code == 200
    assert (await server.call(tokens["access_token"])).status_code == 401


async def test_a_clients_own_access_token_is_revoked(server: Server) -> None:
    client = await server.client()
    token, other = await server.of_client(client), await server.of_client(client)
    assert (await revoke(server, client, token)).status_code == 200
    assert (await server.call(token)).status_code == 401
    assert (await server.call(other)).status_code == 200


async def test_who_is_not_known_revokes_nothing(server: Server) -> None:
    client = await server.client()
    tokens = await server.tokens(client)
    for form in ({"client_id": client.id}, {**client.form, "client_secret": "wrong"}, {"client_id": "nobody"}):
        answer = await server.anonymous.post("/oauth/revoke", data={**form, "token": tokens["refresh_token"]})
        assert error_of(answer, 401) == "invalid_client"
    assert error_of(await server.anonymous.post("/oauth/revoke", data=client.form)) == "invalid_request"
    assert error_of(await revoke(server, client, "x", client_id="")) == "invalid_request"
    twice = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await server.anonymous.post("/oauth/revoke", content=b"token=a&token=b&client_id=c", headers=twice)
    assert error_of(answer) == "invalid_request"
    assert (await server.call(tokens["access_token"])).status_code == 200


async def test_a_revocation_is_an_event_and_in_the_audit_log(server: Server) -> None:
    client = await server.client()
    tokens = await server.tokens(client)
    await revoke(server, client, tokens["refresh_token"])
    (entry,) = await server.rows(
        "SELECT * FROM audit_log WHERE organization_id = $1 AND action = 'auth.grant_revoked'", server.organization
    )
    assert (entry["actor_id"], entry["application_id"], entry["target_kind"]) == (client.id, client.id, "oauth_grants")
