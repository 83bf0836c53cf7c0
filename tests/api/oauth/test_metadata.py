"""The server's metadata (RFC 8414), read as a stranger's client reads it."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.api.oauth.granting import ISSUER, REDIRECT, VERIFIER, Server, server_in, server_of
from tests.api.problem import problem_of
from tests.api.running import RunningApps

pytestmark = pytest.mark.postgres


@pytest_asyncio.fixture
async def server(running: RunningApps, shared_url: str) -> AsyncIterator[Server]:
    async with server_in(running, shared_url) as made:
        yield made


WELL_KNOWN = "/.well-known/oauth-authorization-server"


async def test_it_is_what_rfc_8414_asks_for(server: Server) -> None:
    response = await server.anonymous.get(WELL_KNOWN)
    assert response.headers["content-type"] == "application/json"
    found = AuthorizationServerMetadata({**response.json(), "issuer": "https://example.com"})
    found.validate_grant_types_supported()
    found.validate_token_endpoint_auth_methods_supported()
    found.validate_response_types_supported()
    found.validate_code_challenge_methods_supported()
    said = response.json()
    assert said["issuer"] == ISSUER
    assert said["code_challenge_methods_supported"] == ["S256"]
    assert said["authorization_response_iss_parameter_supported"] is True
    assert "none" not in said["introspection_endpoint_auth_methods_supported"]
    for name in (
        "authorization_endpoint",
        "token_endpoint",
        "revocation_endpoint",
        "introspection_endpoint",
        "jwks_uri",
    ):
        assert said[name].startswith(f"{ISSUER}/oauth/")
    problem_of(await server.anonymous.get(f"{WELL_KNOWN}/other"), 404)


async def test_an_issuer_with_a_path_has_its_own_place(shared_url: str) -> None:
    async with server_of(shared_url, public_url="https://example.com/hooks/") as server:
        for path in (WELL_KNOWN, f"{WELL_KNOWN}/hooks"):
            said = (await server.anonymous.get(path)).json()
            assert said["issuer"] == "https://example.com/hooks"
            assert said["token_endpoint"] == "https://example.com/hooks/oauth/token"
        problem_of(await server.anonymous.get(f"{WELL_KNOWN}/hooks/more"), 404)


async def test_authlibs_client_gets_refreshes_and_revokes_from_discovery_alone(server: Server) -> None:
    client, user = await server.client(signing_algorithm="RS256"), await server.user()
    said = (await server.anonymous.get(WELL_KNOWN)).json()
    async with AsyncOAuth2Client(
        client.id,
        client.secret,
        scope="read",
        redirect_uri=REDIRECT,
        code_challenge_method="S256",
        token_endpoint_auth_method="client_secret_basic",
        transport=httpx.ASGITransport(server.app),
    ) as theirs:
        code = await server.code(client, user)
        token = await theirs.fetch_token(said["token_endpoint"], code=code, code_verifier=VERIFIER)
        keys = KeySet.import_key_set((await server.anonymous.get(said["jwks_uri"])).json())
        claims = jwt.decode(token["access_token"], keys, algorithms=["RS256"]).claims
        assert (claims["sub"], claims["client_id"]) == (user, client.id)
        fresh = await theirs.refresh_token(said["token_endpoint"], token["refresh_token"])
        assert fresh["refresh_token"] != token["refresh_token"]
        told = await theirs.introspect_token(said["introspection_endpoint"], token=fresh["access_token"])
        assert told.json()["active"] is True
        await theirs.revoke_token(said["revocation_endpoint"], token=fresh["refresh_token"])
        told = await theirs.introspect_token(said["introspection_endpoint"], token=fresh["access_token"])
        assert told.json() == {"active": False}
