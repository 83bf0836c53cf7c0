"""Event types as tests define them."""

from typing import Any
from uuid import uuid4

import httpx

PATH = "/api/v1/event-types"
STRING = {"name": "order_id", "type": "string"}
CARRIER = {"name": "carrier", "type": ["null", "string"], "default": None}


def schema(*fields: Any) -> dict[str, Any]:
    return {"type": "record", "name": "shipped", "fields": [*fields] or [STRING]}


def body(**others: Any) -> dict[str, Any]:
    return {
        "name": f"order.shipped_{uuid4().hex[:8]}",
        "description": "An order left.",
        "schema": schema(),
        "example": {"order_id": "ord_1"},
        **others,
    }


async def define(api: httpx.AsyncClient, **others: Any) -> dict[str, Any]:
    """Define an event type and return it."""
    answer = await api.post(PATH, json=body(**others))
    assert answer.status_code == 201, answer.text
    return dict(answer.json())
