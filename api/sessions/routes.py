"""`/api/v1/sessions`: signing in and out in a browser, and what is signed in."""

from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.audit.recording import note
from api.callers import Anybody, AnyCaller
from api.credentials import Caller
from api.database import SystemDb
from api.errors import Forbidden
from api.lists import Cursor, Limit, Page, id_after, page_of
from api.organizations.tables import OrganizationRow
from api.permissions import Permission
from api.problems import documented
from api.requests import JsonRoute
from api.roles.permissions import membership_permissions
from api.services import AllServices
from api.sessions.bodies import (
    CurrentSession,
    OrganizationOfSession,
    SessionBody,
    SignIn,
    Switch,
    session_shown,
)
from api.sessions.opening import clear_session_cookie, set_session_cookie
from api.sessions.owning import end_session, own_session, own_sessions, own_user, user_id_of
from api.sessions.signing_in import NotAMember, sign_in
from api.sessions.tables import SessionRow
from api.users.bodies import shown
from api.users.tables import UserRow

router = APIRouter(
    prefix="/api/v1/sessions", tags=["sessions"], route_class=JsonRoute, responses=documented(401, 403, 422, 503)
)
_with_body = documented(400, 413, 415)
_OURS = {"same-origin", "none"}


@router.post("", status_code=201, operation_id="create_session", responses={**_with_body, **documented(404, 429)})
async def create_session(
    *, body: SignIn, visitor: Anybody, db: SystemDb, services: AllServices, request: Request, response: Response
) -> CurrentSession:
    """Sign in. The session's cookie comes with the answer; whatever session the browser brings is left as it is.

    10 tries for an account in 15 minutes, and 30 a minute from an address. An account that is not there, one that is
    locked and a wrong password are answered alike.
    """
    if request.headers.get("sec-fetch-site", "same-origin") not in _OURS:
        raise Forbidden("another site's page sent this request")
    signed_in = await sign_in(
        db,
        services,
        email=body.email,
        password=body.password,
        address=visitor.address,
        user_agent=request.headers.get("user-agent", ""),
        organization_id=body.organization_id,
    )
    set_session_cookie(response, services, signed_in)
    return await _current(
        db,
        signed_in.user,
        signed_in.session,
        organization_id=signed_in.session.organization_id,
        permissions=signed_in.permissions,
        csrf_token=signed_in.csrf_token,
    )


@router.get("", operation_id="list_sessions")
async def list_sessions(
    *, caller: AnyCaller, db: SystemDb, limit: Limit = 25, cursor: Cursor = None
) -> Page[SessionBody]:
    """List your own sessions, on all devices and in all organizations, oldest first."""
    now = datetime.now(UTC)
    rows = await own_sessions(db, user_id_of(caller), at=now, after=id_after(cursor), limit=limit + 1)
    bodies = [session_shown(row, current_id=caller.id) for row in rows]
    return page_of(bodies, limit=limit, ids=[row.id for row in rows])


@router.get("/current", operation_id="get_current_session")
async def get_current_session(caller: AnyCaller, db: SystemDb, response: Response) -> CurrentSession:
    """Show the session that asks, with its CSRF token."""
    response.headers["Cache-Control"] = "no-store"
    user = await own_user(db, caller)
    session = await own_session(db, user.id, caller.id, at=datetime.now(UTC))
    return await _current_of(db, caller, user, session)


@router.delete("/current", status_code=204, operation_id="sign_out", response_class=Response)
async def sign_out(
    caller: AnyCaller, db: SystemDb, services: AllServices, request: Request, response: Response
) -> None:
    """Sign out; the cookie is taken back."""
    await _end(db, caller, caller.id, request)
    services.callers.forget()
    clear_session_cookie(response, services)


@router.post("/current/organization", operation_id="switch_organization", responses={**_with_body, **documented(404)})
async def switch_organization(
    body: Switch, caller: AnyCaller, db: SystemDb, services: AllServices, request: Request
) -> CurrentSession:
    """Act in another organization of which you are a member, from now on, in this browser."""
    user = await own_user(db, caller)
    session = await own_session(db, user.id, caller.id, at=datetime.now(UTC))
    permissions = await membership_permissions(db, body.organization_id, user.id)
    if permissions is None:
        raise NotAMember
    note(request, target_id=session.id, changes={"organization_id": session.organization_id})
    session.organization_id = body.organization_id
    await db.flush()
    services.callers.forget()
    return await _current(
        db,
        user,
        session,
        organization_id=session.organization_id,
        permissions=permissions,
        csrf_token=caller.csrf_token or "",
    )


@router.delete(
    "/{session_id}",
    status_code=204,
    operation_id="revoke_session",
    response_class=Response,
    responses=documented(404),
)
async def revoke_session(
    session_id: str, caller: AnyCaller, db: SystemDb, services: AllServices, request: Request
) -> None:
    """Sign out of one of your sessions, on whichever device."""
    await _end(db, caller, session_id, request)
    services.callers.forget()


async def _end(db: AsyncSession, caller: Caller, session_id: str, request: Request) -> None:
    now, user = datetime.now(UTC), await own_user(db, caller)
    session = await own_session(db, user.id, session_id, at=now)
    await end_session(db, session, at=now)
    note(request, target_id=session.id)


async def _current_of(db: AsyncSession, caller: Caller, user: UserRow, session: SessionRow) -> CurrentSession:
    return await _current(
        db,
        user,
        session,
        organization_id=caller.organization_id,
        permissions=caller.permissions,
        csrf_token=caller.csrf_token or "",
    )


async def _current(
    db: AsyncSession,
    user: UserRow,
    session: SessionRow,
    *,
    organization_id: str,
    permissions: frozenset[Permission],
    csrf_token: str,
) -> CurrentSession:
    wanted = select(OrganizationRow.name).where(OrganizationRow.id == organization_id)
    return CurrentSession(
        session=session_shown(session, current_id=session.id),
        user=shown(user),
        organization=OrganizationOfSession(id=organization_id, name=(await db.execute(wanted)).scalar_one()),
        permissions=sorted(permissions),
        csrf_token=csrf_token,
    )
