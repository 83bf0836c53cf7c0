"""`/api/v1/organizations`: the operator makes them and sets their limits, their own people do the rest."""

from typing import Annotated

from fastapi import APIRouter, Request, Response

from api.audit.recording import note
from api.callers import AnyCaller, may
from api.credentials import Caller
from api.database import SystemDb
from api.lists import Cursor, Limit, Page, id_after, page_of
from api.organizations import changes
from api.organizations.bodies import (
    NewOrganization,
    OrganizationBody,
    OrganizationPatch,
    OrganizationSummary,
    body_of,
    summary_of,
)
from api.organizations.finding import PATH, OrganizationDb, found, found_to_change, organizations_for
from api.organizations.limits import LimitsBody, ShownLimits, shown
from api.permissions import Permission
from api.preconditions import conditional, etag_of
from api.problems import documented
from api.requests import JsonRoute
from api.services import AllServices

router = APIRouter(
    prefix=PATH,
    tags=["organizations"],
    route_class=JsonRoute,
    responses=documented(401, 403, 422, 503),
)

Creator = Annotated[Caller, may(Permission.ORGANIZATIONS_CREATE)]
Reader = Annotated[Caller, may(Permission.ORGANIZATION_READ)]
Changer = Annotated[Caller, may(Permission.ORGANIZATION_UPDATE)]
Operator = Annotated[Caller, may(Permission.LIMITS_UPDATE)]
_with_body = documented(400, 413, 415)


@router.post("", status_code=201, operation_id="create_organization", responses={**documented(409), **_with_body})
async def create_organization(body: NewOrganization, _: Creator, db: SystemDb, response: Response) -> OrganizationBody:
    """Make an organization; invite its first owner to it by naming it in `Hookline-Organization`."""
    row = await changes.create(db, body)
    response.headers["Location"] = f"{PATH}/{row.id}"
    response.headers["ETag"] = etag_of(row.version)
    return body_of(row)


@router.get("", operation_id="list_organizations")
async def list_organizations(
    caller: AnyCaller, db: SystemDb, limit: Limit = 25, cursor: Cursor = None
) -> Page[OrganizationSummary]:
    """List the organizations that the caller belongs to, by their ids.

    A user's session: those in which the user is a member; any other credential: its own; the administrator: all.
    """
    rows = await organizations_for(db, caller, after=id_after(cursor), limit=limit + 1)
    return page_of([summary_of(row) for row in rows], limit=limit, ids=[row.id for row in rows])


@router.get("/{organization_id}", operation_id="get_organization", responses=documented(404, 412))
async def get_organization(
    organization_id: str, caller: Reader, db: OrganizationDb, response: Response
) -> OrganizationBody:
    """Show an organization."""
    row = await found(db, caller, organization_id)
    response.headers["ETag"] = etag_of(row.version)
    return body_of(row)


@router.patch(
    "/{organization_id}",
    operation_id="change_organization",
    dependencies=[conditional],
    responses={**documented(404, 412), **_with_body},
)
async def change_organization(
    *,
    organization_id: str,
    body: OrganizationPatch,
    caller: Changer,
    db: OrganizationDb,
    request: Request,
    response: Response,
) -> OrganizationBody:
    """Change what the body names, as a merge patch (RFC 7396): name, settings, branding."""
    row = await found_to_change(db, caller, organization_id, request)
    note(request, changes=await changes.change(db, caller, row, body))
    response.headers["ETag"] = etag_of(row.version)
    return body_of(row)


@router.get("/{organization_id}/limits", operation_id="get_organization_limits", responses=documented(404, 412))
async def get_organization_limits(
    organization_id: str, caller: Reader, db: OrganizationDb, response: Response
) -> ShownLimits:
    """Show the rate limits that hold for an organization; the ETag is the organization's."""
    row = await found(db, caller, organization_id)
    response.headers["ETag"] = etag_of(row.version)
    return shown(row.limits)


@router.put(
    "/{organization_id}/limits",
    operation_id="replace_organization_limits",
    dependencies=[conditional],
    responses={**documented(404, 412), **_with_body},
)
async def replace_organization_limits(
    *,
    organization_id: str,
    body: LimitsBody,
    caller: Operator,
    db: OrganizationDb,
    services: AllServices,
    request: Request,
    response: Response,
) -> ShownLimits:
    """Replace an organization's own rate limits. They hold everywhere within 2 seconds."""
    row = await found_to_change(db, caller, organization_id, request)
    note(request, changes=await changes.change_limits(db, caller, row, body.given()))
    services.callers.forget()
    response.headers["ETag"] = etag_of(row.version)
    return shown(row.limits)
