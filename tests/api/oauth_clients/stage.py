"""What a client meets: a real server, an organization with a user and an application, and nothing else told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import asyncpg
import httpx

from compose.children import free_port
from tests.api.conftest import TOKEN, settings_of
from tests.api.oauth_clients.person import Person
from tests.api.running import NO_KAFKA
from tests.fuzz.serving import served

REDIRECT_URI = "http://127.0.0.1:9/callback"  # nobody has to be there: the person stops before it
PASSWORD = "a horse under the staple, correct"


@dataclass(frozen=True)
class Stage:
    """Where the server is, who can sign in there, and what the client was told when it was registered."""

    url: str
    person: Person
    organization_id: str
    client_id: str
    client_secret: str | None


@asynccontextmanager
async def staged(database_url: str, *, kind: str = "confidential", algorithm: str = "EdDSA") -> AsyncIterator[Stage]:
    """Yield a stage with an application that may read and publish, and a user who may do more."""
    port, organization_id = free_port(), f"org_{uuid4().hex}"
    email = f"{uuid4().hex}@example.com"
    headers = {"Authorization": f"Bearer {TOKEN}", "Hookline-Organization": organization_id}
    settings = settings_of(
        database_url, development=True, api_port=port, public_url=f"http://127.0.0.1:{port}", refresh_grace_s=0
    )
    with served(settings, NO_KAFKA) as url:
        async with httpx.AsyncClient(base_url=f"{url}/api/v1", headers=headers, trust_env=False) as api:
            user = {"email": email, "name": "Ada", "password": PASSWORD, "role": "developer"}
            (await api.post("/users", json=user)).raise_for_status()
            application = {
                "name": "A client of somebody's",
                "kind": kind,
                "redirect_uris": [REDIRECT_URI],
                "scopes": ["read", "events:publish"],
                "grants": ["authorization_code", "refresh_token"],
                "signing_algorithm": algorithm,
            }
            made = (await api.post("/applications", json=application)).raise_for_status().json()
        await _verify(database_url, email)
        person = Person(email=email, password=PASSWORD)
        try:
            yield Stage(url, person, organization_id, made["id"], made.get("client_secret"))
        finally:
            await person.close()


async def _verify(database_url: str, email: str) -> None:
    db = await asyncpg.connect(database_url)
    await db.execute("UPDATE users SET verified_at = now() WHERE email = $1", email)
    await db.close()
