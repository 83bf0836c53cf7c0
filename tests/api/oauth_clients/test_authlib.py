"""Authlib's client, from discovery alone: code flow with PKCE, refresh, introspect, revoke."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from authlib.common.security import generate_token
from authlib.integrations.httpx_client import AsyncOAuth2Client, OAuthError

from tests.api.oauth_clients.stage import REDIRECT_URI, Stage, staged

pytestmark = pytest.mark.postgres


async def discovered(client: Any, stage: Stage) -> dict[str, str]:
    """Return the server's metadata (RFC 8414), checked as its section 3.3 says."""
    at = f"{stage.url}/.well-known/oauth-authorization-server"
    answer = await client.request("GET", at, withhold_token=True)
    metadata: dict[str, str] = answer.raise_for_status().json()
    assert metadata["issuer"] == stage.url
    return metadata


def client_of(stage: Stage) -> Any:
    return AsyncOAuth2Client(
        client_id=stage.client_id,
        client_secret=stage.client_secret,
        token_endpoint_auth_method="client_secret_basic" if stage.client_secret else "none",
        revocation_endpoint_auth_method="client_secret_basic" if stage.client_secret else "none",
        redirect_uri=REDIRECT_URI,
        scope="read",
        code_challenge_method="S256",
        trust_env=False,
        timeout=30,
    )


@pytest.mark.parametrize("kind", ["confidential", "public"])
@pytest.mark.parametrize("algorithm", ["EdDSA", "RS256"])
async def test_the_whole_flow_from_discovery_alone(shared_url: str, kind: str, algorithm: str) -> None:
    async with staged(shared_url, kind=kind, algorithm=algorithm) as stage, client_of(stage) as client:
        metadata = await discovered(client, stage)
        verifier = generate_token(64)
        url, state = client.create_authorization_url(metadata["authorization_endpoint"], code_verifier=verifier)
        back = await stage.person.allow(url, redirect_uri=REDIRECT_URI)
        token = await client.fetch_token(
            metadata["token_endpoint"], authorization_response=back, state=state, code_verifier=verifier
        )
        assert token["token_type"] == "Bearer"
        assert token["expires_in"] == 3600
        assert (await client.get(f"{stage.url}/api/v1/subscriptions")).status_code == 200
        refused = await client.post(f"{stage.url}/api/v1/events", json={"type": "user.created", "data": {"id": "1"}})
        assert refused.status_code == 403, "it asked for read alone"

        next_token = await client.refresh_token(metadata["token_endpoint"], refresh_token=token["refresh_token"])
        assert next_token["refresh_token"] != token["refresh_token"]
        assert (await client.get(f"{stage.url}/api/v1/subscriptions")).status_code == 200

        if stage.client_secret:
            told = await client.introspect_token(metadata["introspection_endpoint"], token=next_token["access_token"])
            assert told.json()["active"] is True
            assert told.json()["client_id"] == stage.client_id

        revoked = await client.revoke_token(metadata["revocation_endpoint"], token=next_token["refresh_token"])
        assert revoked.status_code == 200
        assert (await client.get(f"{stage.url}/api/v1/subscriptions")).status_code == 401
        with pytest.raises(OAuthError, match="invalid_grant"):
            await client.refresh_token(metadata["token_endpoint"], refresh_token=next_token["refresh_token"])


async def test_consent_is_asked_once(shared_url: str) -> None:
    async with staged(shared_url) as stage, client_of(stage) as client:
        metadata = await discovered(client, stage)
        for pages in (2, 2):  # signing in and consent, then nothing more
            url, _ = client.create_authorization_url(
                metadata["authorization_endpoint"], code_verifier=generate_token(64)
            )
            await stage.person.allow(url, redirect_uri=REDIRECT_URI)
            assert len(stage.person.pages) == pages


async def test_who_says_no_gives_nothing(shared_url: str) -> None:
    async with staged(shared_url) as stage, client_of(stage) as client:
        metadata = await discovered(client, stage)
        url, state = client.create_authorization_url(
            metadata["authorization_endpoint"], code_verifier=generate_token(64)
        )
        back = await stage.person.allow(url, redirect_uri=REDIRECT_URI, button="Cancel")
        told = dict(parse_qsl(urlsplit(back).query))
        assert (told["error"], told["state"], told["iss"]) == ("access_denied", state, stage.url)
        assert "code" not in told
