"""`/api/v1/application-approvals`: which applications of other organizations this one's users may use.

Another organization's application is read here, its name and scopes: what its consent page shows to anybody. That takes
a transaction bound to none; each query names the caller's organization where a row belongs to it.
"""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Request, Response
from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert

from api.announcing import announce_identity
from api.applications.bodies import ApprovalBody, NewApproval
from api.applications.tables import ApplicationRow, ApprovalRow
from api.audit.recording import note
from api.callers import may
from api.credentials import Caller
from api.database import SystemDb
from api.errors import Conflict, NotFound
from api.lists import Cursor, Limit, Page, id_after, page_of
from api.oauth.clients import application_of
from api.oauth.tables import ConsentRow, GrantRow
from api.organizations.settling import settled_organization
from api.permissions import Permission
from api.problems import documented
from api.requests import JsonRoute
from api.services import AllServices
from schemas.ids import is_time_ordered

PATH = "/api/v1/application-approvals"
router = APIRouter(prefix=PATH, tags=["applications"], route_class=JsonRoute, responses=documented(401, 403, 422, 503))

Approver = Annotated[Caller, may(Permission.CLIENTS_APPROVE)]


@router.post("", status_code=201, operation_id="approve_application", responses=documented(400, 404, 409, 413, 415))
async def approve_application(
    *, body: NewApproval, caller: Approver, db: SystemDb, services: AllServices, request: Request, response: Response
) -> ApprovalBody:
    """Let the organization's users use another organization's application; approving it twice is once."""
    application = await application_of(db, body.client_id)
    if application is None:
        raise NotFound("there is no application of this client id")
    if application.organization_id == caller.organization_id:
        raise Conflict("it is the organization's own application: it needs no approval")
    await settled_organization(db, caller)
    values = {
        "organization_id": caller.organization_id,
        "application_id": application.id,
        "approved_by": caller.user_id or caller.id,
        "created_at": datetime.now(UTC),
    }
    made = insert(ApprovalRow).values(values).on_conflict_do_nothing().returning(ApprovalRow.application_id)
    if (await db.execute(made)).first() is not None:
        await _announce(db, caller, "application.approved", application.id, application.name)
    note(request, target_id=application.id)
    services.callers.forget()
    response.headers["Location"] = f"{PATH}/{application.id}"
    (shown,) = await _approvals(db, caller, only=application.id)
    return shown


@router.get("", operation_id="list_application_approvals")
async def list_application_approvals(
    caller: Approver, db: SystemDb, limit: Limit = 25, cursor: Cursor = None
) -> Page[ApprovalBody]:
    """List the approved applications, by client id."""
    shown = await _approvals(db, caller, after=id_after(cursor), limit=limit + 1)
    return page_of(shown, limit=limit, ids=[each.client_id for each in shown])


@router.delete(
    "/{client_id}",
    status_code=204,
    operation_id="withdraw_application_approval",
    response_class=Response,
    responses=documented(404),
)
async def withdraw_application_approval(
    client_id: str, caller: Approver, db: SystemDb, services: AllServices, request: Request
) -> None:
    """Withdraw an approval. What users granted to the application in this organization is revoked."""
    own = (ApprovalRow.organization_id == caller.organization_id, ApprovalRow.application_id == client_id)
    gone = delete(ApprovalRow).where(*own).returning(ApprovalRow.approved_by)
    approved_by = None
    if is_time_ordered(client_id, "app"):
        approved_by = (await db.execute(gone)).scalar_one_or_none()
    if approved_by is None:
        raise NotFound("this organization approved no application of this client id")
    await db.execute(
        update(GrantRow)
        .where(
            GrantRow.organization_id == caller.organization_id,
            GrantRow.application_id == client_id,
            GrantRow.revoked_at.is_(None),
        )
        .values(revoked_at=datetime.now(UTC), revoked_reason="approval_withdrawn")
    )
    await db.execute(
        delete(ConsentRow).where(
            ConsentRow.organization_id == caller.organization_id, ConsentRow.application_id == client_id
        )
    )
    note(request, changes={"approved_by": approved_by})
    await _announce(db, caller, "application.approval_withdrawn", client_id, None)
    services.callers.forget()


async def _approvals(
    db: SystemDb, caller: Caller, *, only: str | None = None, after: str = "", limit: int = 1
) -> list[ApprovalBody]:
    wanted = (
        select(ApprovalRow, ApplicationRow)
        .join(ApplicationRow, ApplicationRow.id == ApprovalRow.application_id)
        .where(ApprovalRow.organization_id == caller.organization_id)
        .where(ApprovalRow.application_id > after if only is None else ApprovalRow.application_id == only)
        .order_by(ApprovalRow.application_id)
        .limit(limit)
    )
    return [
        ApprovalBody(
            client_id=application.id,
            name=application.name,
            organization_id=application.organization_id,
            scopes=application.scopes,
            approved_by=approval.approved_by,
            created_at=approval.created_at,
        )
        for approval, application in (await db.execute(wanted)).all()
    ]


async def _announce(db: SystemDb, caller: Caller, event: str, application_id: str, name: str | None) -> None:
    await announce_identity(
        db,
        event,
        organization_id=caller.organization_id,
        subject_id=application_id,
        data={"id": application_id, **({} if name is None else {"name": name}), "by": caller.user_id or caller.id},
    )
