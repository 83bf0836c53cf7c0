"""What a replay of the log would send, before anybody sends it: counted by an index, weighed by a sample.

Bounded work, whatever the log holds and whoever wants it: of each partition so many events are counted and so many
looked into, for some seconds at most, and others are answered meanwhile. Where that is not all of them the rest is
taken to be alike, and the answer says that it is an estimate.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, case, func, literal, select, true
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from api.deliveries.tables import EventRow
from api.replays.log_sending import owed_by
from api.replays.positions import Positions, Stretch
from api.replays.shaping import body_for, source_of
from api.replays.stored_events import Window, past_event_of, stretch_conditions
from api.replays.wanting import Wanting
from schemas.errors import InvalidInput

MOST_COUNTED: Final = 100_000  # of each partition, by an index alone
MOST_SAMPLED: Final = 60  # of each partition, with their bodies
LONGEST_S: Final = 5.0  # of looking into them; a thousand subscriptions take 20 ms an event
_AT_ONCE: Final = 100  # subscriptions, some 2 ms, before other requests have their turn


@dataclass(slots=True)
class Weighed:
    """Events of one type: how many there are, and what the `sampled` ones come to in deliveries and bytes."""

    events: float = 0
    sampled: int = 0
    sent: float = 0
    held: float = 0
    size_bytes: float = 0

    def scaled(self) -> "Weighed":
        """Return what all of them come to."""
        share = self.events / self.sampled if self.sampled else 0
        return Weighed(self.events, self.sampled, self.sent * share, self.held * share, self.size_bytes * share)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a replay would send by type; `stored_events` are those that Kafka has no more."""

    types: dict[str, Weighed]
    stored_events: float
    is_estimate: bool


async def estimated(
    db: AsyncSession, window: Window, positions: Positions, lows: Mapping[int, int], wanting: Wanting
) -> Estimate:
    """Return what a replay would send; `lows` are where Kafka's log begins."""
    await wanting.refresh(db)
    scales = _Scales(db, window, wanting)
    for number, stretch in positions.items():
        if not stretch.is_done:
            await scales.weigh(number, stretch, lows[number])
    return scales.estimate()


class _Scales:
    """Counts and weighs, one partition after the other."""

    def __init__(self, db: AsyncSession, window: Window, wanting: Wanting) -> None:
        self._db = db
        self._window = window
        self._wanting = wanting
        self._types: dict[str, Weighed] = {}
        self._stored = 0.0
        self._is_cut = False
        self._looked_s = 0.0

    async def weigh(self, number: int, stretch: Stretch, low: int) -> None:
        """Add a partition's stretch."""
        conditions = stretch_conditions(self._window, number, stretch, upto=stretch.end)
        events = await self._count(conditions, stretch, low)
        query = select(EventRow).where(*conditions)
        if events > MOST_SAMPLED:
            query = _at_even_distances(query, stretch)
        rows = {row.id: row for row in (await self._db.execute(query)).scalars()} if events else {}
        for row in rows.values():
            if self._looked_s > LONGEST_S:
                break
            began = time.monotonic()
            await self._weigh(row)
            self._looked_s += time.monotonic() - began

    def estimate(self) -> Estimate:
        """Return what all comes to."""
        types = self._types.values()
        looked_into = sum(each.sampled for each in types)
        sizes = [each.size_bytes / each.sent for each in types if each.sent]
        size_bytes = sum(sizes) / len(sizes) if sizes else 0
        is_estimate = self._is_cut or looked_into < sum(each.events for each in types)
        for name, weighed in self._types.items():
            if not weighed.sampled:  # too rare for the sample: told by its name alone
                self._weigh_by_name(name, weighed, size_bytes=size_bytes)
        scaled = {name: each.scaled() for name, each in sorted(self._types.items())}
        return Estimate(scaled, self._stored, is_estimate)

    async def _count(self, conditions: Sequence[ColumnElement[bool]], stretch: Stretch, low: int) -> int:
        chosen = select(EventRow.type, EventRow.offset).where(*conditions).order_by(EventRow.offset)
        found = chosen.limit(literal(MOST_COUNTED, literal_execute=True)).subquery()
        forgotten = func.count(case((found.c.offset < low, 1)))
        counted = select(found.c.type, func.count(), forgotten, func.max(found.c.offset)).group_by(found.c.type)
        rows: list[Any] = list((await self._db.execute(counted)).all())
        total, scale = sum(row[1] for row in rows), 1.0
        if total == MOST_COUNTED:
            self._is_cut = True
            scale = (stretch.end - stretch.begin) / (max(row[3] for row in rows) + 1 - stretch.begin)
        for name, events, forgotten_events, _ in rows:
            self._types.setdefault(name, Weighed()).events += events * scale
            self._stored += forgotten_events * scale
        return int(total)

    async def _weigh(self, row: EventRow) -> None:
        past, weighed = past_event_of(row), self._types.setdefault(row.type, Weighed(events=1))
        source = source_of(past)
        weighed.sampled += 1
        for number, owed in enumerate(owed_by(past, self._wanting)):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            if not owed.subscription.enabled:
                weighed.held += 1
                continue
            try:
                weighed.size_bytes += len(body_for(source, owed.subscription, owed.delivery_id))
            except InvalidInput:
                continue
            weighed.sent += 1

    def _weigh_by_name(self, name: str, weighed: Weighed, *, size_bytes: float) -> None:
        those = self._wanting.wanting_type(name)
        weighed.sampled = 1
        weighed.sent = sum(each.enabled for each in those)
        weighed.held = len(those) - weighed.sent
        weighed.size_bytes = weighed.sent * size_bytes


def _at_even_distances(query: Select[EventRow], stretch: Stretch) -> Select[EventRow]:
    step = max((stretch.end - stretch.begin) // MOST_SAMPLED, 1)
    places = select(func.generate_series(stretch.begin, stretch.end - 1, step).label("place")).subquery()
    next_one = query.where(EventRow.offset >= places.c.place).order_by(EventRow.offset).limit(1).lateral()
    return select(aliased(EventRow, next_one)).select_from(places).join(next_one, true())
