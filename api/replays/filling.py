"""From what was asked for to items, chunk by chunk; what a kill leaves undone is found by the last item's id."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from api.replays.choosing import Chosen, choice_of, chosen_after
from api.replays.tables import ReplayItemRow, ReplayRow, ReplayState

_CHUNK: Final = 2000  # 50 ms; whoever wants to retry one of them waits so long

_QUEUE: Final = text("""
INSERT INTO replay_items (replay_id, delivery_id, subscription_id, event_id, state)
SELECT CAST(:replay_id AS text), w.delivery_id, w.subscription_id, w.event_id, 'queued'
FROM unnest(CAST(:delivery_ids AS text[]), CAST(:subscription_ids AS text[]), CAST(:event_ids AS text[]))
    AS w (delivery_id, subscription_id, event_id)
ON CONFLICT DO NOTHING RETURNING delivery_id
""")
_SKIP: Final = text("""
INSERT INTO replay_items (replay_id, delivery_id, subscription_id, event_id, state, detail, finished_at)
SELECT CAST(:replay_id AS text), w.delivery_id, w.subscription_id, w.event_id, 'skipped',
    coalesce(other.replay_id, 'another replay') || ' is sending it already', CAST(:now AS timestamptz)
FROM unnest(CAST(:delivery_ids AS text[]), CAST(:subscription_ids AS text[]), CAST(:event_ids AS text[]))
    AS w (delivery_id, subscription_id, event_id)
LEFT JOIN replay_items other ON other.delivery_id = w.delivery_id AND other.state IN ('queued', 'sent')
    AND other.replay_id <> CAST(:replay_id AS text)
ON CONFLICT DO NOTHING
""")


async def filled(db: AsyncSession, replay: ReplayRow, *, now: datetime) -> bool:
    """Add the next chunk of a pending replay's items; return True, and it runs, when there are no more.

    The caller holds the replay's row. A delivery that is under way in another replay is `skipped`.
    """
    last = await db.execute(select(func.max(ReplayItemRow.delivery_id)).where(ReplayItemRow.replay_id == replay.id))
    chosen = await chosen_after(db, choice_of(replay), after=last.scalar_one() or "", limit=_CHUNK)
    if chosen:
        await add_items(db, replay.id, chosen, now)
    if len(chosen) == _CHUNK:
        return False
    total = select(func.count()).where(ReplayItemRow.replay_id == replay.id).scalar_subquery()
    running = update(ReplayRow).where(ReplayRow.id == replay.id)
    await db.execute(running.values(state=ReplayState.RUNNING, started_at=now, total=total))
    return True


async def add_items(db: AsyncSession, replay_id: str, chosen: Sequence[Chosen], now: datetime) -> None:
    """Queue deliveries; one that is under way in another replay becomes `skipped`, one that is here already stays.

    In the order of their ids, whatever the order given: of two replays one waits for the other, never each for each.
    """
    chosen = sorted(chosen, key=lambda each: each.id)
    queued = {row[0] for row in await db.execute(_QUEUE, {"replay_id": replay_id, **_columns_of(chosen)})}
    others = [each for each in chosen if each.id not in queued]
    if others:
        await db.execute(_SKIP, {"replay_id": replay_id, "now": now, **_columns_of(others)})


def _columns_of(chosen: Sequence[Chosen]) -> dict[str, list[str]]:
    return {
        "delivery_ids": [each.id for each in chosen],
        "subscription_ids": [each.subscription_id for each in chosen],
        "event_ids": [each.event_id for each in chosen],
    }
