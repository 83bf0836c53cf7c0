"""One replay from beginning to end: its items are collected, then sent batch by batch at its rate."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from api.database import transaction_of
from api.replays.filling import filled
from api.replays.pacing import Pace
from api.replays.perseverance import waited
from api.replays.queries import SENDING
from api.replays.sending import Queued, sent
from api.replays.tables import ItemState, ReplayItemRow, ReplayRow, ReplayState
from producers.handover import LoopProducer

log = structlog.get_logger("api.replays")


@dataclass(frozen=True, slots=True)
class Workshop:
    """What every replay works with. `room` bounds how many of them hold a connection at once."""

    engine: AsyncEngine
    producer: LoopProducer
    room: asyncio.Semaphore
    stopped: asyncio.Event
    kafka: Mapping[str, str]
    events_topic: str
    sending: set[str] = field(default_factory=set)
    """The replays that are being sent here."""


class BulkReplay:
    """A replay that this process sends. All that lasts is in the database: another process may go on with it."""

    def __init__(self, replay_id: str, workshop: Workshop) -> None:
        self._id = replay_id
        self._workshop = workshop
        self._pace: Pace | None = None
        self._after = ""

    async def step(self) -> bool:
        """Do the next chunk or batch when it is time for it; return True when nothing is left to send."""
        if self._pace is not None and (wait_s := self._pace.wait_s(time.monotonic())) > 0:
            await waited(self._workshop.stopped, wait_s)
            return False
        async with self._workshop.room, transaction_of(self._workshop.engine) as db:
            replay = await held(db, self._id)
            if replay is None or replay.state not in SENDING:
                return True
            if replay.state == ReplayState.PENDING:
                await self._fill(db, replay)
                return False
            if self._pace is None:
                self._pace = Pace(replay.rate_per_s, now=time.monotonic())
            items = await self._queued(db, replay, limit=self._pace.batch(time.monotonic()))
            if not items:
                return self._turned_over(replay)
            over_s = self._pace.spread_s(len(items), replays=len(self._workshop.sending))
            count = await sent(db, self._workshop.producer, items, over_s=over_s)
        self._after = items[-1].delivery_id
        self._pace.note(count, now=time.monotonic())
        return False

    def close(self) -> None:
        """Let go of nothing: all of it is in the database."""

    async def _fill(self, db: AsyncSession, replay: ReplayRow) -> None:
        if await filled(db, replay, now=datetime.now(UTC)):
            log.info("replay.started", replay_id=self._id, organization_id=replay.organization_id)

    async def _queued(self, db: AsyncSession, replay: ReplayRow, *, limit: int) -> list[Queued]:
        # Past the last one: what was queued before it lies dead at the index's beginning until PostgreSQL cleans up.
        wanted = (
            select(ReplayItemRow.delivery_id)
            .where(ReplayItemRow.replay_id == replay.id, ReplayItemRow.state == ItemState.QUEUED)
            .where(ReplayItemRow.delivery_id > self._after)
            .order_by(ReplayItemRow.delivery_id)
            .limit(limit)
        )
        return [Queued(replay.id, found, replay.created_at) for found in (await db.execute(wanted)).scalars()]

    def _turned_over(self, replay: ReplayRow) -> bool:
        """Begin anew, for what was left out; when there was nothing from the beginning on, all is sent."""
        if self._after:
            self._after = ""
            return False
        replay.state = ReplayState.FINISHING
        log.info("replay.sent", replay_id=self._id, organization_id=replay.organization_id)
        return True


async def held(db: AsyncSession, replay_id: str) -> ReplayRow | None:
    """Return a replay, locked until the transaction ends: a cancel waits for the batch (api/replays/sending.py)."""
    wanted = select(ReplayRow).where(ReplayRow.id == replay_id).with_for_update(key_share=True)
    return (await db.execute(wanted)).scalar_one_or_none()
