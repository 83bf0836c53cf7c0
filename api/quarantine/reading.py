"""The quarantine's queries, and the way back out of it. No query commits. It belongs to no organization."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.errors import Conflict
from api.quarantine.tables import QuarantineRow
from producers.outbox import add_to_outbox, headers_from_json
from producers.records import Outgoing
from schemas.headers import Headers
from schemas.topics import ROUNDS, SUBSCRIPTIONS

_WHY: Final = "__connect.errors."  # schemas/headers.py, `quarantine_headers`: they come after the record's own
_LEFT_OUT: Final = "hookline_left_out_bytes"  # the record was too large for the quarantine, its bytes are not in it
# Of a compacted topic the last record of a key counts: an old one, put back, would be that.
_COMPACTED: Final = {SUBSCRIPTIONS, ROUNDS}


async def quarantined(
    db: AsyncSession, *, topic: str | None, stage: str | None, retried: bool | None, before: str, limit: int
) -> Sequence[QuarantineRow]:
    """Return up to `limit` quarantined records, the newest first, those before id `before` unless it is ""."""
    wanted = select(QuarantineRow)
    if before:
        wanted = wanted.where(QuarantineRow.id < before)
    if topic is not None:
        wanted = wanted.where(QuarantineRow.topic == topic)
    if stage is not None:
        wanted = wanted.where(QuarantineRow.stage == stage)
    if retried is not None:
        wanted = wanted.where(QuarantineRow.retried_at.is_not(None) if retried else QuarantineRow.retried_at.is_(None))
    return (await db.execute(wanted.order_by(QuarantineRow.id.desc()).limit(limit))).scalars().all()


async def quarantined_record(db: AsyncSession, identifier: str) -> QuarantineRow | None:
    """Return one quarantined record."""
    return await db.get(QuarantineRow, identifier)


async def quarantined_record_to_retry(db: AsyncSession, identifier: str) -> QuarantineRow | None:
    """Return the same, locked until the transaction ends: of two that retry at once the second sees the first."""
    wanted = select(QuarantineRow).where(QuarantineRow.id == identifier).with_for_update()
    return (await db.execute(wanted)).scalar_one_or_none()


async def put_back(db: AsyncSession, row: QuarantineRow, *, again: bool) -> None:
    """Put a locked record back on its topic, through the outbox: key, value and its own headers as they came.

    Raises Conflict when it was put back already and `again` does not say so, and when it cannot be put back at all.
    """
    if row.retried_at is not None and not again:
        raise Conflict("it was put back already: see retried_at; ?again=true puts it back once more")
    headers = headers_from_json(row.headers)
    if not row.topic:
        raise Conflict("nothing in it says where it came from")
    if row.topic in _COMPACTED:
        raise Conflict(f"{row.topic} is compacted: put back, it would replace what was written since")
    if any(name == _LEFT_OUT for name, _ in headers):
        raise Conflict("it was too large for the quarantine: its bytes are on its own topic only")
    if row.key is None and row.value is None:
        raise Conflict("there is nothing in it: neither a key nor a value")
    row.retried_at = datetime.now(UTC)
    await add_to_outbox(db, Outgoing(row.topic, row.key, row.value, own_headers(headers)))
    await db.flush()


def own_headers(headers: Headers) -> Headers:
    """Return a record's headers without those at the end that say why it was quarantined."""
    own = list(headers)
    while own and own[-1][0].startswith(_WHY):
        own.pop()
    return own
