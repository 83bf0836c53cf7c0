"""Which id of a publisher's has become which event: POST /events is idempotent by it for 7 days."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import DateTime, Index, LargeBinary, Text
from sqlalchemy.orm import Mapped, mapped_column

from api.database import Base, Statements
from schemas.ids import EventId

KEPT_FOR: Final = timedelta(days=7)  # what is older names nothing any more, whether its row is still there or not
_Moment: Final = DateTime(timezone=True)


class EventClaimRow(Base):
    """An id that a publisher brought: claimed before Kafka has the event, produced after. A repeat resumes it."""

    __tablename__ = "event_claims"
    __table_args__ = (Index("event_claims_created_at", "created_at"),)

    organization_id: Mapped[str] = mapped_column(Text, primary_key=True)
    source_id: Mapped[str] = mapped_column(Text, primary_key=True)
    event_id: Mapped[str] = mapped_column(Text)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary, comment="SHA-256 of what was published under it")
    created_at: Mapped[datetime] = mapped_column(_Moment)
    produced_at: Mapped[datetime | None] = mapped_column(_Moment)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a publisher's id stands for: the event that it is or was published as, and what that holds."""

    source_id: str
    event_id: EventId
    fingerprint: bytes
    created_at: datetime
    produced_at: datetime | None = None


# DO UPDATE also where nothing changes: unlike DO NOTHING it returns the row, and waits for one not committed yet.
_CLAIM: Final = """
INSERT INTO event_claims AS there (organization_id, source_id, event_id, fingerprint, created_at)
SELECT $1, given.* FROM unnest($2::text[], $3::text[], $4::bytea[], $5::timestamptz[]) AS given
ON CONFLICT (organization_id, source_id) DO UPDATE SET
    event_id = CASE WHEN there.created_at < $6 THEN excluded.event_id ELSE there.event_id END,
    fingerprint = CASE WHEN there.created_at < $6 THEN excluded.fingerprint ELSE there.fingerprint END,
    created_at = CASE WHEN there.created_at < $6 THEN excluded.created_at ELSE there.created_at END,
    produced_at = CASE WHEN there.created_at < $6 THEN NULL ELSE there.produced_at END
RETURNING source_id, event_id, fingerprint, created_at, produced_at
"""
_MARK: Final = "UPDATE event_claims SET produced_at = $3 WHERE organization_id = $1 AND source_id = ANY($2::text[])"


async def claimed(db: Statements, organization_id: str, wanted: Sequence[Claim]) -> Mapping[str, Claim]:
    """Return the claim in force for each id of `wanted`, by `source_id`: the one given where the id was free.

    Each id once. Whoever claims one at the same time waits for this statement and sees its claim. A claim older than
    7 days is replaced. Sorted, so that two batches with the same ids never wait for each other.
    """
    given = sorted(wanted, key=lambda claim: claim.source_id)
    if not given:
        return {}
    rows = await db.fetch(
        _CLAIM,
        organization_id,
        [claim.source_id for claim in given],
        [claim.event_id for claim in given],
        [claim.fingerprint for claim in given],
        [claim.created_at for claim in given],
        max(claim.created_at for claim in given) - KEPT_FOR,
    )
    return {row["source_id"]: Claim(**row) for row in rows}


async def mark_produced(
    db: Statements, organization_id: str, source_ids: Sequence[str], *, produced_at: datetime
) -> None:
    """Note that Kafka has the events of these ids: they are not published again."""
    await db.fetch(_MARK, organization_id, list(source_ids), produced_at)
