"""One replay of the log from beginning to end: read, made items, sent batch by batch at its rate.

The position moves in the transaction that marks what was sent, so a kill at any point leaves nothing missing: what was
read and not sent is read again and finds its items queued, what was sent and not marked goes out as the same sending.
Each partition is read in its order and sent in its order, which is the log's for every key.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Final

import structlog

from api.database import transaction_of
from api.replays.bulk import Workshop, held
from api.replays.log_bounds import LogMadeAnew, bounds_of, check_bounds
from api.replays.log_reading import LogForgot, LogReader, PastEvent
from api.replays.log_sending import Owed, leave_out, owed_by, queue, turns_of, types_of
from api.replays.pacing import Pace
from api.replays.perseverance import waited
from api.replays.positions import Positions, Stretch, kept_of, offsets_read, positions_in
from api.replays.queries import SENDING
from api.replays.sending import sent_turns
from api.replays.stored_events import MOST_AT_ONCE, Window, stored_events
from api.replays.tables import ReplayRow, ReplayState
from api.replays.wanting import Wanting

log = structlog.get_logger("api.replays")

_ITEMS_AT_ONCE: Final = 1000  # 25 ms; whoever wants to retry one of them waits so long
_CLIENT_KEPT_S: Final = 10.0  # while nothing is read; slow replays of many organizations hold no clients
_NOTE_EVERY_S: Final = 1.0  # how far it came, where nothing is to be sent
_LOOKING_SHARE: Final = 0.5  # of the time, at most, through what is not the organization's
NOBODY_LEFT: Final = "the subscription was deleted"
WANTED_NO_MORE: Final = "its subscription does not want it any more, or the log has it no more"


class LogReplay:
    """A replay of the log that this process sends. All that lasts is on its row and in its items."""

    def __init__(self, replay_id: str, workshop: Workshop) -> None:
        self._id = replay_id
        self._workshop = workshop
        self._pace: Pace | None = None
        self._replay: ReplayRow | None = None
        self._wanting: Wanting | None = None
        self._reader: LogReader | None = None
        self._forgotten: Positions = {}  # what Kafka does not have: stretches that end where its log begins
        self._positions: Positions = {}
        self._upto: dict[int, int] = {}  # read up to there
        self._past: deque[PastEvent] = deque()  # and nobody was asked who wants it
        self._read: list[Owed] = []  # and not items yet
        self._ready: deque[Owed] = deque()
        self._noted_at = 0.0

    async def step(self) -> bool:
        """Do the next reading or batch when it is time for it; return True when nothing is left to send."""
        if self._replay is None:
            return await self._begin()
        if self._pace is not None and (wait_s := self._pace.wait_s(time.monotonic())) > 0:
            await waited(self._workshop.stopped, wait_s)
            return False
        if not (self._ready or self._is_all_ready()):
            return await self._fill()
        return await self._send()

    def close(self) -> None:
        """Let go of the brokers."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    async def _begin(self) -> bool:
        async with self._workshop.room, transaction_of(self._workshop.engine) as db:
            replay = await held(db, self._id)
            if replay is None or replay.state not in SENDING:
                return True
            if replay.state == ReplayState.PENDING:
                replay.state, replay.started_at = ReplayState.RUNNING, replay.started_at or datetime.now(UTC)
                log.info("replay.started", replay_id=self._id, organization_id=replay.organization_id)
            await db.flush()
        self._positions = positions_in(replay.positions)
        self._upto = {number: each.next for number, each in self._positions.items()}
        self._wanting, self._replay = Wanting(replay), replay
        return False

    async def _fill(self) -> bool:
        """Read on, and make items of what is owed before any of it is sent: outcomes find them there."""
        replay, wanting = self._known()
        async with self._workshop.room, transaction_of(self._workshop.engine) as db:
            await wanting.refresh(db)
        if wanting.is_nobody_left:
            return await self._give_up(NOBODY_LEFT)
        began = time.monotonic()
        if not (self._read or self._past):
            try:
                self._past.extend(await self._events(replay))
            except LogMadeAnew as error:
                return await self._give_up(str(error))
        await self._ask(wanting)
        if not self._read:
            took_s = time.monotonic() - began
            await waited(self._workshop.stopped, took_s * (1 / _LOOKING_SHARE - 1))
        async with self._workshop.room, transaction_of(self._workshop.engine) as db:
            held_replay = await held(db, self._id)
            if held_replay is None or held_replay.state not in SENDING:
                return True
            first = self._read[:_ITEMS_AT_ONCE]
            await queue(db, self._id, first, now=datetime.now(UTC))
            if not self._read and time.monotonic() - self._noted_at > _NOTE_EVERY_S:
                self._note(held_replay, self._positions_before(()))
        self._ready.extend(first)
        self._read = self._read[_ITEMS_AT_ONCE:]
        if len(self._ready) / replay.rate_per_s > _CLIENT_KEPT_S:
            await asyncio.to_thread(self.close)
        return False

    async def _ask(self, wanting: Wanting) -> None:
        """Make of past events what is owed, no more at once than becomes items: a thousand may want each of them."""
        while self._past and len(self._read) < _ITEMS_AT_ONCE:
            self._read += owed_by(self._past[0], wanting)
            self._past.popleft()
            await asyncio.sleep(0)

    async def _send(self) -> bool:
        async with self._workshop.room, transaction_of(self._workshop.engine) as db:
            replay = await held(db, self._id)
            if replay is None or replay.state not in SENDING:
                return True
            if self._pace is None:
                self._pace = Pace(replay.rate_per_s, now=time.monotonic())
            batch = list(islice(self._ready, self._pace.batch(time.monotonic())))
            known = await types_of(db, batch)
            turns = await turns_of(db, replay, batch, known)
            over_s = self._pace.spread_s(len(turns), replays=len(self._workshop.sending))
            count = await sent_turns(db, self._workshop.producer, turns, known, over_s=over_s)
            positions = self._positions_before(islice(self._ready, len(batch), None))
            self._note(replay, positions)
            if is_done := len(batch) == len(self._ready) and self._is_all_ready():
                await leave_out(db, self._id, WANTED_NO_MORE, just_sent=[each.delivery_id for each in batch])
                replay.state = ReplayState.FINISHING
        for _ in batch:
            self._ready.popleft()
        self._pace.note(count, now=time.monotonic())
        if is_done:
            log.info("replay.sent", replay_id=self._id)
        return is_done

    async def _give_up(self, why: str) -> bool:
        async with self._workshop.room, transaction_of(self._workshop.engine) as db:
            replay = await held(db, self._id)
            if replay is not None and replay.state in SENDING:
                await leave_out(db, self._id, why)
                replay.error, replay.state = why, ReplayState.FINISHING
                log.warning("replay.ended_early", replay_id=self._id, why=why)
        return True

    async def _events(self, replay: ReplayRow) -> list[PastEvent]:
        """Return what comes next: of one partition what is stored, where Kafka forgot it; then what Kafka has."""
        if self._reader is None:
            await self._open()
        for number, stretch in self._forgotten.items():
            if self._upto[number] < stretch.end:
                return await self._stored(replay, number)
        reader = self._reader
        assert reader is not None  # noqa: S101 - opened above
        try:
            reading = await asyncio.to_thread(reader.read, replay.organization_id)
        except LogForgot:
            self.close()  # and the next reading looks anew at where the log begins
            return []
        except BaseException:
            self.close()  # it may be past what nobody was given
            raise
        self._upto |= reading.upto
        self._upto |= {number: self._positions[number].end for number in reading.ended}
        return reading.events

    async def _open(self) -> None:
        """Look where Kafka's log begins today, and read on from there; what is before is read from PostgreSQL."""
        bounds = await bounds_of(self._workshop.kafka, None, None, topic=self._workshop.events_topic)
        open_ = {number: each for number, each in self._positions.items() if self._upto[number] < each.end}
        check_bounds(bounds, open_)
        lows = {number: bounds.low[number] for number in open_}
        reader = LogReader(self._workshop.kafka, self._workshop.events_topic)
        try:
            places = {number: (max(self._upto[number], lows[number]), each.end) for number, each in open_.items()}
            reader.begin({number: place for number, place in places.items() if place[0] < place[1]})
        except BaseException:
            reader.close()
            raise
        self._reader = reader
        self._forgotten = {
            number: _until(self._positions, number, low) for number, low in lows.items() if self._upto[number] < low
        }
        if self._forgotten:
            begins = {number: stretch.end for number, stretch in self._forgotten.items()}
            log.info("replay.reads_stored_bodies", replay_id=self._id, before=begins)

    async def _stored(self, replay: ReplayRow, number: int) -> list[PastEvent]:
        stretch = self._forgotten[number].moved(self._upto[number])
        window = window_of(replay)
        async with self._workshop.room, transaction_of(self._workshop.engine) as db:
            found = await stored_events(db, window, number, stretch, upto=stretch.end)
        self._upto[number] = found[-1].offset + 1 if len(found) == MOST_AT_ONCE else stretch.end
        return found

    def _is_all_ready(self) -> bool:
        is_read = all(self._upto[number] >= each.end for number, each in self._positions.items())
        return is_read and not (self._read or self._past)

    def _positions_before(self, left: Iterable[Owed]) -> Positions:
        """Return the positions when all is done but what is left of what was read."""
        first: dict[int, int] = {}
        owed = (each.past for each in chain(left, self._read))
        for past in chain(owed, self._past):  # in each partition's order: the first that comes is the least
            first.setdefault(past.partition, past.offset)
            if len(first) == len(self._positions):
                break
        return {number: each.moved(first.get(number, self._upto[number])) for number, each in self._positions.items()}

    def _note(self, replay: ReplayRow, positions: Positions) -> None:
        replay.positions, replay.log_read = kept_of(positions), offsets_read(positions)
        self._noted_at = time.monotonic()

    def _known(self) -> tuple[ReplayRow, Wanting]:
        assert self._replay is not None and self._wanting is not None  # noqa: S101, PT018 - it has begun
        return self._replay, self._wanting


def window_of(replay: ReplayRow) -> Window:
    """Return which stored events a replay may take."""
    return Window(
        organization_id=replay.organization_id,
        since=replay.since,
        until=replay.until,
        event_types=replay.event_types,
    )


def _until(positions: Positions, number: int, low: int) -> Stretch:
    each = positions[number]
    return Stretch(begin=each.begin, next=each.next, end=min(low, each.end), by_time_below=each.by_time_below)
