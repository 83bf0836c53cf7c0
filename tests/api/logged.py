"""Rows of the delivery log as the projection leaves them, for tests of what reads them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from api.deliveries.tables import AttemptRow, DeliveryRow, EventRow
from schemas.ids import EventId, OrganizationId, SubscriptionId, delivery_id_of, made_at, new_subscription_id

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def id_made_at(prefix: str, at: datetime, random: int = 0) -> str:
    """Return an id of a time, with `random` in its last digits."""
    return f"{prefix}_{(at - EPOCH) // timedelta(milliseconds=1):012x}7000{0x8000000000000000 + random:016x}"


@dataclass
class Log:
    """Writes to an organization's log."""

    engine: AsyncEngine
    organization_id: OrganizationId

    async def event(self, event_id: str, **fields: Any) -> str:
        at = fields.setdefault("at", made_at(event_id))
        body = {"id": event_id, "data": {"id": "user_1"}, "previous": None, "metadata": {}}
        kept = {
            "id": event_id,
            "organization_id": self.organization_id,
            "type": "user.created",
            "created_at": at,
            "key": "user_1",
            "source_id": None,
            "body": orjson.dumps(body),
            "traceparent": None,
            "partition": 0,
            "offset": 1,
        }
        await self._insert(EventRow, {**kept, **fields})
        return event_id

    async def delivery(self, event_id: str, **fields: Any) -> str:
        """Write a delivery of an event, at the event's time; return its id."""
        at = made_at(event_id)
        subscription_id = fields.setdefault("subscription_id", new_subscription_id())
        identifier = delivery_id_of(EventId(event_id), SubscriptionId(subscription_id))
        kept = {
            "id": identifier,
            "at": at,
            "organization_id": self.organization_id,
            "event_id": event_id,
            "event_type": "user.created",
            "state": "success",
            "round": "0",
            "attempts": 1,
            "status": 200,
            "error_kind": None,
            "error": None,
            "duration_ms": 12,
            "created_at": at,
            "due_at": at,
            "last_attempt_at": at,
            "finished_at": at,
            "is_test": False,
            "key": "user_1",
            "sequence": 1,
            "transformation_version": 0,
            "event_partition": 0,
            "event_offset": 1,
            "traceparent": None,
        }
        await self._insert(DeliveryRow, {**kept, **fields})
        return identifier

    async def attempt(self, delivery_id: str, number: int, at: datetime, **fields: Any) -> str:
        """Write an attempt to send a delivery; return its id."""
        identifier = id_made_at("att", at, uuid4().int >> 68)
        kept = {
            "id": identifier,
            "at": at,
            "organization_id": self.organization_id,
            "delivery_id": delivery_id,
            "round": "0",
            "attempt": number,
            "state": "success",
            "status": 200,
            "error_kind": None,
            "error": None,
            "started_at": at,
            "due_at": at,
            "duration_ms": 12,
            "next_attempt_at": None,
            "url": "https://example.com/in",
            "address": "93.184.216.34:443",
            "request_headers": {"webhook-signature": "***"},
            "response_headers": {"content-type": "text/plain"},
            "response_body": b"thanks",
            "response_truncated": False,
            "body_bytes": 10,
            "subscription_version": 1,
            "worker": "worker-0",
        }
        await self._insert(AttemptRow, {**kept, **fields})
        return identifier

    async def _insert(self, table: type[EventRow | DeliveryRow | AttemptRow], row: dict[str, Any]) -> None:
        async with self.engine.begin() as db:
            await db.execute(insert(table).values(**row))
