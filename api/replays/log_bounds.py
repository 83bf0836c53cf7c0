"""From what was asked for to offsets, fixed in the moment of asking: later events are in no replay asked for before."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined] # re-exported without __all__
    AdminClient,
    ListOffsetsResultInfo,
    OffsetSpec,
)

from api.errors import Unavailable
from api.replays.positions import Positions, Stretch
from schemas.errors import HooklineError
from schemas.headers import microseconds_of
from schemas.topics import EVENTS

_WITHIN_S: Final = 5.0

Ends = Mapping[int, int]


class LogAway(Unavailable):
    """Kafka does not say where its log begins and ends."""

    def __init__(self) -> None:
        super().__init__("Kafka does not answer: without it nobody knows where the log ends; nothing was begun")


class LogMadeAnew(HooklineError):
    """The log ends before what is to be read: these are no offsets of it any more."""

    def __init__(self, number: int, end: int) -> None:
        super().__init__(
            f"partition {number} of hookline.events ends before offset {end:,}: the topic was made anew;"
            " what was delivered from it can be replayed as deliveries"
        )


@dataclass(frozen=True, slots=True)
class LogBounds:
    """Of each partition: the first offset that Kafka still has, the first of the time window, and the last but one."""

    low: Ends
    since: Ends
    end: Ends


async def bounds_of(
    kafka: Mapping[str, str], since: datetime | None, until: datetime | None, *, topic: str = EVENTS
) -> LogBounds:
    """Return where the log stands now, by the time at which the brokers took the records; raises LogAway."""
    try:
        return await asyncio.wait_for(asyncio.to_thread(_asked, kafka, since, until, topic), _WITHIN_S + 1)
    except (KafkaException, TimeoutError, OSError) as error:
        raise LogAway from error


def check_bounds(bounds: LogBounds, positions: Positions) -> None:
    """Raise LogMadeAnew unless the log is as long as it was when positions in it were fixed; it never gets shorter."""
    for number, stretch in positions.items():
        if not stretch.is_done and bounds.end.get(number, 0) < stretch.end:
            raise LogMadeAnew(number, stretch.end)


def by_time(bounds: LogBounds) -> Positions:
    """Return every partition's stretch of the time window; what Kafka forgot begins at 0, until somebody looks."""
    return {
        number: _stretch_of(low, bounds.since[number], bounds.end[number]) for number, low in sorted(bounds.low.items())
    }


def by_offsets(bounds: LogBounds, first: Mapping[int, int], past: Mapping[int, int]) -> Positions:
    """Return the stretches between offsets: of a partition that is named once, from its beginning or to its end."""
    positions = {}
    for number in sorted({*first, *past}):
        end = min(past.get(number, bounds.end[number]), bounds.end[number])
        begin = min(first.get(number, 0), end)
        positions[number] = Stretch(begin=begin, next=begin, end=end)
    return positions


def _stretch_of(low: int, since: int, end: int) -> Stretch:
    if since > low or low == 0:
        return Stretch(begin=min(since, end), next=min(since, end), end=end)
    return Stretch(begin=0, next=0, end=end, by_time_below=low)


def _asked(kafka: Mapping[str, str], since: datetime | None, until: datetime | None, topic: str) -> LogBounds:
    admin = AdminClient({**kafka, "log_level": "0"})
    described = admin.list_topics(topic, timeout=_WITHIN_S / 2).topics[topic]
    if described.error is not None or not described.partitions:
        raise KafkaException(described.error)
    numbers = list(described.partitions)
    low = _offsets(admin, topic, numbers, OffsetSpec.earliest())  # type: ignore[no-untyped-call] # not in its stubs
    high = _offsets(admin, topic, numbers, OffsetSpec.latest())  # type: ignore[no-untyped-call]
    first = low if since is None else _at(admin, topic, since, high)
    past = high if until is None else _at(admin, topic, until, high)
    return LogBounds(low, first, past)


def _at(admin: AdminClient, topic: str, moment: datetime, high: Ends) -> Ends:
    """Return the first offset at or after a moment; the end when there is none."""
    milliseconds = max(microseconds_of(moment) // 1000, 0)
    found = _offsets(admin, topic, list(high), OffsetSpec.for_timestamp(milliseconds))
    return {number: high[number] if offset < 0 else offset for number, offset in found.items()}


def _offsets(admin: AdminClient, topic: str, numbers: list[int], spec: OffsetSpec) -> dict[int, int]:
    asked = admin.list_offsets(
        {TopicPartition(topic, number): spec for number in numbers}, request_timeout=_WITHIN_S / 2
    )
    answers = cast("dict[TopicPartition, Future[ListOffsetsResultInfo]]", asked)
    return {place.partition: int(future.result(_WITHIN_S / 2).offset) for place, future in answers.items()}
