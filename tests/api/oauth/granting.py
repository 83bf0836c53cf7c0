"""An authorization server with a client, a user and a code: what stands before each request to its endpoints."""

import base64
import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast
from uuid import uuid4

import asyncpg
import httpx
import uuid_utils
from fastapi import FastAPI

from api.database import transaction_of
from api.limits import defaults
from api.limits.defaults import Limit
from api.members.tables import MembershipRow
from api.oauth.clients import application_of
from api.oauth.codes import issue_code
from api.oauth.signing import SigningKeys
from api.permissions import RateClass
from api.services import Services
from api.users.tables import UserRow
from tests.api.conftest import TOKEN, settings_of
from tests.api.running import RunningApps, running_apps

REDIRECT = "https://client.example/callback"
ISSUER = "http://127.0.0.1:8000"
APPLICATIONS = "/api/v1/applications"
VERIFIER = secrets.token_urlsafe(32)
Form = dict[str, str]


def challenge_of(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


@dataclass(slots=True)
class Client:
    """A registered client."""

    id: str
    secret: str | None
    organization: str

    @property
    def form(self) -> Form:
        """Return how it authenticates in a body."""
        return {"client_id": self.id, **({} if self.secret is None else {"client_secret": self.secret})}


@dataclass(slots=True)
class Server:
    """The app, asked as the administrator in an organization of the test's own, and as nobody."""

    app: FastAPI
    admin: httpx.AsyncClient
    anonymous: httpx.AsyncClient
    organization: str
    url: str

    @property
    def services(self) -> Services:
        return cast(Services, self.app.state.services)

    @property
    def keys(self) -> SigningKeys:
        return self.services.keys

    async def client(self, *, organization: str | None = None, **fields: object) -> Client:
        """Register a client; a confidential one of all grants unless `fields` say otherwise."""
        organization = organization or self.organization
        given: dict[str, object] = {
            "name": "Reporting",
            "kind": "confidential",
            "redirect_uris": [REDIRECT],
            "scopes": ["read", "events:publish"],
            "grants": ["authorization_code", "refresh_token", "client_credentials"],
            **fields,
        }
        if given["kind"] == "public" and "grants" not in fields:
            given["grants"] = ["authorization_code", "refresh_token"]
        response = await self.admin.post(APPLICATIONS, json=given, headers={"Hookline-Organization": organization})
        assert response.status_code == 201, response.text
        body = response.json()
        return Client(body["client_id"], body["client_secret"], organization)

    async def user(self, *, role: str = "admin", organization: str | None = None) -> str:
        """Make a user who is a member; return their id."""
        organization, now = organization or self.organization, datetime.now(UTC)
        email = f"{uuid4().hex}@example.com"
        user = UserRow(
            id=f"usr_{uuid_utils.uuid7().hex}",
            organization_id=organization,
            version=1,
            email=email,
            email_key=email,
            name="Ada",
            must_reset=False,
            verified_at=now,
            created_at=now,
            updated_at=now,
        )
        async with transaction_of(self.services.engine) as db:
            db.add(user)
            await db.flush()
            db.add(
                MembershipRow(
                    organization_id=organization, user_id=user.id, role_id=role, created_at=now, updated_at=now
                )
            )
        return user.id

    async def code(
        self,
        client: Client,
        user_id: str,
        *,
        scopes: tuple[str, ...] = ("read",),
        redirect_uri_given: bool = True,
        challenge: str | None = challenge_of(VERIFIER),
        organization: str | None = None,
    ) -> str:
        """Return a code as the consent page gives it."""
        async with transaction_of(self.services.engine) as db:
            application = await application_of(db, client.id)
            assert application is not None
            return await issue_code(
                db,
                application=application,
                user_id=user_id,
                organization_id=organization or client.organization,
                scopes=scopes,
                redirect_uri=REDIRECT,
                redirect_uri_given=redirect_uri_given,
                code_challenge=challenge,
                lifetime_s=60,
            )

    async def ask(self, client: Client, **form: str) -> httpx.Response:
        """Ask the token endpoint."""
        return await self.anonymous.post("/oauth/token", data={**client.form, **form})

    async def redeem(self, client: Client, code: str, **form: str) -> httpx.Response:
        """Redeem a code as it should be."""
        given = {"redirect_uri": REDIRECT, "code_verifier": VERIFIER, **form}
        return await self.ask(client, grant_type="authorization_code", code=code, **given)

    async def refresh(self, client: Client, token: str, **form: str) -> httpx.Response:
        return await self.ask(client, grant_type="refresh_token", refresh_token=token, **form)

    async def tokens(self, client: Client, user_id: str | None = None, **how: Any) -> dict[str, Any]:
        """Return the token endpoint's answer for a fresh code."""
        code = await self.code(client, user_id or await self.user(), **how)
        response = await self.redeem(client, code)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def of_client(self, client: Client, **form: str) -> str:
        """Return an access token of client_credentials."""
        response = await self.ask(client, grant_type="client_credentials", **form)
        assert response.status_code == 200, response.text
        return str(response.json()["access_token"])

    async def call(self, token: str, path: str = "/api/v1/subscriptions") -> httpx.Response:
        """Call a route of the API with an access token."""
        return await self.anonymous.get(path, headers={"Authorization": f"Bearer {token}"})

    async def rows(self, query: str, *values: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.url)
        try:
            return list(await connection.fetch(query, *values))
        finally:
            await connection.close()


@asynccontextmanager
async def server_of(url: str, **settings: object) -> AsyncIterator[Server]:
    """Yield a server that was started for it, in an organization of its own."""
    async with running_apps() as apps, server_in(apps, url, **settings) as server:
        yield server


@asynccontextmanager
async def server_in(apps: RunningApps, url: str, **settings: object) -> AsyncIterator[Server]:
    """Yield a running server in an organization of its own."""
    organization = f"org_{uuid4().hex}"
    app = await apps.app(settings_of(url, **settings))
    admin = {"Authorization": f"Bearer {TOKEN}", "Hookline-Organization": organization}
    # One test asks more often than a minute allows; the limits have tests of their own.
    kept = defaults.DEFAULTS[RateClass.OAUTH]
    limits = cast(dict[RateClass, Limit], defaults.DEFAULTS)
    limits[RateClass.OAUTH] = Limit(int(cast(int, settings.get("oauth_limit", 100_000))), 60)
    try:
        async with (
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ISSUER, headers=admin, timeout=60) as known,
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ISSUER, timeout=60) as nobody,
        ):
            yield Server(app, known, nobody, organization, url)
    finally:
        limits[RateClass.OAUTH] = kept


def error_of(response: httpx.Response, status: int = 400) -> str:
    """Return an OAuth error's code after checking what all of them share (RFC 6749, 5.2)."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    body = response.json()
    assert set(body) == {"error", "error_description"}
    assert body["error_description"]
    return str(body["error"])
