"""`/api/v1/roles`: built-in ones are read, an organization's own made and changed."""

from typing import Annotated

from fastapi import APIRouter, Request, Response

from api.audit.recording import note
from api.callers import may
from api.credentials import Caller
from api.database import Db
from api.lists import Cursor, Limit, Page, id_after, page_of
from api.organizations.finding import locked_organization
from api.organizations.settling import settled_organization
from api.permissions import BUILT_IN_ROLES, Permission
from api.preconditions import conditional, etag_of
from api.problems import documented
from api.requests import JsonRoute
from api.roles import changes
from api.roles.bodies import NewRole, RoleBody, RolePatch, body_of
from api.roles.finding import PATH, role_to_change, roles_of, shown_role
from api.services import AllServices

router = APIRouter(prefix=PATH, tags=["roles"], route_class=JsonRoute, responses=documented(401, 403, 422, 503))

Reader = Annotated[Caller, may(Permission.ROLES_READ)]
Creator = Annotated[Caller, may(Permission.ROLES_CREATE)]
Changer = Annotated[Caller, may(Permission.ROLES_UPDATE)]
Deleter = Annotated[Caller, may(Permission.ROLES_DELETE)]
_with_body = documented(400, 409, 413, 415)


@router.get("", operation_id="list_roles")
async def list_roles(caller: Reader, db: Db, limit: Limit = 25, cursor: Cursor = None) -> Page[RoleBody]:
    """List the roles that members can have: the built-in ones, then the organization's own, oldest first."""
    roles = await roles_of(db, caller.organization_id, after=id_after(cursor), limit=limit + 1)
    return page_of(roles, limit=limit, ids=[role.id for role in roles])


@router.get("/{role_id}", operation_id="get_role", responses=documented(404, 412))
async def get_role(role_id: str, caller: Reader, db: Db, response: Response) -> RoleBody:
    """Show a role, by its id or a built-in one's name."""
    role = await shown_role(db, caller.organization_id, role_id)
    if not role.built_in:
        response.headers["ETag"] = etag_of(role.version)
    return role


@router.post("", status_code=201, operation_id="create_role", responses=_with_body)
async def create_role(body: NewRole, caller: Creator, db: Db, response: Response) -> RoleBody:
    """Make a role. Nobody gives it more than they have themselves."""
    await settled_organization(db, caller)
    row = await changes.create(db, caller, body)
    response.headers["Location"] = f"{PATH}/{row.id}"
    response.headers["ETag"] = etag_of(row.version)
    return body_of(row)


@router.patch(
    "/{role_id}",
    operation_id="change_role",
    dependencies=[conditional],
    responses={**documented(404, 412), **_with_body},
)
async def change_role(
    *,
    role_id: str,
    body: RolePatch,
    caller: Changer,
    db: Db,
    services: AllServices,
    request: Request,
    response: Response,
) -> RoleBody:
    """Change what the body names, as a merge patch (RFC 7396). Its members can do it, or not, within 2 seconds."""
    row = await role_to_change(db, caller.organization_id, role_id, request)
    note(request, changes=await changes.change(db, caller, row, body))
    services.callers.forget()
    response.headers["ETag"] = etag_of(row.version)
    return body_of(row)


@router.delete(
    "/{role_id}",
    status_code=204,
    operation_id="delete_role",
    response_class=Response,
    dependencies=[conditional],
    responses=documented(404, 409, 412),
)
async def delete_role(role_id: str, caller: Deleter, db: Db, services: AllServices, request: Request) -> None:
    """Delete a role that no member has and nobody is invited to."""
    if role_id not in BUILT_IN_ROLES:
        await locked_organization(db, caller.organization_id)  # so that nobody gets the role meanwhile
    row = await role_to_change(db, caller.organization_id, role_id, request)
    note(request, changes={"name": row.name, "permissions": [*row.permissions]})
    await changes.delete(db, row)
    services.callers.forget()
