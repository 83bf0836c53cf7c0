"""Callers of a test's own: users with roles, signed in, and API tokens."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast
from uuid import uuid4

import asyncpg
import httpx
import orjson
from fastapi import FastAPI, Response
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import select
from uuid_utils import uuid7

from api.callers import CSRF_HEADER
from api.database import transaction_of
from api.services import Services
from api.sessions.opening import open_session, set_session_cookie
from api.signed_links import LinkPurpose, SignedLinks
from api.users.addresses import email_key_of
from api.users.tables import UserRow
from schemas.codec import decode
from schemas.records import Event
from tests.api.conftest import TOKEN

PASSWORD = "seven unusual otters"
PASSWORD_HASH = Argon2Hasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)  # weak, so that tests are quick


async def rows_of(url: str, statement: str, *values: object) -> list[asyncpg.Record]:
    db = await asyncpg.connect(url)
    try:
        return list(await db.fetch(statement, *values))
    finally:
        await db.close()


@dataclass(frozen=True)
class Person:
    """A user: their id, e-mail address, and a client that is signed in."""

    id: str
    email: str
    client: httpx.AsyncClient


@dataclass(frozen=True)
class World:
    """An app, its database, an organization, and the administrator's client in it."""

    app: FastAPI
    url: str
    organization_id: str
    admin: httpx.AsyncClient

    def client(self, **headers: str) -> httpx.AsyncClient:
        """Return a client of nobody's, with these headers."""
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://api", headers=headers)

    async def token(self, *scopes: str) -> httpx.AsyncClient:
        """Return the client of an API token."""
        made = await self.admin.post("/api/v1/api-tokens", json={"name": "a service", "scopes": list(scopes)})
        assert made.status_code == 201, made.text
        return self.client(Authorization=f"Bearer {made.json()['token']}")

    async def session(self, user_id: str, organization_id: str | None = None) -> httpx.AsyncClient:
        """Return the client of a browser in which the user is signed in: opened as signing in does."""
        services = cast(Services, self.app.state.services)
        async with transaction_of(services.engine) as db:
            user = (await db.execute(select(UserRow).where(UserRow.id == user_id))).scalar_one()
            opened = await open_session(
                db,
                services,
                user,
                organization_id=user.organization_id,
                permissions=frozenset(),
                address="127.0.0.1",
                user_agent="",
            )
        response = Response()
        set_session_cookie(response, services, opened)
        cookie = response.headers["set-cookie"].partition(";")[0]
        named = {} if organization_id is None else {"Hookline-Organization": organization_id}
        return self.client(Cookie=cookie, **{CSRF_HEADER: opened.csrf_token}, **named)

    async def user(self, *, organization_id: str | None = None, email: str | None = None) -> Person:
        """Make a user who is a member of nothing."""
        user_id, address = f"usr_{uuid7().hex}", email or f"{uuid4().hex}@example.com"
        await rows_of(
            self.url,
            """INSERT INTO users (id, organization_id, version, email, email_key, name, password_hash, must_reset,
                                  verified_at, created_at, updated_at)
               VALUES ($1, $2, 1, $3, $4, 'Somebody', $5, false, now(), now(), now())""",
            user_id,
            organization_id or self.organization_id,
            address,
            email_key_of(address),
            PASSWORD_HASH,
        )
        return Person(user_id, address, await self.session(user_id, organization_id))

    async def member(self, role: str = "viewer", *, organization_id: str | None = None) -> Person:
        """Make a member with a role."""
        person = await self.user(organization_id=organization_id)
        await rows_of(
            self.url,
            "INSERT INTO memberships VALUES ($1, $2, $3, now(), now())",
            organization_id or self.organization_id,
            person.id,
            role,
        )
        return person

    async def another_organization(self) -> str:
        """Make another organization; return its id."""
        response = await self.admin.post("/api/v1/organizations", json={"name": "Another"})
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    async def invite(self, email: str, role: str = "viewer") -> tuple[str, str]:
        """Invite an address as the administrator; return the invitation's id and its link's token."""
        response = await self.admin.post("/api/v1/members/invitations", json={"email": email, "role": role})
        assert response.status_code == 201, response.text
        return response.json()["id"], self.link(response.json()["id"])

    def link(self, invitation_id: str, purpose: LinkPurpose = LinkPurpose.INVITATION) -> str:
        """Return the token of an invitation's link, as the sender of e-mails signs it."""
        links: SignedLinks = self.app.state.services.links
        return links.token_of(purpose, invitation_id)

    async def events(self, *types: str) -> list[dict[str, Any]]:
        """Return what the organization's events of these types said, oldest first: type, data, previous."""
        return await events_of(self.url, self.organization_id, *types)


async def events_of(url: str, organization_id: str, *types: str) -> list[dict[str, Any]]:
    rows = await rows_of(url, "SELECT value FROM outbox WHERE topic = 'hookline.events' ORDER BY id")
    events = [decode(Event, row["value"]) for row in rows]
    return [
        {
            "type": event.type,
            "data": orjson.loads(event.data),
            "previous": None if event.previous is None else orjson.loads(event.previous),
        }
        for event in events
        if event.organization_id == organization_id and (not types or event.type in types)
    ]


@asynccontextmanager
async def world_in(app: FastAPI, url: str) -> AsyncIterator[World]:
    """Yield a world of its own in a running app on the database of `url`, with an organization that was just made."""
    organization_id = f"org_{uuid4().hex}"
    admin = httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://api",
        headers={"Authorization": f"Bearer {TOKEN}", "Hookline-Organization": organization_id},
    )
    async with admin:
        made = await admin.post("/api/v1/organizations", json={"id": organization_id, "name": "Example Ltd"})
        assert made.status_code == 201, made.text
        yield World(app, url, organization_id, admin)
