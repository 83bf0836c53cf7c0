"""What anybody may do who has a link that we sent: `/api/v1/users/verify` and `/api/v1/password-resets`."""

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.audit.recording import Actor, record
from api.callers import Anybody
from api.database import SystemDb
from api.problems import documented
from api.requests import JsonRoute
from api.services import AllServices
from api.users.bodies import LinkUse, ResetConfirmation, ResetRequest
from api.users.finding import PATH
from api.users.resetting import ask_for_reset, reset_password, verify_address
from api.users.tables import UserRow

_responses = documented(400, 413, 415, 422, 429, 503)
verifying = APIRouter(prefix=PATH, tags=["users"], route_class=JsonRoute, responses=_responses)
resets = APIRouter(prefix="/api/v1/password-resets", tags=["users"], route_class=JsonRoute, responses=_responses)


@verifying.post("/verify", status_code=204, operation_id="verify_user", response_class=Response)
async def verify_user(body: LinkUse, _: Anybody, db: SystemDb, services: AllServices, request: Request) -> None:
    """Show that an address is yours, by the link that went to it. It can be used once."""
    await _recorded(db, request, await verify_address(db, services, body.token), "verify_user")


@resets.post("", status_code=202, operation_id="ask_for_password_reset", response_class=Response)
async def ask_for_password_reset(body: ResetRequest, _: Anybody, services: AllServices) -> None:
    """Have a link sent to choose a new password. The answer is the same whether or not there is such an account."""
    await ask_for_reset(services, body.email)


@resets.post("/confirm", status_code=204, operation_id="confirm_password_reset", response_class=Response)
async def confirm_password_reset(
    body: ResetConfirmation, _: Anybody, db: SystemDb, services: AllServices, request: Request
) -> None:
    """Choose a new password by a link, within an hour, once. All sessions and grants of the account end."""
    user = await reset_password(db, services, body.token, body.password)
    await _recorded(db, request, user, "confirm_password_reset")


async def _recorded(db: AsyncSession, request: Request, user: UserRow, action: str) -> None:
    actor = Actor(organization_id=user.organization_id, kind="nobody", id=user.id, name=user.name)
    await record(db, request, actor=actor, action=action, target_kind="users", target_id=user.id)
