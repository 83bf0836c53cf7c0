"""Who and what an authorization needs: organizations, users, applications and a browser."""

import base64
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

import httpx
import uuid_utils
from fastapi import FastAPI
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from api.applications.tables import ApplicationRow, ApprovalRow
from api.credentials import SESSION_COOKIE
from api.database import transaction_of
from api.members.tables import MembershipRow
from api.oauth.tables import CodeRow, ConsentRow, GrantRow
from api.organizations.tables import OrganizationRow
from api.services import Services
from api.sessions.cookies import SessionCookies
from api.sessions.opening import open_session
from api.users.passwords import hashed
from api.users.tables import UserRow
from schemas.codec import decode
from schemas.records import Event
from tests.api.conftest import settings_of
from tests.api.oauth.browser import Page
from tests.api.running import RunningApps

PASSWORD = "correct horse battery"
_HASHES: list[str] = []
CALLBACK = "https://client.example/callback"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")


@dataclass
class Scene:
    """One organization with an owner, and a confidential application of it; more is made on request."""

    app: FastAPI
    browser: httpx.AsyncClient
    organization_id: str = ""
    user_id: str = ""
    email: str = ""
    client_id: str = ""

    @property
    def services(self) -> Services:
        services: Services = self.app.state.services
        return services

    async def organization(self, **given: Any) -> str:
        now, organization_id = datetime.now(UTC), f"org_{uuid4().hex}"
        values = {"id": organization_id, "version": 1, "name": "Acme", "created_at": now, "updated_at": now, **given}
        await self._add(OrganizationRow, values)
        return str(values["id"])

    async def user(self, organization_id: str, *, role: str = "owner", **given: Any) -> tuple[str, str]:
        now, email = datetime.now(UTC), f"{uuid4().hex}@example.com"
        values = {
            "id": f"usr_{uuid_utils.uuid7().hex}",
            "organization_id": organization_id,
            "version": 1,
            "email": email,
            "email_key": email,
            "name": "Ada Lovelace",
            "password_hash": await _password_hash(),
            "must_reset": False,
            "verified_at": now,
            "created_at": now,
            "updated_at": now,
            **given,
        }
        await self._add(UserRow, values)
        await self.member(organization_id, str(values["id"]), role=role)
        return str(values["id"]), email

    async def member(self, organization_id: str, user_id: str, *, role: str = "owner") -> None:
        now = datetime.now(UTC)
        await self._add(
            MembershipRow,
            {
                "organization_id": organization_id,
                "user_id": user_id,
                "role_id": role,
                "created_at": now,
                "updated_at": now,
            },
        )

    async def application(self, organization_id: str | None = None, **given: Any) -> str:
        now = datetime.now(UTC)
        values = {
            "id": f"app_{uuid_utils.uuid7().hex}",
            "organization_id": organization_id or self.organization_id,
            "version": 1,
            "name": "Reporting",
            "kind": "confidential",
            "redirect_uris": [CALLBACK],
            "scopes": ["read", "subscriptions:create"],
            "grants": ["authorization_code", "refresh_token"],
            "requires_pkce": True,
            "signing_algorithm": "EdDSA",
            "enabled": True,
            "created_by": "administrator",
            "created_at": now,
            "updated_at": now,
            **given,
        }
        await self._add(ApplicationRow, values)
        return str(values["id"])

    async def approve(self, organization_id: str, client_id: str) -> None:
        values = {"organization_id": organization_id, "application_id": client_id, "approved_by": "administrator"}
        await self._add(ApprovalRow, {**values, "created_at": datetime.now(UTC)})

    async def session(self, user_id: str, organization_id: str) -> tuple[str, str]:
        """Return a session's cookie and its CSRF token."""
        async with transaction_of(self.services.engine) as db:
            user = (await db.execute(select(UserRow).where(UserRow.id == user_id))).scalar_one()
            opened = await open_session(
                db,
                self.services,
                user,
                organization_id=organization_id,
                permissions=frozenset(),
                address="127.0.0.1",
                user_agent="tests",
            )
        return SessionCookies(self.services.sealer).value_of(opened.secret), opened.csrf_token

    async def sign_in(self, user_id: str | None = None, organization_id: str | None = None) -> str:
        """Let the browser be signed in; return its CSRF token."""
        cookie, csrf_token = await self.session(user_id or self.user_id, organization_id or self.organization_id)
        self.browser.cookies.set(SESSION_COOKIE, cookie, domain="api.example")
        return csrf_token

    def asking(self, **changed: str | None) -> dict[str, str]:
        """Return the parameters of a request that holds, some changed; None leaves one out."""
        given = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": CALLBACK,
            "scope": "read",
            "state": "xyz",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            **changed,
        }
        return {name: value for name, value in given.items() if value is not None}

    async def authorize(self, *more: tuple[str, str], **changed: str | None) -> httpx.Response:
        return await self.at([*self.asking(**changed).items(), *more])

    async def at(self, pairs: Sequence[tuple[str, str]]) -> httpx.Response:
        query = urlencode(pairs, quote_via=quote, safe="", errors="surrogateescape")
        return await self.browser.get(f"/oauth/authorize?{query}")

    async def limits_are_fresh(self, index: int) -> None:
        """Let the browser come from another address: so many requests are more than one may send."""
        transport = httpx.ASGITransport(self.app, client=(f"198.51.100.{index % 250}", 4711))
        self.browser._transport = transport

    async def decide(self, consent: httpx.Response, decision: str = "allow", **headers: str) -> httpx.Response:
        """Send the consent page's form."""
        form = Page(consent).form_to("/oauth/consent")
        return await self.browser.post("/oauth/consent", data={**form.fields, "decision": decision}, headers=headers)

    async def rows(self, what: type[Any]) -> list[Any]:
        """Return the organization's rows of a table, or the codes of its grants."""
        async with transaction_of(self.services.engine) as db:
            return await self._rows(db, what)

    async def events_about(self, subject_id: str) -> list[Event]:
        """Return the events of one subject that wait in the outbox, oldest first."""
        async with self.services.engine.connect() as connection:
            wanted = text("SELECT value FROM outbox WHERE key = :key ORDER BY id")
            rows = (await connection.execute(wanted, {"key": subject_id.encode()})).scalars().all()
        return [decode(Event, value) for value in rows]

    async def codes(self) -> int:
        return len(await self.rows(CodeRow))

    async def _rows(self, db: AsyncSession, what: type[Any]) -> list[Any]:
        if what is CodeRow:
            grants = select(GrantRow.id).where(GrantRow.organization_id == self.organization_id)
            return list((await db.execute(select(CodeRow).where(CodeRow.grant_id.in_(grants)))).scalars())
        return list((await db.execute(select(what).where(what.organization_id == self.organization_id))).scalars())

    async def _add(self, table: type[Any], values: dict[str, Any]) -> None:
        async with transaction_of(self.services.engine) as db:
            await db.execute(insert(table).values(**values))


async def _password_hash() -> str:
    if not _HASHES:  # one for all users: each takes 50 ms
        _HASHES.append(await hashed(PASSWORD))
    return _HASHES[0]


@asynccontextmanager
async def scene_in(apps: RunningApps, database_url: str) -> AsyncIterator[Scene]:
    """Yield a scene whose owner has not signed in yet."""
    app = await apps.app(settings_of(database_url, public_url="https://api.example"))
    transport = httpx.ASGITransport(app, client=("198.51.100.7", 4711))
    async with httpx.AsyncClient(transport=transport, base_url="https://api.example", timeout=30) as browser:
        scene = Scene(app, browser)
        scene.organization_id = await scene.organization()
        scene.user_id, scene.email = await scene.user(scene.organization_id)
        scene.client_id = await scene.application()
        yield scene


__all__ = ["CALLBACK", "CHALLENGE", "PASSWORD", "VERIFIER", "ConsentRow", "GrantRow", "Scene", "scene_in"]
