"""Access tokens that nobody issued: none of them passes, at the API or at introspection (RFC 8725)."""

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from joserfc.jwk import OKPKey, RSAKey

from api.oauth.signing import NamedKey
from tests.api.oauth.forging import decoded, joined, parts_of, signed_by
from tests.api.oauth.granting import Server, server_in
from tests.api.running import RunningApps

pytestmark = pytest.mark.postgres


@pytest_asyncio.fixture
async def server(running: RunningApps, shared_url: str) -> AsyncIterator[Server]:
    async with server_in(running, shared_url) as made:
        yield made


@dataclass(frozen=True, slots=True)
class Good:
    """A good token, the key that signed it, and the one of RS256."""

    header: dict[str, Any]
    claims: dict[str, Any]
    signature: bytes
    key: NamedKey
    rsa: NamedKey


_OTHER = OKPKey.generate_key("Ed25519")
_OTHER_RSA = RSAKey.generate_key(2048)


def _public_bytes(key: NamedKey) -> bytes:
    return key.key.as_pem(private=False)


FORGED: dict[str, Callable[[Good], str]] = {
    "no signature": lambda g: joined(g.header, g.claims, b""),
    "alg none": lambda g: joined({**g.header, "alg": "none"}, g.claims, b""),
    "alg None": lambda g: joined({**g.header, "alg": "None"}, g.claims, b""),
    "alg none with the signature": lambda g: joined({**g.header, "alg": "none"}, g.claims, g.signature),
    "another claim under the same signature": lambda g: joined(g.header, {**g.claims, "scope": "write"}, g.signature),
    "another organization": lambda g: joined(g.header, {**g.claims, "org": "org_default"}, g.signature),
    "HS256 with the public key as PEM": lambda g: signed_by(_public_bytes(g.key), "HS256", g.header, g.claims),
    "HS256 with the RSA public key as PEM": lambda g: signed_by(
        _public_bytes(g.rsa), "HS256", {**g.header, "kid": g.rsa.id}, g.claims
    ),
    "HS256 with the raw public key": lambda g: signed_by(
        decoded(str(g.key.key.as_dict(private=False)["x"])), "HS256", g.header, g.claims
    ),
    "HS256 with nothing": lambda g: signed_by(b"", "HS256", g.header, g.claims),
    "a stranger's key under our kid": lambda g: signed_by(_OTHER, "EdDSA", g.header, g.claims),
    "a stranger's key under its own kid": lambda g: signed_by(
        _OTHER, "EdDSA", {**g.header, "kid": _OTHER.thumbprint()}, g.claims
    ),
    "a stranger's key in jwk": lambda g: signed_by(
        _OTHER, "EdDSA", {**g.header, "jwk": _OTHER.as_dict(private=False)}, g.claims
    ),
    "a stranger's key at jku": lambda g: signed_by(_OTHER, "EdDSA", {**g.header, "jku": "https://evil/jwks"}, g.claims),
    "a stranger's key at x5u": lambda g: signed_by(_OTHER, "EdDSA", {**g.header, "x5u": "https://evil/x"}, g.claims),
    "our key and a jku": lambda g: signed_by(g.key.key, "EdDSA", {**g.header, "jku": "https://evil/jwks"}, g.claims),
    "a stranger's RSA key under our kid": lambda g: signed_by(
        _OTHER_RSA, "RS256", {**g.header, "kid": g.rsa.id}, g.claims
    ),
    "RS256 by the RSA key under the EdDSA key's kid": lambda g: signed_by(g.rsa.key, "RS256", g.header, g.claims),
    "EdDSA named RS256": lambda g: joined({**g.header, "alg": "RS256"}, g.claims, g.signature),
    "EdDSA named Ed25519": lambda g: signed_by(g.key.key, "Ed25519", g.header, g.claims),
    "no kid": lambda g: signed_by(g.key.key, "EdDSA", {"typ": "at+jwt"}, g.claims),
    "a kid that is a path": lambda g: signed_by(g.key.key, "EdDSA", {**g.header, "kid": "../../dev/null"}, g.claims),
    "a kid that is SQL": lambda g: signed_by(g.key.key, "EdDSA", {**g.header, "kid": "' OR 1=1 --"}, g.claims),
    "a kid that is a list": lambda g: signed_by(g.key.key, "EdDSA", {**g.header, "kid": [g.key.id]}, g.claims),
    "typ JWT": lambda g: signed_by(g.key.key, "EdDSA", {**g.header, "typ": "JWT"}, g.claims),  # RFC 8725, 3.11
    "no typ": lambda g: signed_by(g.key.key, "EdDSA", {"kid": g.key.id}, g.claims),
    "crit": lambda g: signed_by(g.key.key, "EdDSA", {**g.header, "crit": ["x"], "x": 1}, g.claims),
    "b64 false": lambda g: signed_by(g.key.key, "EdDSA", {**g.header, "crit": ["b64"], "b64": False}, g.claims),
    "another issuer": lambda g: signed_by(g.key.key, "EdDSA", g.header, {**g.claims, "iss": "https://evil.example"}),
    "another audience": lambda g: signed_by(g.key.key, "EdDSA", g.header, {**g.claims, "aud": "https://other.example"}),
    "an audience that is a list": lambda g: signed_by(
        g.key.key, "EdDSA", g.header, {**g.claims, "aud": [g.claims["aud"]]}
    ),
    "expired": lambda g: signed_by(g.key.key, "EdDSA", g.header, {**g.claims, "exp": int(time.time()) - 31}),
    "exp as text": lambda g: signed_by(g.key.key, "EdDSA", g.header, {**g.claims, "exp": str(g.claims["exp"])}),
    "no exp": lambda g: signed_by(g.key.key, "EdDSA", g.header, {n: v for n, v in g.claims.items() if n != "exp"}),
    "not yet": lambda g: signed_by(g.key.key, "EdDSA", g.header, {**g.claims, "nbf": int(time.time()) + 60}),
    "issued tomorrow": lambda g: signed_by(g.key.key, "EdDSA", g.header, {**g.claims, "iat": int(time.time()) + 60}),
    "a client that is not there": lambda g: signed_by(
        g.key.key, "EdDSA", g.header, {**g.claims, "client_id": "app_" + "0" * 32}
    ),
    "another client's organization": lambda g: signed_by(
        g.key.key, "EdDSA", g.header, {**g.claims, "org": "org_default"}
    ),
    "a grant that is not there": lambda g: signed_by(g.key.key, "EdDSA", g.header, {**g.claims, "grant": "grt_1"}),
    "claims that are a list": lambda g: joined(g.header, [g.claims], g.signature),
    "five parts": lambda g: joined(g.header, g.claims, g.signature) + ".a.b",
    "too long": lambda g: signed_by(g.key.key, "EdDSA", g.header, {**g.claims, "x": "y" * 9000}),
}


@pytest.mark.parametrize("forgery", sorted(FORGED))
async def test_nothing_forged_passes(server: Server, forgery: str) -> None:
    client = await server.client()
    token = await server.of_client(client)
    header, claims, signature = parts_of(token)
    engine = server.services.engine
    key, rsa = await server.keys.signer(engine, "EdDSA"), await server.keys.signer(engine, "RS256")
    assert (await server.call(signed_by(key.key, "EdDSA", header, claims))).status_code == 200  # the way itself works
    forged = FORGED[forgery](Good(header, claims, signature, key, rsa))
    assert (await server.call(forged)).status_code == 401
    answer = await server.anonymous.post("/oauth/introspect", data={**client.form, "token": forged})
    assert answer.json() == {"active": False}


async def test_clocks_may_differ_by_thirty_seconds(server: Server) -> None:
    header, claims, _ = parts_of(await server.of_client(await server.client()))
    key = await server.keys.signer(server.services.engine, "EdDSA")
    now = int(time.time())
    for changed in ({"exp": now - 25}, {"nbf": now + 25}, {"iat": now + 25}):
        assert (await server.call(signed_by(key.key, "EdDSA", header, {**claims, **changed}))).status_code == 200
