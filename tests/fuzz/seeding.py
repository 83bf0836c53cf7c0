"""What requests can find: one of each thing that the API shows, in the organization that is fuzzed."""

import base64
from datetime import UTC, datetime, timedelta

import httpx
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from api.deliveries.tables import AttemptRow, DeliveryRow, EventRow
from api.quarantine.tables import QuarantineRow
from api.replays.tables import ReplayItemRow, ReplayRow
from schemas.catalogue import catalogue
from schemas.envelope import body_of, new_event
from schemas.ids import (
    SubscriptionId,
    delivery_id_of,
    made_at,
    new_attempt_id,
    new_replay_id,
    quarantine_id_of,
)
from schemas.topics import DELIVER

Ids = dict[str, list[str]]  # by the part of the path before the id: `/deliveries/{…}`


async def seed(database_url: str, api: httpx.AsyncClient, organization_id: str) -> Ids:
    """Make one of each, fresh, and return their ids."""
    answer = await api.post(
        "/api/v1/subscriptions",
        json={"url": "https://93.184.216.34/", "event_types": ["*"], "timeout_s": 1, "metadata": {"seeded": True}},
    )
    assert answer.status_code == 201, answer.text
    subscription_id = SubscriptionId(answer.json()["id"])
    rows, ids = _rows(subscription_id, organization_id)
    engine = create_async_engine(database_url.replace("postgresql://", "postgresql+asyncpg://"))
    async with AsyncSession(engine) as db, db.begin():
        db.add_all(rows)
    await engine.dispose()
    return {**ids, "subscriptions": [subscription_id], "event-types": [*catalogue()][:3]}


def _rows(subscription_id: SubscriptionId, organization_id: str) -> tuple[list[object], Ids]:
    now = datetime.now(UTC)
    event = new_event(type="user.created", organization_id=organization_id, data={"id": "user_123"}, source_id="seed")
    delivery_id, replay_id = delivery_id_of(event.id, subscription_id), new_replay_id()
    attempt_id = new_attempt_id()
    quarantine_id = quarantine_id_of(DELIVER, 0, int(now.timestamp() * 1e6), now)
    rows: list[object] = [
        EventRow(
            id=event.id,
            at=made_at(event.id),
            organization_id=organization_id,
            type=event.type,
            created_at=event.created_at,
            source_id="seed",
            body=body_of(event),
            partition=0,
            offset=1,
        ),
        DeliveryRow(
            id=delivery_id,
            at=made_at(delivery_id),
            organization_id=organization_id,
            subscription_id=subscription_id,
            event_id=event.id,
            event_type=event.type,
            state="failed",
            round="0",
            attempts=1,
            status=500,
            error_kind="status",
            error="the receiver answered 500",
            duration_ms=12,
            created_at=event.created_at,
            due_at=now,
            last_attempt_at=now,
            finished_at=now,
            is_test=False,
            sequence=1,
            transformation_version=0,
            event_partition=0,
            event_offset=1,
        ),
        AttemptRow(
            id=attempt_id,
            at=made_at(attempt_id),
            organization_id=organization_id,
            delivery_id=delivery_id,
            round="0",
            attempt=1,
            state="failed",
            status=500,
            error_kind="status",
            error="the receiver answered 500",
            started_at=now,
            due_at=now,
            duration_ms=12,
            url="https://93.184.216.34/",
            address="93.184.216.34",
            request_headers={"webhook-id": event.id, "webhook-signature": "***"},
            response_headers={"content-type": "text/plain"},
            response_body=b"\xff\x00 not UTF-8",
            response_truncated=True,
            body_bytes=len(body_of(event)),
            subscription_version=1,
            worker="worker-0",
        ),
        ReplayRow(
            id=replay_id,
            organization_id=organization_id,
            is_retry=False,
            state="running",
            subscription_id=subscription_id,
            event_types=["user.created"],
            delivery_state="failed",
            since=now - timedelta(days=1),
            rate_per_s=100.0,
            total=1,
            sent=0,
            succeeded=0,
            failed=0,
            held=0,
            skipped=1,
            cancelled=0,
            created_at=now,
            started_at=now,
        ),
        ReplayItemRow(
            replay_id=replay_id,
            delivery_id=delivery_id,
            subscription_id=subscription_id,
            event_id=event.id,
            state="skipped",
            detail="the subscription was deleted",
            finished_at=now,
        ),
        QuarantineRow(
            id=quarantine_id,
            at=now,
            topic=DELIVER,
            partition=0,
            offset=1,
            stage="deliver",
            error_class="UnreadableRecord",
            error="no marker",
            key=b"\xff",
            value=b"\x00\x01",
            headers=[["h", base64.b64encode(b"\xff").decode()]],
        ),
    ]
    ids: Ids = {
        "events": [event.id],
        "deliveries": [delivery_id],
        "replays": [replay_id],
        "quarantine": [quarantine_id],
    }
    return rows, ids
