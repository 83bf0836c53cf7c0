"""The JSON of totals."""

from datetime import date, datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

_DAYS: Final = [{"day": f"2026-11-{day}", "success": 400, "failed": 2, "retrying": 1} for day in range(15, 22)]
_TOTALS: Final[dict[str, Any]] = {
    "deliveries": 2824,
    "success_rate": 0.995,
    "failures": 61,
    "average_duration_ms": 83.4,
    "p95_duration_ms": 241.0,
    "pending": 0,
    "retrying": 7,
    "dead": 14,
    "held": 3,
    "days": _DAYS,
}


class DayBody(BaseModel):
    """One day (UTC) of events, and where their deliveries stand now."""

    day: date
    success: int
    failed: int
    retrying: int


class Totals(BaseModel):
    """What the log holds, counted: deliveries by their state now, attempts by what they came to. Tests do not count."""

    deliveries: int
    success_rate: float | None = Field(
        description="Deliveries that succeeded, of those that succeeded or were given up, 0 to 1; null without any."
    )
    failures: int = Field(description="Attempts that failed.")
    average_duration_ms: float | None = Field(description="Of an attempt; null without any.")
    p95_duration_ms: float | None = Field(description="Within which 95 % of the attempts ended, a quarter off at most.")
    pending: int
    retrying: int
    dead: int = Field(description="Deliveries given up.")
    held: int = Field(description="Deliveries kept back because their subscription was disabled.")
    days: list[DayBody] = Field(description="The last seven days, today the last.", min_length=7, max_length=7)


class Stats(Totals):
    """The organization's totals."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"subscriptions": 12, "active": 11, **_TOTALS}]})

    subscriptions: int
    active: int = Field(description="Subscriptions that are enabled and not paused.")


class SubscriptionStats(Totals):
    """A subscription's totals, and how it is doing."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **_TOTALS,
                    "consecutive_failures": 0,
                    "failing_since": None,
                    "last_success_at": "2026-11-21T09:30:00Z",
                    "last_attempt_at": "2026-11-21T09:30:00Z",
                }
            ]
        }
    )

    consecutive_failures: int = Field(description="Attempts in a row that failed, up to now.")
    failing_since: datetime | None = Field(description="The first of them; null when the last attempt succeeded.")
    last_success_at: datetime | None
    last_attempt_at: datetime | None
