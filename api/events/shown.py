"""The JSON of events as the log shows them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, cast

import orjson
from pydantic import BaseModel, ConfigDict, Field

from api.deliveries.bodies import state_of
from api.deliveries.tables import DeliveryRow, DeliveryState, EventRow
from schemas.redaction import Json

JsonObject = dict[str, Any]

_EVENT: Final[dict[str, Any]] = {
    "id": "evt_019a9f2b6c7d7f0e8d9c0b1a2f3e4d5c",
    "type": "user.created",
    "created_at": "2026-11-21T09:30:00Z",
    "key": "user_123",
    "source_id": None,
    "source": "/services/users",
    "data": {"id": "user_123", "email": "user@example.com", "name": "John Doe"},
    "previous": None,
    "metadata": {},
}
_OWED: Final[dict[str, Any]] = {
    "delivery_id": "dlv_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b",
    "subscription_id": "sub_019a9f2a11127a3b8c4d5e6f708192a3",
    "state": "success",
    "attempt_count": 1,
    "status": 200,
    "error_kind": None,
    "finished_at": "2026-11-21T09:30:00.214000Z",
}


class EventBody(BaseModel):
    """An event, as its subscribers receive it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EVENT]})

    id: str
    type: str
    created_at: datetime = Field(description="When it happened, as its publisher says.")
    key: str | None
    source_id: str | None = Field(description="The publisher's own id.")
    source: str | None = Field(description="Who said it (CloudEvents' attribute).")
    data: JsonObject
    previous: JsonObject | None
    metadata: JsonObject


class OwedBody(BaseModel):
    """What became of an event for one subscription."""

    delivery_id: str
    subscription_id: str
    state: DeliveryState
    attempt_count: int
    status: int | None
    error_kind: str | None
    finished_at: datetime | None


class EventDetail(EventBody):
    """An event, and what became of it per subscription."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_EVENT, "deliveries": [_OWED]}]})

    deliveries: list[OwedBody]


def shown(row: EventRow) -> EventBody:
    """Return a row as its body."""
    return EventBody.model_construct(**_fields(row))


def shown_with_deliveries(row: EventRow, deliveries: Sequence[DeliveryRow], *, now: datetime) -> EventDetail:
    """Return a row as its body, with what became of it; `now` tells what is due from what waits."""
    return EventDetail.model_construct(**_fields(row), deliveries=[_owed(delivery, now) for delivery in deliveries])


def _fields(row: EventRow) -> dict[str, Any]:
    body = cast(dict[str, Json], orjson.loads(row.body))  # ours: schemas/envelope.py, `body_of`
    return {
        "id": row.id,
        "type": row.type,
        "created_at": row.created_at,
        "key": row.key,
        "source_id": row.source_id,
        "source": row.source,
        "data": body.get("data") or {},
        "previous": body.get("previous"),
        "metadata": body.get("metadata") or {},
    }


def _owed(row: DeliveryRow, now: datetime) -> OwedBody:
    return OwedBody.model_construct(
        delivery_id=row.id,
        subscription_id=row.subscription_id,
        state=state_of(row, now=now),
        attempt_count=row.attempts,
        status=row.status,
        error_kind=row.error_kind,
        finished_at=row.finished_at,
    )
