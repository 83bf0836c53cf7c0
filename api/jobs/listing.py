"""Jobs of all kinds in one list, newest first: one statement over the kinds' queries. No query commits."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Row, select, tuple_, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from api.jobs.kinds import COLUMNS, KINDS, JobKind, JobState
from api.lists import Place
from schemas.ids import OrganizationId


async def jobs_of(
    db: AsyncSession,
    organization_id: OrganizationId,
    kinds: Collection[JobKind],
    *,
    state: JobState | None = None,
    identifier: str | None = None,
    after: Place | None = None,
    limit: int,
) -> Sequence[Row[Any]]:
    """Return up to `limit` of an organization's jobs of these kinds, newest first, those past `after`.

    Each row has `COLUMNS`. `identifier` finds one job. Each kind gives a page at most, so that its index bounds it.
    """
    pages = []
    for kind in kinds:
        jobs = KINDS[kind].query().subquery()
        wanted = select(*(jobs.c[name] for name in COLUMNS)).where(jobs.c.organization_id == organization_id)
        if state is not None:
            wanted = wanted.where(jobs.c.state == state)
        if identifier is not None:
            wanted = wanted.where(jobs.c.id == identifier)
        if after is not None:
            wanted = wanted.where(tuple_(jobs.c.created_at, jobs.c.id) < tuple_(after.at, after.id))
        pages.append(wanted.order_by(jobs.c.created_at.desc(), jobs.c.id.desc()).limit(limit).subquery())
    if not pages:
        return []
    found = union_all(*(select(page) for page in pages)).subquery()
    ordered = select(found).order_by(found.c.created_at.desc(), found.c.id.desc()).limit(limit)
    return (await db.execute(ordered)).all()
