"""`/api/v1/jobs`: how far every long job is, whatever it does; its own routes change it."""

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.callers import may
from api.credentials import Caller
from api.database import Db
from api.errors import NotFound
from api.jobs.kinds import KINDS, JobKind, JobState
from api.jobs.listing import jobs_of
from api.lists import Cursor, Limit, Page, Place, page_by_time, place_after
from api.permissions import Permission
from api.problems import documented
from api.requests import JsonRoute
from schemas.ids import is_time_ordered

PATH: Final = "/api/v1/jobs"

router = APIRouter(prefix=PATH, tags=["jobs"], route_class=JsonRoute, responses=documented(401, 422, 503))

# That of the only kind so far; each kind has its own besides, and is left out for who does not have it.
Reader = Annotated[Caller, may(Permission.REPLAYS_READ)]


class JobProgress(BaseModel):
    """How far a job is; `total` and `percent` are null while nobody knows."""

    done: int
    total: int | None
    percent: float | None
    unit: str = Field(description="What is counted: deliveries, offsets, rows.")


class JobBody(BaseModel):
    """A long job."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "rpl_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b",
                    "kind": "replay",
                    "state": "running",
                    "progress": {"done": 1200, "total": 5000, "percent": 24.0, "unit": "deliveries"},
                    "href": "/api/v1/replays/rpl_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b",
                    "created_at": "2026-11-21T09:30:00Z",
                    "started_at": "2026-11-21T09:30:01Z",
                    "finished_at": None,
                    "error": None,
                }
            ]
        }
    )

    id: str
    kind: JobKind
    state: JobState
    progress: JobProgress
    href: str = Field(description="Where its own routes are: all that is known of it, and what can be done with it.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error: str | None


@router.get("", operation_id="list_jobs")
async def list_jobs(
    *,
    caller: Reader,
    db: Db,
    kind: JobKind | None = None,
    state: JobState | None = None,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Page[JobBody]:
    """List the organization's long jobs, newest first, of the kinds that you may see."""
    asked = set(JobKind) if kind is None else {kind}
    kinds = [each for each in _seen_by(caller) if each in asked]
    found = await jobs_of(db, caller.organization_id, kinds, state=state, after=place_after(cursor), limit=limit + 1)
    places = [Place(row.created_at, row.id) for row in found]
    return page_by_time([_shown(row) for row in found], limit=limit, places=places)


@router.get("/{job_id}", operation_id="get_job", responses=documented(404))
async def get_job(job_id: str, caller: Reader, db: Db) -> JobBody:
    """Show how far a job is."""
    kinds = [each for each in _seen_by(caller) if is_time_ordered(job_id, KINDS[each].prefix)]
    found = await jobs_of(db, caller.organization_id, kinds, identifier=job_id, limit=1)
    if not found:
        raise NotFound("this organization has no job of this id")
    return _shown(found[0])


def _seen_by(caller: Caller) -> list[JobKind]:
    return [name for name, kind in KINDS.items() if kind.permission in caller.permissions]


def _shown(row: Any) -> JobBody:
    return JobBody(
        id=row.id,
        kind=row.kind,
        state=row.state,
        progress=JobProgress(done=row.done, total=row.total, percent=_percent(row.done, row.total), unit=row.unit),
        href=f"{KINDS[JobKind(row.kind)].path}/{row.id}",
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        error=row.error,
    )


def _percent(done: int, total: int | None) -> float | None:
    if total is None:
        return None
    return round(100 * done / total, 1) if total else 100.0
