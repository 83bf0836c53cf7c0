"""Subscriptions of a test's own, and what the workers will learn of them."""

from typing import Any

import asyncpg
import httpx

from schemas.codec import decode
from schemas.records import Subscription
from schemas.sealing import sealer_of
from tests.api.conftest import MASTER_KEYS

PATH = "/api/v1/subscriptions"
URL = "https://93.184.216.34/in"  # an address: no name is looked up
MINIMAL: dict[str, Any] = {"url": URL, "event_types": ["user.created"]}
DEFAULTS: dict[str, Any] = {
    "rate_limit": None,
    "max_in_flight": None,
    "catch_up_rate_per_s": None,
    "ordering": "none",
    "on_exhaustion": "dead_letter",
    "allowed_addresses": [],
    "signature": {"style": "standard", "header": None},
    "event_type_header": None,
    "delivery_id_header": None,
}  # of how it is sent to
UNKNOWN = "sub_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"
SEALER = sealer_of(MASTER_KEYS)
ELSEWHERE = {"Hookline-Organization": "org_nobodys"}


async def made(api: httpx.AsyncClient, **fields: object) -> dict[str, Any]:
    response = await api.post(PATH, json={**MINIMAL, **fields})
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    return body


async def outbox_of(url: str, subscription_id: str) -> list[Subscription | None]:
    """Return what the workers will learn of a subscription, oldest first; None is a tombstone."""
    rows = await rows_of(
        url,
        "SELECT value FROM outbox WHERE topic = 'hookline.subscriptions' AND key = $1 ORDER BY id",
        subscription_id.encode(),
    )
    return [None if row["value"] is None else decode(Subscription, row["value"]) for row in rows]


async def rows_of(url: str, statement: str, *values: object) -> list[Any]:
    """Run a statement as the projection, or time, would have; return its rows."""
    db = await asyncpg.connect(url)
    try:
        return await db.fetch(statement, *values)
    finally:
        await db.close()


async def failed_in_a_row(url: str, subscription_id: str, attempts: int, *, seconds_ago: float = 0) -> None:
    """Write a subscription's health as the projection does."""
    await rows_of(
        url,
        """INSERT INTO subscription_health
           SELECT id, organization_id, $2, now(), 0, clock_timestamp() - $3 * interval '1 second', NULL, 'refused'
           FROM subscriptions WHERE id = $1
           ON CONFLICT (subscription_id) DO UPDATE
           SET failed_attempts = excluded.failed_attempts, last_attempt_at = excluded.last_attempt_at""",
        subscription_id,
        attempts,
        seconds_ago,
    )
