"""`/api/v1/users`: the accounts whose home is the caller's organization."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.audit.recording import note
from api.callers import may
from api.credentials import Caller, CredentialKind
from api.database import Db, SystemDb
from api.errors import Conflict, Forbidden
from api.lists import Cursor, Limit, Page, id_after, page_of
from api.organizations.finding import locked_organization
from api.organizations.settling import settled_organization
from api.parameters import WITHOUT_NUL
from api.permissions import Permission
from api.preconditions import conditional
from api.problems import documented
from api.requests import JsonRoute
from api.services import AllServices
from api.signed_links import LinkPurpose
from api.users import changes
from api.users.addresses import email_key_of
from api.users.bodies import Locking, NewUser, UserBody, UserPatch, shown
from api.users.finding import PATH, etag_of_user, found, found_to_change, users_of
from api.users.guarding import check_may_change, check_may_go, check_may_make_member, check_may_readdress
from api.users.joining import join
from api.users.links import send_link
from api.users.making import make_user
from api.users.passwords import check_password, hashed
from api.users.tables import UserRow
from schemas.errors import InvalidInput

router = APIRouter(prefix=PATH, tags=["users"], route_class=JsonRoute, responses=documented(401, 403, 422, 503))

Creator = Annotated[Caller, may(Permission.USERS_CREATE)]
Reader = Annotated[Caller, may(Permission.USERS_READ)]
Changer = Annotated[Caller, may(Permission.USERS_UPDATE)]
Deleter = Annotated[Caller, may(Permission.USERS_DELETE)]
EmailFilter = Annotated[
    str | None, Query(min_length=1, max_length=254, description="The one with this address."), WITHOUT_NUL
]
_with_body = documented(400, 413, 415)


@router.post("", status_code=201, operation_id="create_user", responses={**_with_body, **documented(409)})
async def create_user(body: NewUser, caller: Creator, db: Db, services: AllServices, response: Response) -> UserBody:
    """Make a user, and a member when a role is given. A link to verify the address goes to it."""
    if body.verified and caller.kind is not CredentialKind.ADMINISTRATOR:
        raise Forbidden("the administrator alone may say that an address is verified: leave `verified` out")
    password_hash = None
    if body.password is not None:
        check_password(body.password, email=body.email)
        password_hash = await hashed(body.password)
    await settled_organization(db, caller)
    if body.role is not None:
        await check_may_make_member(db, caller, body.role)
    user = await make_user(
        db,
        organization_id=caller.organization_id,
        email=body.email,
        name=body.name,
        password_hash=password_hash,
        verified=body.verified,
    )
    user.must_reset = body.must_reset
    if body.role is not None:
        await join(db, caller, user, body.role)
    if not body.verified:
        await send_link(db, services, user, LinkPurpose.VERIFICATION)
    await db.flush()
    response.headers["Location"] = f"{PATH}/{user.id}"
    return _answered(user, response)


@router.get("", operation_id="list_users")
async def list_users(
    *, caller: Reader, db: Db, limit: Limit = 25, cursor: Cursor = None, email: EmailFilter = None
) -> Page[UserBody]:
    """List the users whose home is this organization, oldest first."""
    rows = await users_of(db, caller.organization_id, after=id_after(cursor), limit=limit + 1, email_key=_key_of(email))
    return page_of([shown(row) for row in rows], limit=limit, ids=[row.id for row in rows])


@router.get(
    "/{user_id}",
    operation_id="get_user",
    responses=documented(404, 412),
)
async def get_user(*, user_id: str, caller: Reader, db: Db, response: Response) -> UserBody:
    """Show one user."""
    return _answered(await found(db, caller, user_id), response)


@router.patch(
    "/{user_id}",
    operation_id="change_user",
    dependencies=[conditional],
    responses={**documented(404, 409, 412), **_with_body},
)
async def change_user(
    *,
    user_id: str,
    body: UserPatch,
    caller: Changer,
    db: SystemDb,
    services: AllServices,
    request: Request,
    response: Response,
) -> UserBody:
    """Change what the body names. Another address has to be verified: a link goes to it."""
    user = await found_to_change(db, caller, user_id, request)
    await check_may_change(db, caller, user)
    if "email" in body.model_fields_set and body.email != user.email:
        await check_may_readdress(db, caller, user)
    given = {field: getattr(body, field) for field in body.model_fields_set}
    previous = await changes.changed(db, user, **given)
    if "email" in previous:
        await send_link(db, services, user, LinkPurpose.VERIFICATION)
    note(request, changes=previous)
    services.callers.forget()
    return _answered(user, response)


@router.post(
    "/{user_id}/lock",
    operation_id="lock_user",
    dependencies=[conditional],
    responses={**documented(404, 409, 412), **_with_body},
)
async def lock_user(
    *,
    user_id: str,
    body: Locking,
    caller: Changer,
    db: SystemDb,
    services: AllServices,
    request: Request,
    response: Response,
) -> UserBody:
    """Lock an account: its sessions and grants end everywhere, and it cannot be signed in to until it is unlocked."""
    await locked_organization(db, caller.organization_id)
    user = await found_to_change(db, caller, user_id, request)
    await check_may_change(db, caller, user)
    await check_may_go(db, caller, user)
    note(request, changes=await changes.locked(db, user, reason=body.reason))
    services.callers.forget()
    return _answered(user, response)


@router.post(
    "/{user_id}/unlock",
    operation_id="unlock_user",
    dependencies=[conditional],
    responses=documented(404, 409, 412),
)
async def unlock_user(*, user_id: str, caller: Changer, db: Db, request: Request, response: Response) -> UserBody:
    """Unlock an account. What ended when it was locked stays ended."""
    user = await found_to_change(db, caller, user_id, request)
    await check_may_change(db, caller, user)
    note(request, changes=await changes.unlocked(db, user))
    return _answered(user, response)


@router.delete(
    "/{user_id}",
    status_code=204,
    operation_id="delete_user",
    response_class=Response,
    dependencies=[conditional],
    responses=documented(404, 409, 412),
)
async def delete_user(*, user_id: str, caller: Deleter, db: SystemDb, services: AllServices, request: Request) -> None:
    """Delete an account with its memberships, sessions and grants, in all organizations."""
    await locked_organization(db, caller.organization_id)
    user = await found_to_change(db, caller, user_id, request)
    await check_may_change(db, caller, user)
    await check_may_go(db, caller, user)
    note(request, changes=await changes.removed(db, user))
    services.callers.forget()


@router.post(
    "/{user_id}/send-verification",
    status_code=202,
    operation_id="send_verification",
    response_class=Response,
    responses=documented(404, 409),
)
async def send_verification(*, user_id: str, caller: Changer, db: Db, services: AllServices, request: Request) -> None:
    """Send another link to verify the address."""
    user = await found_to_change(db, caller, user_id, request)
    if user.verified_at is not None:
        raise Conflict("this address is verified already")
    await send_link(db, services, user, LinkPurpose.VERIFICATION)


@router.post(
    "/{user_id}/send-reset",
    status_code=202,
    operation_id="send_reset",
    response_class=Response,
    responses=documented(404, 409),
)
async def send_reset(*, user_id: str, caller: Changer, db: Db, services: AllServices, request: Request) -> None:
    """Send a link to choose a password; its use verifies the address too."""
    user = await found_to_change(db, caller, user_id, request)
    if user.locked_at is not None:
        raise Conflict("this account is locked: unlock it first")
    await send_link(db, services, user, LinkPurpose.RESET)


def _answered(user: UserRow, response: Response) -> UserBody:
    response.headers["ETag"] = etag_of_user(user)
    return shown(user)


def _key_of(email: str | None) -> str | None:
    try:
        return None if email is None else email_key_of(email)
    except InvalidInput:
        return ""  # nobody's
