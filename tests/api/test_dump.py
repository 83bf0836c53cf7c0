"""Whoever steals the database has nothing to sign in with: no token, code, cookie, secret or password is in a dump.

Each credential is made as its user would have it, the whole database is read, and each value of it that could be a
credential is tried as one.
"""

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast
from uuid import uuid4

import asyncpg
import httpx
import pytest

from api.database import engine_of, transaction_of
from api.oauth.clients import application_of
from api.oauth.codes import issue_code
from api.signed_links import LinkPurpose, SignedLinks
from tests.api.conftest import client_of, settings_of

pytestmark = pytest.mark.postgres

PASSWORD = "forty-two tame giraffes"
VERIFIER = "v" * 64
REDIRECT_URI = "https://client.example/callback"


@dataclass(frozen=True)
class Made:
    """Every kind of credential, in force; `used` ones are kept in the database too."""

    secrets: dict[str, str]
    application_id: str


async def made(api: httpx.AsyncClient, url: str) -> Made:
    """Make one of each."""
    email = f"{uuid4().hex}@example.com"
    user = await posted(api, "users", email=email, name="Ada", password=PASSWORD, role="admin")
    token = await posted(api, "api-tokens", name="a service", scopes=["read"])
    application = await posted(
        api,
        "applications",
        name="a client",
        kind="confidential",
        redirect_uris=[REDIRECT_URI],
        scopes=["read"],
        grants=["authorization_code", "refresh_token"],
    )
    rotated = await posted(api, f"applications/{application['id']}/rotate-secret", overlap="1h")
    invitation = await posted(api, "members/invitations", email=f"{uuid4().hex}@example.com", role="viewer")
    await posted(api, f"users/{user['id']}/send-reset")
    db = await asyncpg.connect(url)
    await db.execute("UPDATE users SET verified_at = now() WHERE id = $1", user["id"])
    reset_id = await db.fetchval("SELECT id FROM user_links WHERE user_id = $1 AND purpose = 'reset'", user["id"])
    await db.close()
    links = SignedLinks(settings_of(url).sealer(), public_url="http://x")
    used, unused = [await code(url, application["id"], user["id"], user["organization_id"]) for _ in range(2)]
    redeemed = await api.post(
        "/oauth/token",
        data={
            "grant_type": "authorization_code",
            "code": used,
            "redirect_uri": REDIRECT_URI,
            "code_verifier": VERIFIER,
        },
        auth=(application["id"], rotated["client_secret"]),
    )
    assert redeemed.status_code == 200, redeemed.text
    signed_in = await api.post("/api/v1/sessions", json={"email": email, "password": PASSWORD})
    assert signed_in.status_code in {200, 201}, signed_in.text
    cookie = next(iter(signed_in.cookies.jar)).value
    assert cookie is not None
    secrets = {
        "API token": token["token"],
        "client secret": application["client_secret"],
        "rotated client secret": rotated["client_secret"],
        "code": unused,
        "used code": used,
        "access token": redeemed.json()["access_token"],
        "refresh token": redeemed.json()["refresh_token"],
        "session's cookie": cookie.strip('"'),
        "session's CSRF token": signed_in.json()["csrf_token"],
        "password": PASSWORD,
        "invitation's link": links.token_of(LinkPurpose.INVITATION, invitation["id"]),
        "reset's link": links.token_of(LinkPurpose.RESET, reset_id),
    }
    return Made(secrets, application["id"])


async def posted(api: httpx.AsyncClient, path: str, **body: object) -> dict[str, str]:
    response = await api.post(f"/api/v1/{path}", json=body or None)
    assert response.is_success, response.text
    answer: dict[str, str] = response.json() if response.content else {}
    return answer


async def code(url: str, application_id: str, user_id: str, organization_id: str) -> str:
    challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
    engine = engine_of(settings_of(url))
    async with transaction_of(engine) as db:
        application = await application_of(db, application_id)
        assert application is not None
        issued = await issue_code(
            db,
            application=application,
            user_id=user_id,
            organization_id=organization_id,
            scopes=["read"],
            redirect_uri=REDIRECT_URI,
            redirect_uri_given=True,
            code_challenge=challenge,
            lifetime_s=60,
        )
    await engine.dispose()
    return issued


async def dump_of(url: str) -> str:
    """Return every row of every table as text, as `pg_dump` has it: bytes in hexadecimal."""
    db = await asyncpg.connect(url)
    tables = await db.fetch(
        "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) AS name FROM pg_tables "
        "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    )
    rows = [row[0] for each in tables for row in await db.fetch(f"SELECT t::text FROM {each['name']} t")]
    await db.close()
    return "\n".join(rows)


def spellings(secret: str) -> Iterator[str]:
    """Yield a secret as somebody might keep it."""
    raw = secret.encode()
    yield from (secret, raw.hex(), base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode().rstrip("="))
    yield re.sub(r"^[a-z]+_", "", secret)  # without its kind; what is random may hold a `_` near its end, too
    yield secret.rpartition(".")[2]  # a signature: with it the rest is known


async def test_nothing_that_opens_something_is_in_a_dump(upgraded_url: str) -> None:
    async with client_of(settings_of(upgraded_url)) as api:
        secrets = (await made(api, upgraded_url)).secrets
    dump = await dump_of(upgraded_url)
    assert "a service" in dump, "the dump holds what it should"
    found = [name for name, secret in secrets.items() for spelling in spellings(secret) if spelling in dump]
    assert found == []


async def test_nothing_in_a_dump_opens_anything(upgraded_url: str) -> None:
    async with client_of(settings_of(upgraded_url, development=True)) as api:
        application_id = (await made(api, upgraded_url)).application_id
        dump = await dump_of(upgraded_url)
        candidates = {found for found in re.findall(r"\\\\x([0-9a-f]{64,})", dump) if len(found) <= 128}
        candidates |= set(re.findall(r"\b(?:hk[a-z]|app|ses|grt|lnk|inv|tok)_[\w-]+", dump))
        assert len(candidates) > 10, "digests and ids were found"
        app = cast(httpx.ASGITransport, api._transport).app
        opened = []
        for number, each in enumerate(sorted(candidates)):
            # From another address each time: that guessing is limited must not be why nothing opens.
            transport = httpx.ASGITransport(app, client=(f"10.0.{number >> 8}.{number & 255}", 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://api") as thief:
                for kept in as_credentials(each):
                    opened += [f"{kept}: {how}" for how in await opens(thief, kept, application_id)]
    assert opened == []


def as_credentials(kept: str) -> Iterator[str]:
    """Yield a value of the database as the credentials that it could be taken for."""
    yield kept
    if re.fullmatch(r"[0-9a-f]+", kept):
        encoded = base64.urlsafe_b64encode(bytes.fromhex(kept)).decode().rstrip("=")
        yield from (f"hkl_{kept}", f"hkl_{encoded}", encoded)


async def opens(api: httpx.AsyncClient, kept: str, application_id: str) -> list[str]:
    """Return in which ways a value opens something."""
    found = []
    bearer = await api.get("/api/v1/subscriptions", headers={"Authorization": f"Bearer {kept}"})
    if bearer.status_code != 401:
        found.append(f"as a bearer: {bearer.status_code}")
    cookie = await api.get("/api/v1/sessions/current", headers={"Cookie": f"hookline_session={kept}"})
    if cookie.status_code != 401:
        found.append(f"as a cookie: {cookie.status_code}")
    refresh = {"grant_type": "refresh_token", "refresh_token": kept}
    token = await api.post("/oauth/token", data=refresh, auth=(application_id, kept))
    if token.status_code != 401:
        found.append(f"at the token endpoint: {token.status_code}")
    return found
