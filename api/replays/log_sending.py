"""From past events to deliveries: each is an item before it is sent, and its outcome is counted as any other's."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from api.event_types.own import catalogue_of_all_versions
from api.replays.choosing import Chosen
from api.replays.deciding import Logged, Turn, Version, original_of
from api.replays.filling import add_items
from api.replays.log_reading import PastEvent
from api.replays.refusing import check_routed
from api.replays.shaping import full_body_of
from api.replays.tables import ReplayRow, Transformation
from api.replays.wanting import Wanting
from schemas.catalogue import Catalogue
from schemas.errors import InvalidInput
from schemas.ids import DeliveryId, ReplayId, delivery_id_of, made_at
from schemas.records import FIRST_ROUND, Subscription

_NEW: Final = "new"  # of a delivery that the log does not have: nothing is under way, nothing was sent

# What the delivery is now, if it is there; items that were cancelled or have ended meanwhile are left out.
_STANDING: Final = text("""
SELECT w.delivery_id, d.state, d.round, d.due_at, d.last_attempt_at,
    s.version AS subscription_version, s.enabled AS subscription_enabled,
    coalesce(d.transformation_version, -1) AS transformation_version,
    s.transformation_version AS current_version, CAST(s.payload AS text) AS current_payload,
    t.version AS original_version, CAST(t.payload AS text) AS original_payload
FROM unnest(CAST(:delivery_ids AS text[]), CAST(:ats AS timestamptz[]), CAST(:subscription_ids AS text[]))
    AS w (delivery_id, at, subscription_id)
JOIN replay_items i ON i.replay_id = :replay_id AND i.delivery_id = w.delivery_id AND i.state = 'queued'
LEFT JOIN deliveries d ON d.id = w.delivery_id AND d.at = w.at
LEFT JOIN subscriptions s ON s.id = w.subscription_id AND s.organization_id = :organization_id
LEFT JOIN transformations t ON t.subscription_id = w.subscription_id AND t.version = d.transformation_version
    AND t.organization_id = :organization_id
""")

# Whoever holds one of them is the projection: it has read the outcome and ends the item.
_QUEUED: Final = text("""
SELECT delivery_id FROM replay_items
WHERE replay_id = :replay_id AND state = 'queued' AND delivery_id <> ALL(CAST(:just_sent AS text[]))
ORDER BY delivery_id FOR UPDATE SKIP LOCKED
""")
_LEAVE_OUT: Final = text("""
UPDATE replay_items i SET state = CASE WHEN w.is_sent THEN 'sent' ELSE 'skipped' END,
    detail = CASE WHEN NOT w.is_sent THEN CAST(:why AS text) END,
    sent_at = CASE WHEN w.is_sent THEN CAST(:now AS timestamptz) END,
    finished_at = CASE WHEN NOT w.is_sent THEN CAST(:now AS timestamptz) END
FROM (
    SELECT given.delivery_id, coalesce(d.round = CAST(:replay_id AS text), false) AS is_sent
    FROM unnest(CAST(:delivery_ids AS text[]), CAST(:ats AS timestamptz[])) AS given (delivery_id, at)
    LEFT JOIN deliveries d ON d.id = given.delivery_id AND d.at = given.at
) w
WHERE i.replay_id = CAST(:replay_id AS text) AND i.delivery_id = w.delivery_id
""")


@dataclass(frozen=True, slots=True)
class Owed:
    """A past event, and a subscription that wants it."""

    delivery_id: DeliveryId
    past: PastEvent
    subscription: Subscription


def owed_by(past: PastEvent, wanting: Wanting) -> list[Owed]:
    """Return what an event comes to in a replay."""
    return [
        Owed(delivery_id_of(past.event.id, each.id, appended_at=past.at), past, each) for each in wanting.wanting(past)
    ]


async def queue(db: AsyncSession, replay_id: str, owed: Sequence[Owed], *, now: datetime) -> None:
    """Make items of what is owed; those that are there already stay as they are."""
    chosen = {each.delivery_id: Chosen(each.delivery_id, each.subscription.id, each.past.event.id) for each in owed}
    if chosen:
        await add_items(db, replay_id, list(chosen.values()), now)


async def types_of(db: AsyncSession, owed: Sequence[Owed]) -> Catalogue:
    """Return what is known of the types of what is owed."""
    return await catalogue_of_all_versions(
        db, [(each.past.event.organization_id, each.past.event.type) for each in owed]
    )


async def turns_of(db: AsyncSession, replay: ReplayRow, owed: Sequence[Owed], known: Catalogue) -> list[Turn]:
    """Return what is to be decided, in the order of `owed`; what is no queued item any more is left out."""
    given = {
        "replay_id": replay.id,
        "organization_id": replay.organization_id,
        "delivery_ids": [each.delivery_id for each in owed],
        "ats": [made_at(each.delivery_id) for each in owed],
        "subscription_ids": [each.subscription.id for each in owed],
    }
    standing = {row.delivery_id: row for row in await db.execute(_STANDING, given)}
    turns: dict[str, Turn] = {}
    for each in owed:
        if each.delivery_id in standing and each.delivery_id not in turns:
            turns[each.delivery_id] = _turn_of(replay, each, standing[each.delivery_id], known)
    return list(turns.values())


async def leave_out(db: AsyncSession, replay_id: str, why: str, *, just_sent: Sequence[str] = ()) -> int:
    """End the items of a replay that has read all and left them queued; return how many.

    A process that was killed had queued them; read again, their events led to them no more. One that went out before
    the kill is `sent`. `just_sent` were sent in this transaction: the projection may have them, and ends them.
    """
    found = await db.execute(_QUEUED, {"replay_id": replay_id, "just_sent": list(just_sent)})
    delivery_ids = [row.delivery_id for row in found]
    if delivery_ids:
        ats = [made_at(each) for each in delivery_ids]
        given = {"replay_id": replay_id, "delivery_ids": delivery_ids, "ats": ats, "why": why}
        await db.execute(_LEAVE_OUT, {**given, "now": datetime.now(UTC)})
    return len(delivery_ids)


def _turn_of(replay: ReplayRow, owed: Owed, row: Row[Any], catalogue: Catalogue) -> Turn:
    logged, refused = None, None
    try:
        check_routed(owed.past, catalogue)
        logged = _logged(owed, row, full_body_of(owed.past))
    except InvalidInput as error:  # another client's: routing put it into the quarantine
        refused = f"it was quarantined: {error}"
    return Turn(
        replay_id=ReplayId(replay.id),
        delivery_id=owed.delivery_id,
        asked_at=replay.created_at,
        logged=logged,
        subscription_version=cast(int | None, row.subscription_version),
        subscription_enabled=bool(row.subscription_enabled),
        original=original_of(row.transformation_version, row.original_version, row.original_payload),
        current=Version(row.current_version or 0, row.current_payload),
        wanted=Transformation(replay.payload),
        refused=refused,
    )


def _logged(owed: Owed, row: Row[Any], body: bytes) -> Logged:
    past, event = owed.past, owed.past.event
    return Logged(
        organization_id=event.organization_id,
        subscription_id=owed.subscription.id,
        event_id=event.id,
        event_type=event.type,
        state=_NEW if row.state is None else row.state,
        round=FIRST_ROUND if row.round is None else row.round,
        created_at=event.created_at,
        due_at=past.at if row.due_at is None else row.due_at,
        last_attempt_at=row.last_attempt_at,
        key=event.key,
        sequence=past.offset,
        transformation_version=owed.subscription.transformation_version,
        event_partition=past.partition,
        event_offset=past.offset,
        traceparent=past.traceparent,
        body=body,
    )
