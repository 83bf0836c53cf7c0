"""`/api/v1/members`: who belongs to the organization, and with which role."""

from typing import Annotated

from fastapi import APIRouter, Request, Response

from api.audit.recording import note
from api.callers import may
from api.credentials import Caller
from api.database import Db
from api.lists import Cursor, Limit, Page, id_after, page_of
from api.members import changes
from api.members.bodies import MemberBody, MemberPatch, member_body
from api.members.finding import PATH, member_of, members_of
from api.organizations.finding import locked_organization
from api.permissions import Permission
from api.problems import documented
from api.requests import JsonRoute
from api.services import AllServices

router = APIRouter(prefix=PATH, tags=["members"], route_class=JsonRoute, responses=documented(401, 403, 422, 503))

Reader = Annotated[Caller, may(Permission.MEMBERS_READ)]
Changer = Annotated[Caller, may(Permission.MEMBERS_UPDATE)]
Remover = Annotated[Caller, may(Permission.MEMBERS_DELETE)]


@router.get("", operation_id="list_members")
async def list_members(caller: Reader, db: Db, limit: Limit = 25, cursor: Cursor = None) -> Page[MemberBody]:
    """List the organization's members, by their users' ids."""
    found = await members_of(db, caller.organization_id, after=id_after(cursor), limit=limit + 1)
    return page_of([member_body(*each) for each in found], limit=limit, ids=[user.id for _, user in found])


@router.get("/{user_id}", operation_id="get_member", responses=documented(404, 412))
async def get_member(user_id: str, caller: Reader, db: Db) -> MemberBody:
    """Show one member."""
    return member_body(*await member_of(db, caller.organization_id, user_id))


@router.patch("/{user_id}", operation_id="change_member", responses=documented(400, 404, 409, 413, 415))
async def change_member(
    *, user_id: str, body: MemberPatch, caller: Changer, db: Db, services: AllServices, request: Request
) -> MemberBody:
    """Give a member another role: none that allows more than you may do yourself.

    Only an owner makes an owner, or makes one something else; the last owner stays one (409).
    """
    await member_of(db, caller.organization_id, user_id)  # 404 before the lock
    await locked_organization(db, caller.organization_id)
    member, user = await member_of(db, caller.organization_id, user_id)
    before = await changes.give_role(db, caller, member, body.role)
    note(request, changes={} if before is None else {"role": before})
    services.callers.forget()
    return member_body(member, user)


@router.delete(
    "/{user_id}",
    status_code=204,
    operation_id="remove_member",
    response_class=Response,
    responses=documented(404, 409),
)
async def remove_member(user_id: str, caller: Remover, db: Db, services: AllServices, request: Request) -> None:
    """Remove a member: the account stays, its sessions and what applications may do for it here end.

    Only an owner removes an owner; the last owner stays (409).
    """
    await member_of(db, caller.organization_id, user_id)
    await locked_organization(db, caller.organization_id)
    found = await member_of(db, caller.organization_id, user_id)
    note(request, changes={"role": found[0].role_id})
    await changes.remove(db, caller, found)
    services.callers.forget()
