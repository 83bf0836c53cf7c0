"""Refresh tokens: each is good for one use, a lost answer can be asked for again, and a theft ends the family."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from api.oauth.refreshing import next_refresh_token
from tests.api.oauth.granting import Client, Server, error_of, server_in, server_of
from tests.api.running import RunningApps

pytestmark = pytest.mark.postgres


@pytest_asyncio.fixture
async def server(running: RunningApps, shared_url: str) -> AsyncIterator[Server]:
    async with server_in(running, shared_url) as made:
        yield made


async def live_tokens(server: Server, client: Client) -> int:
    (row,) = await server.rows(
        "SELECT count(*) FROM oauth_refresh_tokens t JOIN oauth_grants g ON g.id = t.grant_id"
        " WHERE g.application_id = $1 AND t.used_at IS NULL AND g.revoked_at IS NULL",
        client.id,
    )
    return int(row["count"])


async def forget_the_grace(server: Server, client: Client) -> None:
    await server.rows(
        "UPDATE oauth_refresh_tokens SET used_at = used_at - interval '1 minute'"
        " WHERE grant_id IN (SELECT id FROM oauth_grants WHERE application_id = $1)",
        client.id,
    )


async def test_each_use_gives_the_next_and_another_access_token(server: Server) -> None:
    client = await server.client(kind="public")
    answer = await server.tokens(client)
    seen = {answer["refresh_token"]}
    for number in range(3):
        response = await server.refresh(client, answer["refresh_token"])
        assert response.status_code == 200, response.text
        assert response.headers["cache-control"] == "no-store"
        answer = response.json()
        assert answer["scope"] == "read"
        seen.add(answer["refresh_token"])
        assert len(seen) == number + 2
        assert (await server.call(answer["access_token"])).status_code == 200
    assert await live_tokens(server, client) == 1


async def test_a_family_ends_a_year_after_the_consent_however_often_it_was_used(server: Server) -> None:
    client = await server.client()
    answer = await server.tokens(client)
    of_it = "grant_id IN (SELECT id FROM oauth_grants WHERE application_id = $1)"
    aged = "UPDATE oauth_grants SET created_at = now() - interval '360 days' WHERE application_id = $1"
    await server.rows(aged, client.id)
    last = (await server.refresh(client, answer["refresh_token"])).json()["refresh_token"]
    ends = "SELECT expires_at < now() + interval '6 days' AS ends FROM oauth_refresh_tokens WHERE used_at IS NULL"
    (row,) = await server.rows(f"{ends} AND {of_it}", client.id)
    assert row["ends"]
    await server.rows(
        f"UPDATE oauth_refresh_tokens SET expires_at = expires_at - interval '6 days' WHERE {of_it}", client.id
    )
    assert error_of(await server.refresh(client, last), 400) == "invalid_grant"


async def test_of_fifty_uses_at_once_one_live_token_is_left_and_all_have_it(server: Server) -> None:
    client = await server.client()
    answer = await server.tokens(client)
    answers = await asyncio.gather(*(server.refresh(client, answer["refresh_token"]) for _ in range(50)))
    assert {each.status_code for each in answers} == {200}
    (follower,) = {each.json()["refresh_token"] for each in answers}
    assert await live_tokens(server, client) == 1
    assert (await server.refresh(client, follower)).status_code == 200
    assert await live_tokens(server, client) == 1


async def test_a_use_after_the_grace_revokes_the_family(server: Server) -> None:
    client = await server.client()
    answer = await server.tokens(client)
    follower = (await server.refresh(client, answer["refresh_token"])).json()
    await forget_the_grace(server, client)
    assert error_of(await server.refresh(client, answer["refresh_token"])) == "invalid_grant"
    assert error_of(await server.refresh(client, follower["refresh_token"])) == "invalid_grant"
    for token in (answer["access_token"], follower["access_token"]):
        assert (await server.call(token)).status_code == 401
    assert await live_tokens(server, client) == 0


async def test_within_the_grace_an_answer_that_was_used_was_not_lost(server: Server) -> None:
    client = await server.client()
    answer = await server.tokens(client)
    follower = (await server.refresh(client, answer["refresh_token"])).json()
    assert (await server.refresh(client, follower["refresh_token"])).status_code == 200
    assert error_of(await server.refresh(client, answer["refresh_token"])) == "invalid_grant"
    assert await live_tokens(server, client) == 0


async def test_without_a_grace_a_second_use_revokes_at_once(shared_url: str) -> None:
    async with server_of(shared_url, refresh_grace_s=0) as server:
        client = await server.client()
        answer = await server.tokens(client)
        assert (await server.refresh(client, answer["refresh_token"])).status_code == 200
        assert error_of(await server.refresh(client, answer["refresh_token"])) == "invalid_grant"
        assert await live_tokens(server, client) == 0


async def test_another_clients_token_is_no_good_and_does_not_hurt_its_own(server: Server) -> None:
    client, thief = await server.client(), await server.client()
    answer = await server.tokens(client)
    for _ in range(2):
        assert error_of(await server.refresh(thief, answer["refresh_token"])) == "invalid_grant"
    assert (await server.refresh(client, answer["refresh_token"])).status_code == 200


@pytest.mark.parametrize(
    "wider", ["read write", "events:publish", "subscriptions:*", "clients:read", "read nothing", "quarantine:read", "*"]
)
async def test_a_scope_is_never_widened_and_asking_does_not_use_the_token_up(server: Server, wider: str) -> None:
    client = await server.client()
    answer = await server.tokens(client)
    assert error_of(await server.refresh(client, answer["refresh_token"], scope=wider)) == "invalid_scope"
    assert (await server.refresh(client, answer["refresh_token"])).status_code == 200


async def test_a_narrower_scope_is_for_one_access_token_only(server: Server) -> None:
    client = await server.client()
    answer = await server.tokens(client)
    narrow = (await server.refresh(client, answer["refresh_token"], scope="deliveries:read")).json()
    assert narrow["scope"] == "deliveries:read"
    assert (await server.call(narrow["access_token"])).status_code == 403
    whole = (await server.refresh(client, narrow["refresh_token"])).json()  # RFC 6749, 6: the grant's scope stays
    assert whole["scope"] == "read"
    assert (await server.call(whole["access_token"])).status_code == 200


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE oauth_refresh_tokens SET expires_at = now() WHERE $1 <> '' AND $2 <> ''",
        "UPDATE users SET locked_at = now() WHERE id = $1 AND $2 <> ''",
        "DELETE FROM memberships WHERE user_id = $1 AND $2 <> ''",
        "UPDATE oauth_grants SET revoked_at = now() WHERE user_id = $1 AND $2 <> ''",
        "DELETE FROM oauth_grants WHERE user_id = $1 AND $2 <> ''",
        "UPDATE applications SET grants = '{authorization_code}' WHERE $1 <> '' AND id = $2",
    ],
)
async def test_what_stands_behind_a_token_is_asked_at_each_use(server: Server, statement: str) -> None:
    client, user = await server.client(), await server.user()
    answer = await server.tokens(client, user)
    await server.rows(statement, user, client.id)
    assert error_of(await server.refresh(client, answer["refresh_token"])) in ("invalid_grant", "unauthorized_client")


@pytest.mark.parametrize("made_up", ["x", "hkr_" + "A" * 43, "hkr_", "hkc_" + "A" * 43, "é", "x" * 5000])
async def test_what_is_no_refresh_token_is_refused(server: Server, made_up: str) -> None:
    assert error_of(await server.refresh(await server.client(), made_up)) == "invalid_grant"


async def test_an_access_token_or_a_code_is_no_refresh_token(server: Server) -> None:
    client, user = await server.client(), await server.user()
    answer = await server.tokens(client, user)
    assert error_of(await server.refresh(client, answer["access_token"])) == "invalid_grant"
    assert error_of(await server.refresh(client, await server.code(client, user))) == "invalid_grant"


def test_the_next_token_takes_a_key_that_is_not_in_the_database() -> None:
    ours, others = next_refresh_token("hkr_x", b"k" * 32), next_refresh_token("hkr_x", b"l" * 32)
    assert ours == next_refresh_token("hkr_x", b"k" * 32) != others
    assert len(ours) == len("hkr_") + 43
