"""The JSON of replays: what comes in and what goes out."""

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final

import orjson
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue
from pydantic_core import PydanticCustomError

from api.replays.log_bodies import LogProgress, Offsets, progress_of
from api.replays.tables import ItemState, ReplayItemRow, ReplayRow, ReplaySource, ReplayState, Transformation
from api.requests import JsonBody
from api.subscriptions.bodies import EventTypes

# RFC 3339, 5.6, with an offset: which time a caller without one means, nobody can know.
_RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_ID: Final = "rpl_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"
_DELIVERY_ID: Final = "dlv_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"
_SUBSCRIPTION_ID: Final = "sub_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"


def _moment(value: object) -> datetime:
    if isinstance(value, datetime):
        return value  # of another body, where it was judged
    if isinstance(value, str) and _RFC_3339.fullmatch(value):
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):  # the 30th of February; year 1 in a zone where it is year 0 elsewhere
            pass
    raise PydanticCustomError("moment", "must be a time as RFC 3339 writes it, such as 2026-11-20T10:00:00Z")


Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]


class EndedState(StrEnum):
    """Deliveries that can be sent again: what is pending or retrying is on its way. `undelivered`: failed or held."""

    FAILED = "failed"
    HELD = "held"
    SUCCESS = "success"
    UNDELIVERED = "undelivered"


PayloadVersion = Annotated[
    Transformation,
    Field(
        strict=False,
        description=(
            "How the bodies look: `original`, as each delivery's did at first, or `current`, as the subscription's "
            "`payload` has them now. What was held without ever having a body gets the current one in any case."
        ),
    ),
]


class NewReplay(JsonBody):
    """What to send again.

    `source` `deliveries`: what has come to an end; one of `subscription_id`, `state` and `since` must be there.
    `log`: every event of a time, or between offsets, to whom wants it today, also where it was never owed; `since` or
    `offsets` must be there.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"subscription_id": _SUBSCRIPTION_ID, "state": "failed", "since": "2026-11-20T10:00:00Z"},
                {"state": "held", "event_types": ["user.*"], "dry_run": True},
                {
                    "source": "log",
                    "subscription_id": _SUBSCRIPTION_ID,
                    "since": "2026-11-20T00:00:00Z",
                    "rate_per_s": 50,
                },
                {"source": "log", "offsets": {"from": {"0": 1200}, "to": {"0": 5000}}, "dry_run": True},
            ]
        }
    )

    source: Annotated[ReplaySource, Field(strict=False)] = ReplaySource.DELIVERIES
    subscription_id: Annotated[str, Field(max_length=100)] | None = None
    event_types: EventTypes | None = None
    state: Annotated[EndedState, Field(strict=False)] | None = Field(
        default=None, description="Without it: failed, held and success."
    )
    since: Moment | None = Field(default=None, description="Deliveries of events from this time on.")
    until: Moment | None = Field(default=None, description="Deliveries of events before this time.")
    offsets: Offsets | None = Field(default=None, description="Of `source` `log`, instead of a time.")
    filters: list[JsonValue] | None = Field(
        default=None, description="Of `source` `log`: what events must be like, as a subscription's `filters` say it."
    )
    dry_run: bool = Field(default=False, description="Count only: nothing is sent.")
    rate_per_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, description="Deliveries a second at most."
    )
    payload: PayloadVersion = Transformation.ORIGINAL


class Recovery(JsonBody):
    """Which events a subscription is to get after all: of those that failed or were held."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"since": "2026-11-20T10:00:00Z", "until": "2026-11-21T00:00:00Z"}]}
    )

    since: Moment = Field(description="Deliveries of events from this time on.")
    until: Moment | None = Field(default=None, description="Deliveries of events before this time; now unless given.")
    rate_per_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, description="Deliveries a second at most."
    )
    dry_run: bool = Field(default=False, description="Count only: nothing is sent.")
    payload: PayloadVersion = Transformation.ORIGINAL


class ReplayCount(BaseModel):
    """How many deliveries a replay would send."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"count": 5000}]})

    count: int


class ReplayFilter(BaseModel):
    """What a replay was asked to take."""

    subscription_id: str | None
    event_types: list[str] | None
    state: EndedState | None
    since: datetime | None
    until: datetime | None
    offsets: dict[str, dict[str, int]] | None = None
    filters: list[Any] | None = None


class ReplayBody(BaseModel):
    """A replay. Its counts are at most some seconds old while it runs, and exact once it has ended."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": _ID,
                    "state": "running",
                    "source": "deliveries",
                    "is_retry": False,
                    "filter": {
                        "subscription_id": _SUBSCRIPTION_ID,
                        "event_types": ["user.*"],
                        "state": "failed",
                        "since": "2026-11-20T10:00:00Z",
                        "until": None,
                        "offsets": None,
                        "filters": None,
                    },
                    "rate_per_s": 100.0,
                    "payload": "original",
                    "total": 5000,
                    "sent": 1200,
                    "succeeded": 1180,
                    "failed": 2,
                    "held": 0,
                    "skipped": 1,
                    "cancelled": 0,
                    "created_at": "2026-11-21T09:30:00Z",
                    "started_at": "2026-11-21T09:30:01Z",
                    "paused_at": None,
                    "finished_at": None,
                    "log": None,
                    "error": None,
                }
            ]
        }
    )

    id: str
    state: ReplayState
    source: ReplaySource
    is_retry: bool = Field(description="One delivery, by POST /deliveries/{id}/retry.")
    filter: ReplayFilter
    rate_per_s: float
    payload: Transformation = Field(description="How the bodies look: as at first, or as they do now.")
    total: int = Field(
        description="0 while it is pending: what it takes is being collected. Of the log: what was found so far."
    )
    sent: int = Field(description="All that went out, also what has ended since.")
    succeeded: int
    failed: int
    held: int = Field(description="The subscription was disabled: it stays held in the log.")
    skipped: int = Field(description="Not sent; each item's `detail` says why.")
    cancelled: int
    created_at: datetime
    started_at: datetime | None
    paused_at: datetime | None = Field(description="Of a paused one: since when.")
    finished_at: datetime | None
    log: LogProgress | None = Field(description="null unless `source` is `log`.")
    error: str | None = Field(description="Why it ended before its end.")


class ReplayItemBody(BaseModel):
    """One delivery of a replay. `queued` and `sent` are under way, the other states are how it ended."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "delivery_id": _DELIVERY_ID,
                    "subscription_id": _SUBSCRIPTION_ID,
                    "event_id": "evt_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b",
                    "state": "skipped",
                    "detail": "the subscription was deleted",
                    "sent_at": None,
                    "finished_at": "2026-11-21T09:30:02Z",
                }
            ]
        }
    )

    delivery_id: str
    subscription_id: str
    event_id: str
    state: ItemState
    detail: str | None
    sent_at: datetime | None
    finished_at: datetime | None


class RetriedDelivery(BaseModel):
    """A delivery that is sent again now, and the replay that does it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"delivery_id": _DELIVERY_ID, "replay_id": _ID}]})

    delivery_id: str
    replay_id: str


def shown(row: ReplayRow) -> ReplayBody:
    """Return a replay's row as its body."""
    return ReplayBody(
        id=row.id,
        state=ReplayState(row.state),
        source=ReplaySource(row.source),
        is_retry=row.is_retry,
        filter=ReplayFilter(
            subscription_id=row.subscription_id,
            event_types=row.event_types,
            state=None if row.delivery_state is None else EndedState(row.delivery_state),
            since=row.since,
            until=row.until,
            offsets=row.offsets,
            filters=None if row.filters is None else orjson.loads(row.filters),
        ),
        rate_per_s=row.rate_per_s,
        payload=Transformation(row.payload),
        total=row.total,
        sent=row.sent,
        succeeded=row.succeeded,
        failed=row.failed,
        held=row.held,
        skipped=row.skipped,
        cancelled=row.cancelled,
        created_at=row.created_at,
        started_at=row.started_at,
        paused_at=row.paused_at,
        finished_at=row.finished_at,
        log=progress_of(row),
        error=row.error,
    )


def shown_item(row: ReplayItemRow) -> ReplayItemBody:
    """Return an item's row as its body."""
    return ReplayItemBody(
        delivery_id=row.delivery_id,
        subscription_id=row.subscription_id,
        event_id=row.event_id,
        state=ItemState(row.state),
        detail=row.detail,
        sent_at=row.sent_at,
        finished_at=row.finished_at,
    )
