"""Who sends the requests: every kind of caller in turn, so that what each is answered is checked."""

import json
from collections.abc import Mapping
from typing import Final

import asyncpg
import httpx

from api.permissions import GRANTABLE, RateClass

Headers = Mapping[str, str]
# The administrator most often: others are turned away from what they may not, before anything else is looked at.
TURNS: Final = (
    "administrator", "api_token", "administrator", "nobody", "administrator", "api_token", "narrow", "administrator",
)  # fmt: skip


async def callers_of(admin: httpx.AsyncClient, database_url: str) -> dict[str, Headers]:
    """Return what each caller's requests carry, by who it is; tokens are fresh, and their limits far away."""
    limits = json.dumps({each.value: 1_000_000 for each in RateClass})
    tokens = {}
    for name, scopes in (("api_token", sorted(GRANTABLE)), ("narrow", ["roles:read"])):
        made = await admin.post("/api/v1/api-tokens", json={"name": name, "scopes": scopes})
        assert made.status_code == 201, made.text
        tokens[name] = {"Authorization": f"Bearer {made.json()['token']}"}
    db = await asyncpg.connect(database_url)
    await db.execute(
        "UPDATE organizations SET limits = $1::jsonb WHERE id = $2", limits, admin.headers["Hookline-Organization"]
    )
    await db.close()
    own = ("Authorization", "Hookline-Organization")
    return {"administrator": {name: admin.headers[name] for name in own}, **tokens, "nobody": {}}
