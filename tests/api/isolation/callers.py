"""Credentials of every kind, good ones and those that are not any more, made over the API as customers make them."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from uuid import uuid4

import asyncpg
import httpx
from fastapi import FastAPI

from api.callers import CSRF_HEADER
from api.oauth.access_tokens import new_access_token, signed
from api.oauth.issuer import issuer_of
from api.permissions import GRANTABLE, Permission
from api.services import Services

PASSWORD = "seven unusual otters"
Headers = dict[str, str]
KINDS = ("api_token", "access_token", "session")


@dataclass(frozen=True)
class Credentials:
    """What requests of one kind of caller carry: all that an organization's own may have, and what does not hold."""

    full: Headers
    narrow: Headers  # `roles:read` and nothing else
    unusable: dict[str, Headers]


async def api_tokens(admin: httpx.AsyncClient, url: str) -> Credentials:
    """Make API tokens of the organization that `admin` acts in."""
    full, _ = await _api_token(admin, sorted(GRANTABLE))
    narrow, _ = await _api_token(admin, [Permission.ROLES_READ])
    revoked, revoked_id = await _api_token(admin, sorted(GRANTABLE))
    (await admin.delete(f"/api/v1/api-tokens/{revoked_id}")).raise_for_status()
    expired, expired_id = await _api_token(admin, sorted(GRANTABLE))
    await _run(url, "UPDATE api_tokens SET expires_at = now() - interval '1 s' WHERE id = $1", expired_id)
    spoiled = {"malformed": _bearer("hkl_short"), "unknown": _bearer(_spoiled(full["Authorization"].split()[1]))}
    return Credentials(full, narrow, {"revoked": revoked, "expired": expired, **spoiled})


async def access_tokens(admin: httpx.AsyncClient, app: FastAPI) -> Credentials:
    """Register an application and get access tokens for itself (RFC 6749, 4.4)."""
    body = {
        "name": "Machine",
        "kind": "confidential",
        "redirect_uris": [],
        "scopes": sorted(GRANTABLE),
        "grants": ["client_credentials"],
    }
    made = (await admin.post("/api/v1/applications", json=body)).raise_for_status().json()
    client = (made["id"], made["client_secret"])
    full, narrow = await _access_token(admin, client, GRANTABLE), await _access_token(admin, client, ["roles:read"])
    revoked = await _access_token(admin, client, GRANTABLE)
    (await admin.post("/oauth/revoke", data={"token": revoked}, auth=client)).raise_for_status()
    services: Services = app.state.services
    fresh = new_access_token(
        client_id=made["id"],
        organization_id=admin.headers["Hookline-Organization"],
        scopes=sorted(GRANTABLE),
        lifetime_s=60,
    )
    signer, issuer = await services.keys.signer(services.engine, "EdDSA"), issuer_of(services.settings)
    expired = signed(replace(fresh, expires_at=fresh.issued_at - 600), signer, issuer=issuer)
    unusable = {"revoked": revoked, "expired": expired, "malformed": "e30.e30.e30", "unknown": _spoiled(full)}
    return Credentials(_bearer(full), _bearer(narrow), {name: _bearer(token) for name, token in unusable.items()})


async def sessions(admin: httpx.AsyncClient, url: str, app: FastAPI) -> Credentials:
    """Make users and sign them in."""
    owner = await signed_in(admin, app, "owner")
    role = {"name": f"Narrow {uuid4().hex[:8]}", "permissions": ["roles:read"]}
    role_id = (await admin.post("/api/v1/roles", json=role)).raise_for_status().json()["id"]
    narrow = await signed_in(admin, app, role_id)
    revoked, expired = await signed_in(admin, app, "owner"), await signed_in(admin, app, "owner")
    at = "WHERE id = (SELECT id FROM sessions WHERE user_id = $1)"
    await _run(url, f"UPDATE sessions SET revoked_at = now() {at}", revoked[1])
    await _run(url, f"UPDATE sessions SET expires_at = now() - interval '1 s' {at}", expired[1])
    name, _, value = owner[0]["Cookie"].partition("=")
    spoiled = {"malformed": {"Cookie": f"{name}=x"}, "unknown": {"Cookie": f"{name}={_spoiled(value)}"}}
    return Credentials(owner[0], narrow[0], {"revoked": revoked[0], "expired": expired[0], **spoiled})


async def _api_token(admin: httpx.AsyncClient, scopes: list[Permission]) -> tuple[Headers, str]:
    made = await admin.post("/api/v1/api-tokens", json={"name": "a token", "scopes": scopes})
    assert made.status_code == 201, made.text
    return _bearer(made.json()["token"]), str(made.json()["id"])


async def _access_token(admin: httpx.AsyncClient, client: tuple[str, str], scopes: Iterable[str]) -> str:
    form = {"grant_type": "client_credentials", "scope": " ".join(sorted(scopes))}
    answer = await admin.post("/oauth/token", data=form, auth=client)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


async def signed_in(admin: httpx.AsyncClient, app: FastAPI, role: str) -> tuple[Headers, str]:
    """Make a user with a role and sign it in; return what its requests carry, and its id."""
    email = f"{uuid4().hex}@example.com"
    user = {"email": email, "name": "Ada", "password": PASSWORD, "role": role, "verified": True}
    made = await admin.post("/api/v1/users", json=user)
    assert made.status_code == 201, made.text
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as browser:
        answer = await browser.post("/api/v1/sessions", json={"email": email, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        cookie = answer.headers["set-cookie"].partition(";")[0]
    return {"Cookie": cookie, CSRF_HEADER: answer.json()["csrf_token"]}, str(made.json()["id"])


def _bearer(token: str) -> Headers:
    return {"Authorization": f"Bearer {token}"}


def _spoiled(token: str) -> str:
    """Return what looks like a token and is none: a letter in its middle is another one."""
    middle = len(token) // 2
    return f"{token[:middle]}{'A' if token[middle] != 'A' else 'B'}{token[middle + 1 :]}"


async def _run(url: str, statement: str, *values: object) -> None:
    db = await asyncpg.connect(url)
    assert await db.execute(statement, *values) == "UPDATE 1"
    await db.close()
