"""`/api/v1/me`: who calls, and what people change about themselves."""

from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.audit.recording import note
from api.callers import AnyCaller, address_of
from api.credentials import Caller
from api.database import SystemDb, transaction_of
from api.errors import Flaw, InvalidRequest, NotFound
from api.problems import documented
from api.requests import JsonRoute
from api.services import AllServices, Services
from api.sessions.bodies import Me, MyPatch, PasswordChange
from api.sessions.failures import SignInFailures
from api.sessions.owning import own_user, user_id_of
from api.sessions.signing_in import failed
from api.users import changes
from api.users.bodies import UserBody, shown
from api.users.passwords import check_password, hashed, verified
from api.users.revoking import revoke_sessions
from api.users.tables import UserRow

router = APIRouter(
    prefix="/api/v1/me", tags=["sessions"], route_class=JsonRoute, responses=documented(401, 403, 422, 503)
)
_with_body = documented(400, 413, 415)


@router.get("", operation_id="get_me")
async def get_me(caller: AnyCaller, db: SystemDb) -> Me:
    """Show who calls, and what they may do."""
    return Me(
        kind=caller.kind,
        id=caller.id,
        name=caller.name,
        organization_id=caller.organization_id,
        permissions=sorted(caller.permissions),
        expires_at=caller.expires_at,
        application_id=caller.application_id,
        user=None if caller.user_id is None else shown(await _user(db, caller.user_id)),
    )


@router.patch("", operation_id="change_me", responses=_with_body)
async def change_me(
    body: MyPatch, caller: AnyCaller, db: SystemDb, services: AllServices, request: Request
) -> UserBody:
    """Change your name."""
    user = await own_user(db, caller)
    given = {field: getattr(body, field) for field in body.model_fields_set}
    note(request, target_id=user.id, changes=await changes.changed(db, user, **given))
    services.callers.forget()
    return shown(user)


@router.post(
    "/password",
    status_code=204,
    operation_id="change_my_password",
    response_class=Response,
    responses={**_with_body, **documented(429)},
)
async def change_my_password(
    body: PasswordChange, caller: AnyCaller, db: SystemDb, services: AllServices, request: Request
) -> None:
    """Change your password by showing the one that you have. Your other sessions end."""
    read = await _who_showed(services, caller, body.current, request)
    check_password(body.new, email=read.email, pointer="/new")
    new_hash = await hashed(body.new)
    user = await own_user(db, caller)
    if user.password_hash != read.password_hash:
        raise _not_yours()  # it was changed just now
    await changes.password_set(db, user, new_hash, method="change")
    await revoke_sessions(db, user.id, at=datetime.now(UTC), but=caller.id)
    note(request, target_id=user.id)
    services.callers.forget()


async def _who_showed(services: Services, caller: Caller, password: str, request: Request) -> UserRow:
    """Return the session's user, whose password this is; a wrong one counts as a try to sign in does."""
    address, agent = address_of(request), request.headers.get("user-agent", "")
    async with transaction_of(services.engine) as reading:  # none is held while the password is hashed
        user = await _user(reading, user_id_of(caller))
    failures = SignInFailures(services.limits)
    await failures.count(user.email, address)
    if not (await verified(password, user.password_hash)).holds:
        await failed(services, user, "wrong_password", address, agent)
        raise _not_yours()
    await failures.forget(user.email)
    return user


async def _user(db: AsyncSession, user_id: str) -> UserRow:
    found = (await db.execute(select(UserRow).where(UserRow.id == user_id))).scalar_one_or_none()
    if found is None:
        raise NotFound("this account was deleted")
    return found


def _not_yours() -> InvalidRequest:
    flaw = Flaw("is not your password", pointer="/current")
    return InvalidRequest(f"/current: {flaw.detail}", flaws=[flaw])
