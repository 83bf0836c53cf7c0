"""A batch of a replay: what the log has of it goes to Kafka, and is marked as sent when Kafka has it.

One transaction, which holds the replay's row shared: whoever cancels waits for the batch, so that no item is called
cancelled that went out. A kill before the commit leaves the batch queued, and it is sent again as the same sending,
which workers recognise; the log shows most of it as sent already.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final, cast

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from api.event_types.own import catalogue_of_all_versions
from api.projection.storable import LONGEST_TEXT, storable_text
from api.replays.deciding import Decision, Logged, Turn, Version, decided, original_of
from api.replays.tables import Transformation
from producers.handover import LoopProducer
from producers.records import Outgoing
from schemas.catalogue import Catalogue
from schemas.codec import encode
from schemas.headers import delivery_headers
from schemas.ids import DeliveryId, EventId, OrganizationId, ReplayId, SubscriptionId, made_at
from schemas.records import CurrentRound, Delivery
from schemas.topics import REPLAY, ROUNDS

PORTION_S: Final = 0.05  # what goes to Kafka at once is this long's worth of a batch that is spread

# Of a subscription it is asked by both its ids: an index away, and never another organization's.
_TURNS: Final = text("""
SELECT w.replay_id, w.delivery_id, w.asked_at, d.id AS logged_id, d.organization_id, d.subscription_id, d.event_id,
    d.event_type, d.state, d.round, d.created_at, d.due_at, d.last_attempt_at, d.key, d.sequence,
    d.transformation_version, d.event_partition, d.event_offset, d.traceparent, e.body,
    s.version AS subscription_version, s.enabled AS subscription_enabled, r.payload AS wanted,
    s.transformation_version AS current_version, CAST(s.payload AS text) AS current_payload,
    t.version AS original_version, CAST(t.payload AS text) AS original_payload
FROM unnest(CAST(:replay_ids AS text[]), CAST(:delivery_ids AS text[]), CAST(:ats AS timestamptz[]),
    CAST(:asked AS timestamptz[])) AS w (replay_id, delivery_id, at, asked_at)
LEFT JOIN deliveries d ON d.id = w.delivery_id AND d.at = w.at
LEFT JOIN events e ON e.id = d.event_id AND e.at = d.at
LEFT JOIN subscriptions s ON s.id = d.subscription_id AND s.organization_id = d.organization_id
LEFT JOIN replays r ON r.id = w.replay_id
LEFT JOIN transformations t ON t.subscription_id = d.subscription_id AND t.version = d.transformation_version
    AND t.organization_id = d.organization_id
""")

# The projection may have read an outcome of this very batch: what it locks it ends, and is not ours to mark.
_MARK: Final = text("""
WITH free AS (
    SELECT i.replay_id, i.delivery_id, w.state, w.detail
    FROM unnest(CAST(:replay_ids AS text[]), CAST(:delivery_ids AS text[]), CAST(:states AS text[]),
        CAST(:details AS text[])) AS w (replay_id, delivery_id, state, detail)
    JOIN replay_items i ON i.replay_id = w.replay_id AND i.delivery_id = w.delivery_id
    WHERE i.state = 'queued'
    FOR UPDATE OF i SKIP LOCKED
)
UPDATE replay_items i SET state = f.state, detail = f.detail,
    sent_at = CASE WHEN f.state = 'sent' THEN CAST(:now AS timestamptz) END,
    finished_at = CASE WHEN f.state <> 'sent' THEN CAST(:now AS timestamptz) END
FROM free f WHERE i.replay_id = f.replay_id AND i.delivery_id = f.delivery_id
""")


@dataclass(frozen=True, slots=True)
class Queued:
    """An item that is to be sent, and when its replay was asked for."""

    replay_id: str
    delivery_id: str
    asked_at: datetime


async def sent(db: AsyncSession, producer: LoopProducer, items: Sequence[Queued], *, over_s: float = 0.0) -> int:
    """Send what can be sent of `items`, spread over some time, mark each, and return how many went out.

    Raises ProducingError when Kafka does not take all of it in time; then nothing is marked.
    """
    turns = await _turns_of(db, items)
    logged = [turn.logged for turn in turns if turn.logged is not None]
    known = await catalogue_of_all_versions(db, [(each.organization_id, each.event_type) for each in logged])
    return await sent_turns(db, producer, turns, known, over_s=over_s)


async def sent_turns(
    db: AsyncSession, producer: LoopProducer, turns: Sequence[Turn], known: Catalogue, *, over_s: float = 0.0
) -> int:
    """Do the same with what is decided about already; `known` has the types of all its events."""
    now = datetime.now(UTC)
    decisions = [(turn, decided(turn, now=now, catalogue=known)) for turn in turns]
    deliveries = [decision.delivery for _, decision in decisions if decision.delivery is not None]
    overtaking = [decision.delivery for _, decision in decisions if decision.delivery and decision.takes_over]
    await producer.send([_round_record(delivery, now) for delivery in overtaking])
    await _send_evenly(producer, [_delivery_record(delivery) for delivery in deliveries], over_s)
    await _mark(db, decisions)
    return len(deliveries)


async def _send_evenly(producer: LoopProducer, records: Sequence[Outgoing], over_s: float) -> None:
    """Send in a few portions, one behind the other: a batch at once would be a burst to the workers."""
    portions = max(1, min(round(over_s / PORTION_S), len(records)))
    bounds = [len(records) * number // portions for number in range(portions + 1)]
    began = time.monotonic()
    for number, (first, last) in enumerate(pairwise(bounds)):
        await asyncio.sleep(max(0.0, began + over_s * number / portions - time.monotonic()))
        await producer.send(records[first:last])


async def _turns_of(db: AsyncSession, items: Sequence[Queued]) -> list[Turn]:
    given = {
        "replay_ids": [item.replay_id for item in items],
        "delivery_ids": [item.delivery_id for item in items],
        "ats": [made_at(item.delivery_id) for item in items],
        "asked": [item.asked_at for item in items],
    }
    return [_turn_of(row) for row in await db.execute(_TURNS, given)]


async def _mark(db: AsyncSession, decisions: Sequence[tuple[Turn, Decision]]) -> None:
    given = {
        "replay_ids": [turn.replay_id for turn, _ in decisions],
        "delivery_ids": [turn.delivery_id for turn, _ in decisions],
        "states": [decision.state.value for _, decision in decisions],
        "details": [_storable(decision.detail) for _, decision in decisions],
        "now": datetime.now(UTC),
    }
    await db.execute(_MARK, given)


def _storable(detail: str | None) -> str | None:
    """Return why, as PostgreSQL keeps it: it may name a field of another client's, which is called what it likes."""
    return None if detail is None else storable_text(detail)[:LONGEST_TEXT]


def _turn_of(row: Row[tuple[object, ...]]) -> Turn:
    found = row._mapping  # noqa: SLF001 - SQLAlchemy's public names of rows begin so
    logged = None
    if found["logged_id"] is not None:
        logged = Logged(
            organization_id=OrganizationId(found["organization_id"]),
            subscription_id=SubscriptionId(found["subscription_id"]),
            event_id=EventId(found["event_id"]),
            **{name: found[name] for name in _AS_THEY_ARE},
        )
    return Turn(
        replay_id=ReplayId(found["replay_id"]),
        delivery_id=DeliveryId(found["delivery_id"]),
        asked_at=found["asked_at"],
        logged=logged,
        subscription_version=cast(int | None, found["subscription_version"]),
        subscription_enabled=bool(found["subscription_enabled"]),
        original=original_of(found["transformation_version"], found["original_version"], found["original_payload"]),
        current=Version(found["current_version"] or 0, found["current_payload"]),
        wanted=Transformation(found["wanted"] or Transformation.ORIGINAL),
    )


_AS_THEY_ARE: Final = (
    "event_type",
    "state",
    "round",
    "created_at",
    "due_at",
    "last_attempt_at",
    "key",
    "sequence",
    "transformation_version",
    "event_partition",
    "event_offset",
    "traceparent",
    "body",
)


def _delivery_record(delivery: Delivery) -> Outgoing:
    return Outgoing(REPLAY, delivery.subscription_id.encode(), encode(delivery), delivery_headers(delivery))


def _round_record(delivery: Delivery, now: datetime) -> Outgoing:
    current = CurrentRound(
        delivery_id=delivery.id, subscription_id=delivery.subscription_id, round=delivery.round, since=now
    )
    return Outgoing(ROUNDS, delivery.id.encode(), encode(current), [])
