"""`GET …/{id}/lag`: how far a subscription is behind, and where its deliveries wait."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.callers import may
from api.credentials import Caller
from api.database import Db
from api.permissions import Permission
from api.problems import documented
from api.projection.tables import CursorRow
from api.requests import JsonRoute
from api.services import AllServices
from api.subscriptions.finding import PATH, found
from api.subscriptions.standing import REASONS, cursors_of, foremost
from api.subscriptions.waiting import Heap, Waiting, event_of, waiting_for
from schemas.topics import REPLAY, RETRY_PREFIX

_RETRY: Final = RETRY_PREFIX.removeprefix("hookline.")

router = APIRouter(
    prefix=f"{PATH}/{{subscription_id}}",
    tags=["subscriptions"],
    route_class=JsonRoute,
    responses=documented(401, 404, 422, 503),
)

Reader = Annotated[Caller, may(Permission.SUBSCRIPTIONS_READ)]


class Place(BaseModel):
    """Deliveries that wait at one place."""

    place: str = Field(
        description="`deliver`: on their way to a worker; `behind`: for the subscription's turn; `retry.1m` and the "
        "like: for the next attempt, by the length of the wait; `replay`: a replay sends them."
    )
    count: int
    oldest: datetime
    next_due_at: datetime | None = Field(description="When the next one may be sent; null: as soon as it can be.")


class HeldDeliveries(BaseModel):
    """Deliveries that are not sent by themselves: POST …/recover sends them."""

    count: int
    oldest: datetime | None


class Behind(BaseModel):
    """Why deliveries wait for the subscription's turn."""

    reason: str = Field(description=REASONS)
    since: datetime
    not_before: datetime | None = Field(description="Nothing is sent before this time; null: nobody knows.")
    parked_keys: int = Field(description="Ordering keys that wait for a retry, or are blocked, each by itself.")


class Lag(BaseModel):
    """What was not delivered yet. The log is some seconds old at most."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "oldest": "2026-11-21T09:30:00Z",
                    "oldest_event_id": "evt_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b",
                    "count": 1205,
                    "where": [
                        {
                            "place": "behind",
                            "count": 1200,
                            "oldest": "2026-11-21T09:30:00Z",
                            "next_due_at": "2026-11-21T09:45:30Z",
                        },
                        {
                            "place": "retry.1m",
                            "count": 5,
                            "oldest": "2026-11-21T09:31:00Z",
                            "next_due_at": "2026-11-21T09:46:00Z",
                        },
                    ],
                    "held": {"count": 0, "oldest": None},
                    "behind": {
                        "reason": "open",
                        "since": "2026-11-21T09:30:10Z",
                        "not_before": "2026-11-21T09:45:30Z",
                        "parked_keys": 0,
                    },
                }
            ]
        }
    )

    oldest: datetime | None = Field(description="When the oldest undelivered event was taken in; null: nothing waits.")
    oldest_event_id: str | None
    count: int = Field(description="Deliveries that wait; what is held is not among them.")
    where: list[Place]
    held: HeldDeliveries
    behind: Behind | None = Field(description="null while it gets each delivery as it comes.")


@router.get("/lag", operation_id="get_subscription_lag")
async def get_lag(subscription_id: str, caller: Reader, db: Db, services: AllServices) -> Lag:
    """Show how many deliveries a subscription has not got yet, the oldest of them, and where they wait."""
    row = await found(db, caller, subscription_id)
    cursors = (await cursors_of(db, row.organization_id, [row.id], keys=True)).get(row.id, [])
    waiting = await waiting_for(db, row.organization_id, row.id, schedule=services.settings.retry_waits)
    places = _places(waiting, [cursor for cursor in cursors if not cursor.key])
    heaps = [heap for _, heap in places]
    first = min(heaps, key=lambda heap: heap.oldest_id, default=None)
    return Lag(
        oldest=None if first is None else first.oldest,
        oldest_event_id=None if first is None else await event_of(db, row.organization_id, row.id, first),
        count=sum(heap.count for heap in heaps),
        where=[
            Place(place=name, count=heap.count, oldest=heap.oldest, next_due_at=heap.next_due_at)
            for name, heap in places
            if heap.oldest is not None
        ],
        held=HeldDeliveries(count=waiting.held.count, oldest=waiting.held.oldest),
        behind=_behind(cursors),
    )


def _places(waiting: Waiting, own: Sequence[CursorRow]) -> list[tuple[str, Heap]]:
    """Return what waits where, empty places left out; `own` cursors are those of the whole subscription."""
    begins_at = {cursor.topic == REPLAY: cursor.not_before for cursor in own}
    pending = replace(waiting.pending, next_due_at=begins_at.get(False))
    replayed = replace(waiting.replayed, next_due_at=begins_at.get(True))
    retries = [(f"{_RETRY}{name}", heap) for name, heap in waiting.retries.items()]
    places = [("behind" if False in begins_at else "deliver", pending), *retries, ("replay", replayed)]
    return [(name, heap) for name, heap in places if heap.count]


def _behind(cursors: Sequence[CursorRow]) -> Behind | None:
    if not cursors:
        return None
    parked = [cursor for cursor in cursors if cursor.key]
    first = foremost([cursor for cursor in cursors if not cursor.key] or cursors)
    return Behind(reason=first.reason, since=first.since, not_before=first.not_before, parked_keys=len(parked))
