"""`/api/v1/applications`: an organization's OAuth clients."""

from typing import Annotated

from fastapi import APIRouter, Body, Request, Response

from api.announcing import announce_identity
from api.applications.bodies import (
    ApplicationBody,
    ApplicationPatch,
    ApplicationWithSecret,
    NewApplication,
    SecretRotation,
)
from api.applications.changes import apply, check, next_version, row_of, shown
from api.applications.finding import PATH, applications_of, found, found_to_change
from api.applications.secrets import add_secret, rotate_secret
from api.applications.tables import ApplicationRow
from api.audit.recording import note
from api.callers import may
from api.credentials import Caller
from api.database import Db
from api.errors import Conflict
from api.lists import Cursor, Limit, Page, id_after, page_of
from api.organizations.settling import settled_organization
from api.permissions import Permission
from api.preconditions import conditional, etag_of
from api.problems import documented
from api.requests import JsonRoute
from api.services import AllServices
from api.subscriptions.rotation import DEFAULT_OVERLAP, overlap_of
from schemas.json_values import Json

router = APIRouter(prefix=PATH, tags=["applications"], route_class=JsonRoute, responses=documented(401, 403, 422, 503))

Creator = Annotated[Caller, may(Permission.CLIENTS_CREATE)]
Reader = Annotated[Caller, may(Permission.CLIENTS_READ)]
Changer = Annotated[Caller, may(Permission.CLIENTS_UPDATE)]
Deleter = Annotated[Caller, may(Permission.CLIENTS_DELETE)]
_with_body = documented(400, 413, 415)


@router.post("", status_code=201, operation_id="create_application", responses=_with_body)
async def create_application(
    body: NewApplication, caller: Creator, db: Db, request: Request, response: Response
) -> ApplicationWithSecret:
    """Register an application. The secret of a confidential one is in this answer and in no other."""
    row = row_of(body, caller)
    await settled_organization(db, caller)
    db.add(row)
    await db.flush()
    secret = await add_secret(db, row) if row.kind == "confidential" else None
    note(request, target_id=row.id, changes={"requires_pkce": row.requires_pkce})
    await _announce(db, row, "application.created", {"client_id": row.id})
    response.headers["Location"] = f"{PATH}/{row.id}"
    return ApplicationWithSecret(**_answered(row, response).model_dump(), client_secret=secret)


@router.get("", operation_id="list_applications")
async def list_applications(caller: Reader, db: Db, limit: Limit = 25, cursor: Cursor = None) -> Page[ApplicationBody]:
    """List the organization's applications, oldest first."""
    rows = await applications_of(db, caller.organization_id, after=id_after(cursor), limit=limit + 1)
    return page_of([shown(row) for row in rows], limit=limit, ids=[row.id for row in rows])


@router.get("/{application_id}", operation_id="get_application", responses=documented(404, 412))
async def get_application(application_id: str, caller: Reader, db: Db, response: Response) -> ApplicationBody:
    """Show one application."""
    return _answered(await found(db, caller, application_id), response)


@router.patch(
    "/{application_id}",
    operation_id="change_application",
    dependencies=[conditional],
    responses={**documented(404, 412), **_with_body},
)
async def change_application(
    *,
    application_id: str,
    body: ApplicationPatch,
    caller: Changer,
    db: Db,
    services: AllServices,
    request: Request,
    response: Response,
) -> ApplicationBody:
    """Change what the body names. Scopes that are taken away are gone from tokens that are out, too."""
    row = await found_to_change(db, caller, application_id, request)
    await _changed(db, row, request, apply(body, row, caller))
    services.callers.forget()
    return _answered(row, response)


@router.delete(
    "/{application_id}",
    status_code=204,
    operation_id="delete_application",
    response_class=Response,
    dependencies=[conditional],
    responses=documented(404, 412),
)
async def delete_application(
    application_id: str, caller: Deleter, db: Db, services: AllServices, request: Request
) -> None:
    """Delete an application with its secrets, grants, tokens and approvals: nothing that it was given is valid."""
    row = await found_to_change(db, caller, application_id, request)
    note(request, changes={"name": row.name})
    await _announce(db, row, "application.deleted")
    await db.delete(row)
    await db.flush()
    services.callers.forget()


@router.post(
    "/{application_id}/rotate-secret",
    operation_id="rotate_application_secret",
    dependencies=[conditional],
    responses={**documented(404, 409, 412), **_with_body},
)
async def rotate_application_secret(
    *,
    application_id: str,
    body: Annotated[SecretRotation | None, Body()] = None,
    caller: Changer,
    db: Db,
    request: Request,
    response: Response,
) -> ApplicationWithSecret:
    """Give an application another secret, shown in this answer only. The old ones are good until `overlap` is over."""
    row = await found_to_change(db, caller, application_id, request)
    if row.kind == "public":
        raise Conflict("a public application has no secret")
    check(row, caller)
    overlap = (body.overlap if body else None) or DEFAULT_OVERLAP
    secret = await rotate_secret(db, row, overlap=overlap_of(overlap))
    next_version(row)
    note(request, changes={"overlap": overlap})
    rotated: dict[str, Json] = {"client_id": row.id, "rotated_by": caller.user_id or caller.id}
    await _announce(db, row, "application.credentials_rotated", rotated, named=False)
    return ApplicationWithSecret(**_answered(row, response).model_dump(), client_secret=secret)


@router.post(
    "/{application_id}/enable",
    operation_id="enable_application",
    dependencies=[conditional],
    responses=documented(404, 412),
)
async def enable_application(
    *, application_id: str, caller: Changer, db: Db, services: AllServices, request: Request, response: Response
) -> ApplicationBody:
    """Enable an application; one that is enabled stays as it is. Tokens that have not expired are good again."""
    row = await found_to_change(db, caller, application_id, request)
    check(row, caller)
    await _set_enabled(db, row, request, enabled=True)
    services.callers.forget()
    return _answered(row, response)


@router.post(
    "/{application_id}/disable",
    operation_id="disable_application",
    dependencies=[conditional],
    responses=documented(404, 412),
)
async def disable_application(
    *, application_id: str, caller: Changer, db: Db, services: AllServices, request: Request, response: Response
) -> ApplicationBody:
    """Disable an application: nobody can use it, and its tokens allow nothing while it is."""
    row = await found_to_change(db, caller, application_id, request)
    await _set_enabled(db, row, request, enabled=False)
    services.callers.forget()
    return _answered(row, response)


async def _set_enabled(db: Db, row: ApplicationRow, request: Request, *, enabled: bool) -> None:
    if row.enabled != enabled:
        row.enabled = enabled
        next_version(row)
        await _changed(db, row, request, {"enabled": not enabled})


async def _changed(db: Db, row: ApplicationRow, request: Request, previous: dict[str, Json]) -> None:
    await db.flush()
    if previous:
        note(request, changes=previous)
        await _announce(db, row, "application.updated", {"changed": [*sorted(previous)]}, previous=previous)


async def _announce(
    db: Db,
    row: ApplicationRow,
    event: str,
    more: dict[str, Json] | None = None,
    *,
    named: bool = True,
    previous: dict[str, Json] | None = None,
) -> None:
    data: dict[str, Json] = {"id": row.id, **({"name": row.name} if named else {}), **(more or {})}
    await announce_identity(
        db, event, organization_id=row.organization_id, subject_id=row.id, data=data, previous=previous
    )


def _answered(row: ApplicationRow, response: Response) -> ApplicationBody:
    response.headers["ETag"] = etag_of(row.version)
    return shown(row)
