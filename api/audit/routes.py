"""`/api/v1/audit`: what was done in the organization, page by page or as a file. There is no route that changes it."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from api.audit.bodies import AuditEntry, shown
from api.audit.exporting import MEDIA_TYPES, ExportFormat, exported, span_of
from api.audit.reading import Wanted, newest_entries
from api.callers import may
from api.credentials import Caller
from api.database import Db
from api.lists import Cursor, Limit, Page, id_after, page_of
from api.parameters import WITHOUT_NUL, Since, Until, check_order
from api.permissions import Permission
from api.problems import documented
from api.requests import JsonRoute
from api.services import AllServices

router = APIRouter(
    prefix="/api/v1/audit", tags=["audit"], route_class=JsonRoute, responses=documented(401, 403, 422, 503)
)

Reader = Annotated[Caller, may(Permission.AUDIT_READ)]

Actor = Annotated[
    str | None, Query(min_length=1, max_length=200, description="The id of the user or the credential."), WITHOUT_NUL
]
Action = Annotated[str | None, Query(min_length=1, max_length=200, examples=["change_subscription"]), WITHOUT_NUL]
Target = Annotated[
    str | None, Query(min_length=1, max_length=200, description="The id of what it was done to."), WITHOUT_NUL
]
Written = Annotated[ExportFormat, Query(alias="format", description="`jsonl`: each line is an entry as it is listed.")]


@router.get("", operation_id="list_audit_entries")
async def list_audit_entries(
    *,
    caller: Reader,
    db: Db,
    actor: Actor = None,
    action: Action = None,
    target: Target = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Page[AuditEntry]:
    """List who did what to what, newest first."""
    check_order(since, until)
    wanted = Wanted(actor=actor, action=action, target=target, since=since, until=until)
    rows = await newest_entries(db, caller.organization_id, wanted, before=id_after(cursor), limit=limit + 1)
    return page_of([shown(row) for row in rows], limit=limit, ids=[row.id for row in rows])


@router.get(
    "/export",
    operation_id="export_audit_entries",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The file, oldest entry first; one that breaks off before its end was cut by an error.",
            "content": {
                "text/csv": {"schema": {"type": "string"}},
                "application/x-ndjson": {"schema": {"type": "string"}},
            },
        }
    },
)
async def export_audit_entries(
    *,
    caller: Reader,
    services: AllServices,
    written: Written,
    actor: Actor = None,
    action: Action = None,
    target: Target = None,
    since: Since = None,
    until: Until = None,
) -> StreamingResponse:
    """Export the entries of up to 366 days, by default of the last 30, as a file.

    In CSV, an apostrophe stands before what a spreadsheet would take for a formula.
    """
    check_order(since, until)
    since, until = span_of(since, until, now=datetime.now(UTC))
    wanted = Wanted(actor=actor, action=action, target=target, since=since, until=until)
    return StreamingResponse(
        exported(services.engine, caller.organization_id, wanted, written),
        media_type=MEDIA_TYPES[written],
        headers={"Content-Disposition": f'attachment; filename="audit-{since:%Y%m%d}-{until:%Y%m%d}.{written}"'},
    )
