"""The quarantine over REST, for the operator: what nobody could read, and putting it back once somebody can."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.callers import may
from api.credentials import Caller
from api.database import SystemDb
from api.errors import NotFound
from api.lists import Cursor, Limit, Page, id_after, page_of
from api.parameters import WITHOUT_NUL
from api.permissions import Permission
from api.problems import documented
from api.quarantine.bodies import QuarantineBody, shown
from api.quarantine.reading import put_back, quarantined, quarantined_record, quarantined_record_to_retry
from api.quarantine.tables import QuarantineRow
from api.requests import JsonRoute
from schemas.ids import is_time_ordered

router = APIRouter(
    prefix="/api/v1/quarantine",
    tags=["quarantine"],
    route_class=JsonRoute,
    responses=documented(401, 422, 503),
)

Reader = Annotated[Caller, may(Permission.QUARANTINE_READ)]
Retrier = Annotated[Caller, may(Permission.QUARANTINE_RETRY)]

Topic = Annotated[str | None, Query(min_length=1, max_length=249, examples=["hookline.events"]), WITHOUT_NUL]
Stage = Annotated[str | None, Query(min_length=1, max_length=100, examples=["route"]), WITHOUT_NUL]
Retried = Annotated[bool | None, Query(description="Whether it was put back on its topic.")]
Again = Annotated[bool, Query(description="Put it back although that was done before.")]


@router.get("", operation_id="list_quarantine")
async def list_quarantine(
    *,
    _: Reader,
    db: SystemDb,
    topic: Topic = None,
    stage: Stage = None,
    retried: Retried = None,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Page[QuarantineBody]:
    """List what nobody could read, newest first; of every organization, as nobody can tell whose it is."""
    found = await quarantined(db, topic=topic, stage=stage, retried=retried, before=id_after(cursor), limit=limit + 1)
    return page_of([shown(row) for row in found], limit=limit, ids=[row.id for row in found])


@router.get("/{quarantine_id}", operation_id="get_quarantined", responses=documented(404))
async def get_quarantined(quarantine_id: str, _: Reader, db: SystemDb) -> QuarantineBody:
    """Show one record that nobody could read."""
    row = await quarantined_record(db, quarantine_id) if is_time_ordered(quarantine_id, "qtn") else None
    return shown(_there(row))


@router.post("/{quarantine_id}/retry", operation_id="retry_quarantined", responses=documented(404, 409))
async def retry_quarantined(quarantine_id: str, _: Retrier, db: SystemDb, again: Again = False) -> QuarantineBody:
    """Put a record back on its topic, byte for byte. What still cannot be read comes back as another one."""
    row = await quarantined_record_to_retry(db, quarantine_id) if is_time_ordered(quarantine_id, "qtn") else None
    row = _there(row)
    await put_back(db, row, again=again)
    return shown(row)


def _there(row: QuarantineRow | None) -> QuarantineRow:
    if row is None:
        raise NotFound("the quarantine has no record of this id")
    return row
