"""A delivery log as the projection leaves it, written by the test: subscriptions, events and deliveries."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import uuid4

from sqlalchemy import CursorResult, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from api.database import engine_of, transaction_of
from api.deliveries.tables import DeliveryRow, EventRow
from api.replays.queries import NOTHING_COUNTED
from api.replays.tables import ReplayRow, ReplayState
from api.subscriptions.tables import SubscriptionRow
from schemas.ids import (
    EventId,
    SubscriptionId,
    delivery_id_of,
    made_at,
    new_event_id,
    new_replay_id,
    new_subscription_id,
)
from schemas.sealing import SECRET_PURPOSE, sealer_of
from tests.api.conftest import MASTER_KEYS, settings_of

SEALER = sealer_of(MASTER_KEYS)


def minutes_ago(minutes: float) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=minutes)


class Log:
    """The log of one organization, in one database."""

    def __init__(self, engine: AsyncEngine, organization_id: str) -> None:
        self.engine = engine
        self.organization_id = organization_id

    async def subscription(self, *, enabled: bool = True, version: int = 3) -> str:
        """Add a subscription that cannot be reached and return its id."""
        identifier, organization = new_subscription_id(), self.organization_id
        row = SubscriptionRow(
            id=identifier,
            organization_id=organization,
            version=version,
            url="https://93.184.216.34/in",
            event_types=["*"],
            secrets=[SEALER.seal(b"k" * 32, organization=organization, row=identifier, purpose=SECRET_PURPOSE)],
            secrets_expire_at=[None],
            timeout_ms=15_000,
            enabled=enabled,
            about={},
            created_at=datetime.now(UTC),
            updated_at=datetime.now(UTC),
        )
        async with transaction_of(self.engine) as db:
            db.add(row)
        return identifier

    async def delivery(self, subscription_id: str, **fields: Any) -> str:
        """Add a delivery and its event, failed a minute ago unless `fields` say otherwise; return its id."""
        [identifier] = await self.deliveries(subscription_id, 1, **fields)
        return identifier

    async def deliveries(self, subscription_id: str, count: int, **fields: Any) -> list[str]:
        """Add as many; return their ids in order."""
        rows = [_rows(self.organization_id, subscription_id, number, **fields) for number in range(count)]
        async with transaction_of(self.engine) as db:
            db.add_all([event for event, _ in rows])
            db.add_all([delivery for _, delivery in rows])
        return sorted(delivery.id for _, delivery in rows)

    async def replay(self) -> str:
        """Add a replay that runs; return its id."""
        identifier = new_replay_id()
        row = ReplayRow(
            id=identifier,
            organization_id=self.organization_id,
            is_retry=False,
            state=ReplayState.RUNNING,
            rate_per_s=100.0,
            created_at=datetime.now(UTC),
            **NOTHING_COUNTED,
        )
        async with transaction_of(self.engine) as db:
            db.add(row)
        return identifier

    async def run(self, statement: str, **values: object) -> list[dict[str, Any]]:
        """Run a statement and return its rows, if it is one that has some."""
        async with transaction_of(self.engine) as db:
            result = await db.execute(text(statement), values)
            if not cast(CursorResult[Any], result).returns_rows:  # what every statement in text comes to
                return []
            return [dict(row) for row in result.mappings()]

    async def items(self, replay_id: str) -> dict[str, tuple[str, str | None]]:
        """Return a replay's items: their state and detail by the delivery's id."""
        rows = await self.run("SELECT * FROM replay_items WHERE replay_id = :id ORDER BY delivery_id", id=replay_id)
        return {row["delivery_id"]: (row["state"], row["detail"]) for row in rows}

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Yield a transaction."""
        async with transaction_of(self.engine) as db:
            yield db


@asynccontextmanager
async def log_of(url: str, organization_id: str | None = None) -> AsyncIterator[Log]:
    """Yield the log of an organization, by default of a new one."""
    engine = engine_of(settings_of(url))
    yield Log(engine, organization_id or f"org_{uuid4().hex}")
    await engine.dispose()


def _rows(organization_id: str, subscription_id: str, number: int, **fields: Any) -> tuple[EventRow, DeliveryRow]:
    event_id = EventId(fields.pop("event_id", None) or new_event_id())
    at = made_at(event_id)
    event = EventRow(
        id=event_id,
        at=at,
        organization_id=organization_id,
        type=fields.get("event_type", "user.created"),
        created_at=at,
        key="u1",
        body=b'{"number":%d}' % number,
        partition=3,
        offset=number,
    )
    given = {
        "state": "failed",
        "event_type": "user.created",
        "round": "0",
        "attempts": 7,
        "created_at": at,
        "due_at": minutes_ago(2),
        "last_attempt_at": minutes_ago(2),
        "finished_at": None if fields.get("state") in {"pending", "retrying"} else minutes_ago(1),
        "is_test": False,
        "key": "u1",
        "sequence": number,
        "transformation_version": 0,
        "event_partition": 3,
        "event_offset": number,
    }
    delivery = DeliveryRow(
        id=delivery_id_of(event_id, SubscriptionId(subscription_id)),
        at=at,
        organization_id=organization_id,
        subscription_id=subscription_id,
        event_id=event_id,
        **{**given, **fields},
    )
    return event, delivery
