"""Accounts for tests: made by the administrator, signed in as a browser does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import uuid4

import asyncpg
import httpx
import orjson
from fastapi import FastAPI

from api.services import Services
from api.signed_links import LinkPurpose
from schemas.codec import decode
from schemas.records import Event

PASSWORD = "correct horse bättery"
ADDRESS = "198.51.100.7"


def app_of(api: httpx.AsyncClient) -> FastAPI:
    return cast(FastAPI, cast(httpx.ASGITransport, api._transport).app)


def services_of(api: httpx.AsyncClient) -> Services:
    return cast(Services, app_of(api).state.services)


async def made_user(api: httpx.AsyncClient, **given: object) -> dict[str, Any]:
    """Return a user who can sign in, made by the administrator; an owner unless `role` says otherwise."""
    body = {
        "email": f"{uuid4().hex}@example.com",
        "name": "Ada Lovelace",
        "password": PASSWORD,
        "role": "owner",
        "verified": True,
        **given,
    }
    response = await api.post("/api/v1/users", json={name: value for name, value in body.items() if value is not None})
    assert response.status_code == 201, response.text
    return cast(dict[str, Any], response.json())


@asynccontextmanager
async def browser_of(api: httpx.AsyncClient, *, address: str = ADDRESS) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a browser at an address: it has no token, and keeps cookies."""
    transport = httpx.ASGITransport(app_of(api), client=(address, 40000))
    async with httpx.AsyncClient(transport=transport, base_url="https://api", timeout=30) as browser:
        yield browser


async def signed_in(
    browser: httpx.AsyncClient, user: dict[str, Any], *, password: str = PASSWORD, **more: object
) -> dict[str, Any]:
    """Sign in; the browser sends its CSRF token with everything from then on."""
    response = await browser.post("/api/v1/sessions", json={"email": user["email"], "password": password, **more})
    assert response.status_code == 201, response.text
    body = cast(dict[str, Any], response.json())
    browser.headers["X-CSRF-Token"] = body["csrf_token"]
    return body


async def query(url: str, statement: str, *arguments: object) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(statement, *arguments))
    finally:
        await connection.close()


async def events_of(url: str, subject_id: str) -> list[Event]:
    """Return what was announced of a user, oldest first."""
    rows = await query(url, "SELECT value FROM outbox WHERE key = $1 ORDER BY id", subject_id.encode())
    return [decode(Event, row["value"]) for row in rows]


async def told_of(url: str, subject_id: str) -> list[tuple[str, Any, Any]]:
    """Return the same as names, data and what it was before."""
    return [
        (event.type, orjson.loads(event.data), None if event.previous is None else orjson.loads(event.previous))
        for event in await events_of(url, subject_id)
    ]


async def tokens_sent_to(api: httpx.AsyncClient, url: str, email: str, purpose: LinkPurpose) -> list[str]:
    """Return the tokens of the links that went to an address, oldest first."""
    rows = await query(
        url, "SELECT link_id FROM mails WHERE recipient = $1 AND link_purpose = $2 ORDER BY id", email, purpose
    )
    return [services_of(api).links.token_of(purpose, row["link_id"]) for row in rows]
