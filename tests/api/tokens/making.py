"""API tokens of a test's own, and clients that call with them."""

from typing import Any

import httpx

PATH = "/api/v1/api-tokens"
UNKNOWN = "tok_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"


async def made(api: httpx.AsyncClient, **fields: object) -> dict[str, Any]:
    """Return a new token, with `token` in it."""
    response = await api.post(PATH, json={"name": "Billing", "scopes": ["read"], **fields})
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    return body


def as_token(token: dict[str, Any]) -> dict[str, str]:
    """Return the headers of a request that a token makes, whatever the client's own say."""
    return {"Authorization": f"Bearer {token['token']}"}
