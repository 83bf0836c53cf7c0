"""The JSON of dry runs: what to try out, and what it would do to the events that were."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, cast

import orjson
from pydantic import BaseModel, ConfigDict, Field

from api.dry_runs.judging import LARGEST_SHOWN_BYTES, Judge
from api.fields import without_default
from api.replays.bodies import Moment
from api.requests import JsonBody
from api.subscriptions.bodies import EventTypes
from api.subscriptions.filtering import EXAMPLE as FILTERS
from api.subscriptions.filtering import FiltersField
from api.subscriptions.payloads import GIVEN as PAYLOAD
from api.subscriptions.payloads import PayloadSettings

DEFAULT_LIMIT: Final = 1000
MOST_EVENTS: Final = 10_000
_ID: Final = "evt_019a9f2b6c7d7f0e8d9c0b1a2f3e4d5c"
_GIVEN: Final[dict[str, Any]] = {
    "event_types": ["user.*"],
    "filters": FILTERS,
    "payload": PAYLOAD,
    "since": "2026-11-20T00:00:00Z",
}
_EXAMPLE: Final[dict[str, Any]] = {
    "looked_at": 1000,
    "matched": 412,
    "failed": 1,
    "stopped_by": "limit",
    "oldest_at": "2026-11-20T18:12:44Z",
    "types": [{"type": "user.created", "looked_at": 1000, "matched": 412}],
    "errors": [{"event_id": _ID, "type": "user.created", "error": 'Key not found in map : "amount"'}],
    "examples": [
        {
            "event_id": _ID,
            "type": "user.created",
            "created_at": "2026-11-21T09:30:00Z",
            "before": {
                "id": _ID,
                "type": "user.created",
                "created_at": "2026-11-21T09:30:00Z",
                "organization_id": "org_789",
                "data": {"id": "user_123", "email": "user@example.com", "name": "John Doe"},
                "previous": None,
                "metadata": {},
            },
            "before_bytes": 236,
            "after": {
                "event": "user.created",
                "timestamp": "2026-11-21T09:30:00Z",
                "data": {"id": "user_123", "email": "***"},
                "organization_id": "org_789",
            },
            "after_bytes": 137,
        }
    ],
}

Since = Annotated[Moment, Field(description="Only events from this time on. Without it: as far back as `limit` goes.")]
EventCount = Annotated[
    int,
    Field(
        ge=1,
        le=MOST_EVENTS,
        description="How many events to look at, at most, the newest first. Each thousand counts as a request.",
    ),
]


class DryRun(JsonBody):
    """What to try out, as a subscription would say it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                _GIVEN,
                {"event_types": ["*"], "payload": {"shape": "thin"}, "limit": 100},
            ]
        }
    )

    event_types: EventTypes
    filters: FiltersField | None = None
    payload: PayloadSettings | None = Field(default=None, description="null: the full body.")
    since: Since | None = None
    limit: EventCount = DEFAULT_LIMIT


class DryRunOfOne(JsonBody):
    """What to try out instead of what the subscription says: what is left out is the subscription's own."""

    model_config = ConfigDict(json_schema_extra={"examples": [_GIVEN, {"payload": None}, {}]})

    event_types: EventTypes = Field(default=[], json_schema_extra=without_default)
    filters: FiltersField | None = Field(default=None, description="null: none.", json_schema_extra=without_default)
    payload: PayloadSettings | None = Field(
        default=None, description="As a whole; null: the full body.", json_schema_extra=without_default
    )
    since: Since | None = None
    limit: EventCount = DEFAULT_LIMIT


class StoppedBy(StrEnum):
    """Why no more events were looked at: there are none, as many as asked for, or it took its time."""

    END = "end"
    LIMIT = "limit"
    TIME = "time"


class TypeCount(BaseModel):
    """Events of one type."""

    type: str
    looked_at: int
    matched: int


class FailureBody(BaseModel):
    """An event about which the filters could say nothing: it would not be delivered, and counted as an error."""

    event_id: str
    type: str
    error: str


class ExampleBody(BaseModel):
    """An event that matches, as it is and as it would be sent."""

    event_id: str
    type: str
    created_at: datetime
    before: dict[str, Any] | None = Field(description=f"The full body; null beyond {LARGEST_SHOWN_BYTES:,} bytes.")
    before_bytes: int
    after: dict[str, Any] | None = Field(description="What would be sent; null likewise.")
    after_bytes: int


class DryRunBody(BaseModel):
    """What it would do to the events that were. Nothing was saved and nothing sent."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    looked_at: int = Field(description="Events of the types that are wanted.")
    matched: int
    failed: int = Field(description="Neither taken nor refused: a filter failed on them.")
    stopped_by: StoppedBy
    oldest_at: datetime | None = Field(description="When the oldest of those looked at happened.")
    types: list[TypeCount] = Field(description="Those that most of the matching ones are of, first.")
    errors: list[FailureBody] = Field(description="The first five.")
    examples: list[ExampleBody] = Field(description="The first ten that match, the newest first.")


def shown(judge: Judge, stopped_by: StoppedBy) -> DryRunBody:
    """Return what was found as a body."""
    names = sorted(judge.looked_at, key=lambda name: (-judge.matched[name], -judge.looked_at[name], name))
    return DryRunBody(
        looked_at=judge.looked_at.total(),
        matched=judge.matched.total(),
        failed=judge.failed,
        stopped_by=stopped_by,
        oldest_at=judge.oldest_at,
        types=[TypeCount(type=name, looked_at=judge.looked_at[name], matched=judge.matched[name]) for name in names],
        errors=[FailureBody(event_id=each.event_id, type=each.event_type, error=each.error) for each in judge.failures],
        examples=[
            ExampleBody(
                event_id=each.event_id,
                type=each.event_type,
                created_at=each.created_at,
                before=_json_of(each.before),
                before_bytes=len(each.before),
                after=_json_of(each.after),
                after_bytes=len(each.after),
            )
            for each in judge.examples
        ],
    )


def _json_of(body: bytes) -> dict[str, Any] | None:
    return cast(dict[str, Any], orjson.loads(body)) if len(body) <= LARGEST_SHOWN_BYTES else None
