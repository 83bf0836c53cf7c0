"""What goes on beside the bulk: retries go out at once, counts are kept, and what has ended is ended."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import structlog
from sqlalchemy import select, text

from api.database import transaction_of
from api.replays.bulk import Workshop
from api.replays.perseverance import waited
from api.replays.progress import counted, finished
from api.replays.queries import cancelled
from api.replays.sending import Queued, sent
from api.replays.tables import ReplayRow, ReplayState

log = structlog.get_logger("api.replays")

_RETRIES_AT_ONCE: Final = 100
_CANCELLED_AT_ONCE: Final = 5000
_LOOK_EVERY_S: Final = 1.0
_LONGEST_REST_S: Final = 30.0
_COUNTING_SHARE: Final = 0.05  # of the time, for one replay

_RETRIES: Final = text("""
SELECT i.replay_id, i.delivery_id, r.created_at
FROM replays r JOIN replay_items i ON i.replay_id = r.id AND i.state = 'queued'
WHERE r.is_retry AND r.finished_at IS NULL AND r.state IN ('pending', 'running')
ORDER BY r.id LIMIT :limit FOR NO KEY UPDATE OF r SKIP LOCKED
""")
_RETRIES_SENT: Final = text("""
UPDATE replays r SET state = 'finishing', started_at = coalesce(started_at, CAST(:now AS timestamptz))
WHERE r.is_retry AND r.finished_at IS NULL AND r.state IN ('pending', 'running')
    AND NOT EXISTS (SELECT FROM replay_items i WHERE i.replay_id = r.id AND i.state = 'queued')
RETURNING r.id
""")


class Retries:
    """Sends single deliveries as soon as somebody asks for it, many in one batch when many do."""

    def __init__(self, workshop: Workshop, woken: asyncio.Event) -> None:
        self._workshop = workshop
        self._woken = woken

    async def step(self) -> bool:
        """Send what waits; without any, wait to be woken. Never done."""
        self._woken.clear()
        if not await self._send():
            await waited(self._woken, _LOOK_EVERY_S)
        return False

    async def _send(self) -> bool:
        async with transaction_of(self._workshop.engine) as db:
            items = [Queued(*row) for row in await db.execute(_RETRIES, {"limit": _RETRIES_AT_ONCE})]
            if items:
                await sent(db, self._workshop.producer, items)
            out = [row[0] for row in await db.execute(_RETRIES_SENT, {"now": datetime.now(UTC)})]
            await counted(db, out)
        return bool(items)


@dataclass(slots=True)
class _Rest:
    next_at: float
    seconds: float = _LOOK_EVERY_S


class Keeper:
    """Counts, and ends what has ended."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._rests: dict[str, _Rest] = {}

    async def step(self) -> bool:
        """Look once, then wait a second. Never done."""
        await self._finish()
        await self._cancel()
        await self._count()
        await waited(self._workshop.stopped, _LOOK_EVERY_S)
        return False

    async def _finish(self) -> None:
        async with transaction_of(self._workshop.engine) as db:
            ids = await finished(db, now=datetime.now(UTC))
        for replay_id in ids:
            log.info("replay.finished", replay_id=replay_id)

    async def _cancel(self) -> None:
        """Cancel what a request left: it takes only so many at once."""
        for replay_id in await self._unfinished(ReplayState.CANCELLED):
            count = _CANCELLED_AT_ONCE
            while count == _CANCELLED_AT_ONCE:
                async with transaction_of(self._workshop.engine) as db:
                    count = await cancelled(db, replay_id, limit=_CANCELLED_AT_ONCE, now=datetime.now(UTC))

    async def _count(self) -> None:
        """Count those whose rest is over. It gets longer where counting takes long, and where nothing changes."""
        states = (ReplayState.RUNNING, ReplayState.PAUSED, ReplayState.FINISHING, ReplayState.CANCELLED)
        ids = await self._unfinished(*states)
        self._rests = {replay_id: self._rests.get(replay_id, _Rest(0.0)) for replay_id in ids}
        for replay_id, rest in self._rests.items():
            if (began := time.monotonic()) < rest.next_at:
                continue
            async with transaction_of(self._workshop.engine) as db:
                has_changed = await counted(db, [replay_id])
            ended = time.monotonic()
            quiet_s = _LOOK_EVERY_S if has_changed else min(rest.seconds * 2, _LONGEST_REST_S)
            rest.seconds = max(quiet_s, (ended - began) / _COUNTING_SHARE)
            rest.next_at = ended + rest.seconds - _LOOK_EVERY_S / 2

    async def _unfinished(self, *states: ReplayState) -> list[str]:
        wanted = select(ReplayRow.id).where(
            ReplayRow.finished_at.is_(None), ReplayRow.state.in_(states), ReplayRow.is_retry.is_(False)
        )
        async with transaction_of(self._workshop.engine) as db:
            return list((await db.execute(wanted.order_by(ReplayRow.id).limit(500))).scalars())
