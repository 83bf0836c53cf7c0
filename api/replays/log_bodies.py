"""The JSON of replays of the log: offsets that come in; an estimate and progress that go out."""

import re
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from api.fields import holds
from api.replays.estimating import Estimate
from api.replays.tables import ReplayRow
from api.requests import JsonBody
from schemas.errors import InvalidInput

_LONGEST_S: Final = 1e13  # 300,000 years: a rate may be so small that JSON and Python have no number for it
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)


def _check_partitions(offsets: dict[str, int]) -> None:
    for number in offsets:
        if not _NUMBER.fullmatch(number):
            raise InvalidInput(f'{number[:20]!r} is no partition: they are named by numbers, such as "0"')


Numbers = Annotated[
    dict[str, Annotated[int, Field(ge=0, lt=1 << 63)]], Field(max_length=1000), holds(_check_partitions)
]


class Offsets(JsonBody):
    """Where in `hookline.events` to read, by partition; partitions that are not named are left out."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"from": {"0": 1200}, "to": {"0": 5000}}]})

    first: Numbers = Field(default={}, alias="from", description="The first offset; of one not named, its beginning.")
    past: Numbers = Field(default={}, alias="to", description="The first left out; not named: the end as of now.")


class TypeEstimate(BaseModel):
    """What one event type comes to."""

    type: str
    events: int
    count: int


class ReadFrom(BaseModel):
    """Where the events come from: Kafka, or what PostgreSQL keeps of those that Kafka has forgotten."""

    kafka: int
    stored: int


class LogEstimate(BaseModel):
    """What a replay of the log would send."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "count": 5000,
                    "held": 0,
                    "events": 5000,
                    "size_bytes": 3700000,
                    "seconds": 50.0,
                    "by_type": [{"type": "user.created", "events": 5000, "count": 5000}],
                    "read_from": {"kafka": 4200, "stored": 800},
                    "is_estimate": False,
                }
            ]
        }
    )

    count: int = Field(description="Deliveries that it would send.")
    held: int = Field(description="Deliveries that it would not, because their subscription is disabled.")
    events: int
    size_bytes: int = Field(description="Of the bodies of all deliveries.")
    seconds: float = Field(description="That it takes at this rate, at least.")
    by_type: list[TypeEstimate]
    read_from: ReadFrom
    is_estimate: bool = Field(
        description="Not all events were looked into: filters and sizes are told by a sample. The log in PostgreSQL, "
        "by which all is counted, is some seconds old at most."
    )


class LogProgress(BaseModel):
    """How far a replay has read the log: offsets, of all organizations' events."""

    read: int
    total: int
    percent: float


def shown_estimate(estimate: Estimate, *, rate_per_s: float) -> LogEstimate:
    """Return what a replay of the log would send, as its body."""
    types = estimate.types
    count = round(sum(each.sent for each in types.values()))
    events = round(sum(each.events for each in types.values()))
    stored = round(estimate.stored_events)
    return LogEstimate(
        count=count,
        held=round(sum(each.held for each in types.values())),
        events=events,
        size_bytes=round(sum(each.size_bytes for each in types.values())),
        seconds=round(min(count / rate_per_s, _LONGEST_S), 1),
        by_type=[
            TypeEstimate(type=name, events=round(each.events), count=round(each.sent)) for name, each in types.items()
        ],
        read_from=ReadFrom(kafka=events - stored, stored=stored),
        is_estimate=estimate.is_estimate,
    )


def progress_of(row: ReplayRow) -> LogProgress | None:
    """Return how far a replay of the log has read; None of another."""
    if row.log_total is None:
        return None
    read = row.log_read or 0
    return LogProgress(
        read=read, total=row.log_total, percent=round(100 * read / row.log_total, 1) if row.log_total else 100.0
    )
