"""Which id of a publisher's has become which event: POST /events is idempotent by it for 7 days."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final, cast

from sqlalchemy import (
    ARRAY,
    DateTime,
    Index,
    LargeBinary,
    Table,
    Text,
    bindparam,
    case,
    column,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from api.database import Base
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


async def claimed(db: AsyncSession, organization_id: str, wanted: Sequence[Claim]) -> Mapping[str, Claim]:
    """Return the claim in force for each id of `wanted`, by `source_id`: the one given where the id was free.

    Each id once. Whoever claims one at the same time waits for this transaction and sees its claim. A claim older than
    7 days is replaced. Sorted, so that two batches with the same ids never wait for each other.
    """
    given = sorted(wanted, key=lambda claim: claim.source_id)
    if not given:
        return {}
    oldest = max(claim.created_at for claim in given) - KEPT_FOR
    rows = await db.execute(
        _claiming(),
        {
            "organization_id": organization_id,
            "source_ids": [claim.source_id for claim in given],
            "event_ids": [claim.event_id for claim in given],
            "fingerprints": [claim.fingerprint for claim in given],
            "moments": [claim.created_at for claim in given],
            "oldest": oldest,
        },
    )
    return {row.source_id: Claim(*row) for row in rows}


@cache  # making it takes longer than PostgreSQL takes for it
def _claiming() -> Any:
    # The table and not its class: the ORM's own INSERT … ON CONFLICT wants rows, not a SELECT.
    table = cast(Table, EventClaimRow.__table__)
    row, names = table.c, ("source_id", "event_id", "fingerprint", "created_at")
    given = (
        func.unnest(
            bindparam("source_ids", type_=ARRAY(Text)),
            bindparam("event_ids", type_=ARRAY(Text)),
            bindparam("fingerprints", type_=ARRAY(LargeBinary)),
            bindparam("moments", type_=ARRAY(_Moment)),
        )
        .table_valued(*(column(name) for name in names), name="given")
        .render_derived()
    )
    organization = bindparam("organization_id", type_=Text)
    statement = insert(table).from_select(["organization_id", *names], select(organization, *given.c))
    is_forgotten = row.created_at < bindparam("oldest", type_=_Moment)
    # DO UPDATE also where nothing changes: unlike DO NOTHING it returns the row, and waits for one not committed yet.
    statement = statement.on_conflict_do_update(
        index_elements=["organization_id", "source_id"],
        set_={
            name: case((is_forgotten, statement.excluded[name]), else_=row[name])
            for name in ("event_id", "fingerprint", "created_at", "produced_at")
        },
    )
    return statement.returning(row.source_id, row.event_id, row.fingerprint, row.created_at, row.produced_at)


async def mark_produced(
    db: AsyncSession, organization_id: str, source_ids: Sequence[str], *, produced_at: datetime
) -> None:
    """Note that Kafka has the events of these ids: they are not published again."""
    await db.execute(
        _marking(),
        {"in_organization": organization_id, "source_ids": list(source_ids), "at": produced_at},
    )


@cache
def _marking() -> Any:
    table = cast(Table, EventClaimRow.__table__)
    return (
        update(table)
        .where(
            table.c.organization_id == bindparam("in_organization", type_=Text),
            table.c.source_id == func.any(bindparam("source_ids", type_=ARRAY(Text))),
        )
        .values(produced_at=bindparam("at", type_=_Moment))
    )
