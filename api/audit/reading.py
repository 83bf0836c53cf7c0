"""Reading the audit log: each query takes the organization's id."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from api.audit.tables import AuditRow

# An id holds the millisecond in which it was made, just before its row's `at`: by it an index finds a span of time.
_APART: Final = timedelta(minutes=1)  # much more than they are
_EARLIEST: Final = datetime(1970, 1, 2, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The filters of a list of entries; None: any."""

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def newest_entries(
    db: AsyncSession, organization_id: str, wanted: Wanted, *, before: str = "", limit: int
) -> Sequence[AuditRow]:
    """Return up to `limit` of an organization's entries, newest first, those before id `before` ("": all)."""
    found = _entries(organization_id, wanted)
    if before:
        found = found.where(AuditRow.id < before)
    return (await db.execute(found.order_by(AuditRow.id.desc()).limit(limit))).scalars().all()


async def oldest_entries(
    db: AsyncSession, organization_id: str, wanted: Wanted, *, after: str, limit: int
) -> Sequence[AuditRow]:
    """Return up to `limit` of an organization's entries, oldest first, those past id `after` ("": all)."""
    found = _entries(organization_id, wanted).where(AuditRow.id > after)
    return (await db.execute(found.order_by(AuditRow.id).limit(limit))).scalars().all()


def _entries(organization_id: str, wanted: Wanted) -> Select[AuditRow]:
    found = select(AuditRow).where(AuditRow.organization_id == organization_id)
    for column, value in (
        (AuditRow.actor_id, wanted.actor),
        (AuditRow.action, wanted.action),
        (AuditRow.target_id, wanted.target),
    ):
        if value is not None:
            found = found.where(column == value)
    if wanted.since is not None:
        found = found.where(AuditRow.at >= wanted.since, AuditRow.id >= _id_of(wanted.since, -_APART))
    if wanted.until is not None:
        found = found.where(AuditRow.at < wanted.until, AuditRow.id < _id_of(wanted.until, _APART))
    return found


def _id_of(moment: datetime, shift: timedelta) -> str:
    """Return where ids of a moment begin; `shift` moves it, as far as there are moments."""
    milliseconds = max(0, (moment - _EARLIEST + shift + timedelta(days=1)) // timedelta(milliseconds=1))
    return f"aud_{milliseconds:012x}"
