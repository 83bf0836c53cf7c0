"""Which API tokens are taken: those that are whole, valid, and of the organization that is named."""

import hashlib
import hmac
import json
from typing import Any

import httpx
import pytest

from tests.api.conftest import client_of, settings_of
from tests.api.problem import problem_of
from tests.api.subscriptions.making import rows_of
from tests.api.tokens.making import PATH, as_token, made

pytestmark = pytest.mark.postgres
READ = "/api/v1/subscriptions"


async def test_only_the_whole_token_is_taken(api: httpx.AsyncClient) -> None:
    token = (await made(api))["token"]
    flipped = token[:-2] + ("A" if token[-2] != "A" else "B") + token[-1]
    for wrong in (
        token[:-1],
        token + "A",
        flipped,
        token[:12],
        token.upper(),
        "hkl_" + "A" * 43,
        "hkl_",
        "hkl_" + "é" * 43,
    ):
        headers = {"Authorization": f"Bearer {wrong}".encode("latin-1")}
        problem_of(await api.get(READ, headers=headers), 401)  # type: ignore[arg-type] # bytes are fine
    assert (await api.get(READ, headers={"Authorization": f"Bearer {token}"})).status_code == 200


async def test_tokens_of_one_prefix_are_told_apart_and_all_compared(
    api: httpx.AsyncClient, shared_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await made(api)
    twins = [token["token"][:12] + letter * 35 for letter in "XYZ"]
    for number, twin in enumerate(twins, 5):
        changed = {"id": f"tok_{number}{token['id'][5:]}", "digest": rf"\x{hashlib.sha256(twin.encode()).hexdigest()}"}
        copied = "SELECT (jsonb_populate_record(t, $1::text::jsonb)).* FROM api_tokens t WHERE id = $2"
        await rows_of(shared_url, f"INSERT INTO api_tokens {copied}", json.dumps(changed), token["id"])
    compared: list[bytes] = []
    compare = hmac.compare_digest

    def watched(a: Any, b: Any) -> bool:
        compared.append(a)
        return compare(a, b)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    for each in [token["token"], *twins]:
        compared.clear()
        assert (await api.get(READ, headers={"Authorization": f"Bearer {each}"})).status_code == 200
        assert len(compared) == 1 + 4  # the administrator's, and every candidate's whichever it is
    compared.clear()
    problem_of(await api.get(READ, headers={"Authorization": f"Bearer {token['token'][:12]}{'W' * 35}"}), 401)
    assert len(compared) == 5


async def test_what_a_token_may_not_is_forbidden(api: httpx.AsyncClient) -> None:
    token = await made(api, scopes=["subscriptions:read"])
    refused = await api.get("/api/v1/deliveries", headers=as_token(token))
    assert "deliveries:read" in str(problem_of(refused, 403)["detail"])
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]
    problem_of(await api.post(PATH, json={"name": "x", "scopes": ["subscriptions:read"]}, headers=as_token(token)), 403)


async def test_a_scope_that_this_release_does_not_know_allows_nothing(api: httpx.AsyncClient, shared_url: str) -> None:
    token = await made(api, scopes=["read"])
    scopes = ["gone:read", "subscriptions:read", "*"]
    await rows_of(shared_url, "UPDATE api_tokens SET scopes = $1 WHERE id = $2", scopes, token["id"])
    assert (await api.get(READ, headers=as_token(token))).status_code == 200
    problem_of(await api.get("/api/v1/deliveries", headers=as_token(token)), 403)


async def test_a_token_acts_in_its_own_organization_only(api: httpx.AsyncClient) -> None:
    token = await made(api)
    problem_of(await api.get(READ, headers={**as_token(token), "Hookline-Organization": "org_nobodys"}), 404)
    own = api.headers.pop("Hookline-Organization")
    assert (await api.get(READ, headers=as_token(token))).status_code == 200  # without naming it too
    api.headers["Hookline-Organization"] = own


async def test_revoked_and_expired_tokens_are_nobodys(api: httpx.AsyncClient, shared_url: str) -> None:
    revoked, expired = await made(api), await made(api)
    assert (await api.get(READ, headers=as_token(revoked))).status_code == 200  # its verdict is kept
    await api.delete(f"{PATH}/{revoked['id']}")
    problem_of(await api.get(READ, headers=as_token(revoked)), 401)
    await rows_of(shared_url, "UPDATE api_tokens SET expires_at = now() WHERE id = $1", expired["id"])
    problem_of(await api.get(READ, headers=as_token(expired)), 401)


async def test_a_patch_holds_at_once_in_its_own_process(api: httpx.AsyncClient) -> None:
    token = await made(api)
    assert (await api.get(READ, headers=as_token(token))).status_code == 200
    await api.patch(f"{PATH}/{token['id']}", json={"allowed_addresses": ["203.0.113.0/24"]})
    problem_of(await api.get(READ, headers=as_token(token)), 403)


@pytest.mark.parametrize(
    ("allowed", "client", "status"),
    [
        (["203.0.113.0/24"], "203.0.113.9", 200),
        (["203.0.113.0/24"], "203.0.114.9", 403),
        (["203.0.113.0/24"], "::ffff:203.0.113.9", 200),  # a socket for both families says IPv4 so
        (["2001:db8::/32"], "2001:db8::1", 200),
        (["2001:db8::/32"], "2001:db9::1", 403),
        (["2001:db8::/32"], "203.0.113.9", 403),
        (["203.0.113.0/24", "2001:db8::/32"], "2001:db8:1::1", 200),
        (["203.0.113.0/24"], "not an address", 403),
        (["203.0.113.0/24"], "", 403),
    ],
)
async def test_a_token_works_from_its_addresses_only(
    api: httpx.AsyncClient, shared_url: str, allowed: list[str], client: str, status: int
) -> None:
    token = await made(api, allowed_addresses=allowed)
    async with client_of(settings_of(shared_url)) as other:
        app = other._transport.app  # type: ignore[attr-defined]
        transport = httpx.ASGITransport(app, client=(client, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as there:
            assert (await there.get(READ, headers=as_token(token))).status_code == status
