"""`/invitation`, `/verification` and `/reset`: where links in e-mails lead.

Opening a link does nothing: mail scanners and previews open it too. The form does, by what the API's routes call.
"""

from typing import Final

from fastapi import APIRouter, Request, Response
from pydantic import SecretStr, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from api.audit.recording import Actor, record
from api.callers import Anybody
from api.credentials import Caller
from api.database import SystemDb
from api.errors import Forbidden, Refusal
from api.members.accepting import accepted_by_anybody, accepted_by_caller
from api.members.bodies import Acceptance
from api.members.tables import MembershipRow
from api.oauth.browsing import signed_in
from api.oauth.forms import FormPurpose, UnfitForm, fields_of, forms_of
from api.oauth.page_routes import PageRoute, told
from api.oauth.rendering import page
from api.permissions import RateClass
from api.problems import refusal_of
from api.services import AllServices, Services
from api.users.resetting import ask_for_reset, reset_password, verify_address
from api.users.tables import UserRow
from schemas.errors import InvalidInput

SIGN_IN: Final = ("/signin", "Sign in")

router = APIRouter(tags=["pages"], include_in_schema=False, route_class=PageRoute)


@router.get("/invitation")
async def show_invitation(
    request: Request, _: Anybody, db: SystemDb, services: AllServices, token: str = ""
) -> Response:
    """Show the form to accept an invitation with."""
    return _invitation_page(services, token, await signed_in(request, db, services))


@router.post("/invitation")
async def take_invitation(request: Request, visitor: Anybody, db: SystemDb, services: AllServices) -> Response:
    """Accept an invitation: as who is signed in, with the password of an account, or as a new user."""
    await services.limits.take_open(RateClass.SIGNING_IN, visitor.address)
    fields = await fields_of(request, ("token", "name", "password", "form"))
    caller = await signed_in(request, db, services)
    if fields["form"]:
        form = forms_of(services).read(FormPurpose.LINK, fields["form"])
        if caller is None or caller.id != form["session"] or fields["token"] != form["token"]:
            raise Forbidden("this page was shown to another session: open the link again")
        member = await accepted_by_caller(db, services, caller, fields["token"])
    else:
        try:
            async with db.begin_nested():
                member = await accepted_by_anybody(
                    db,
                    services,
                    _acceptance(fields),
                    address=visitor.address,
                    user_agent=request.headers.get("user-agent", ""),
                )
        except (Refusal, InvalidInput) as error:
            return _invitation_page(services, fields["token"], caller, name=fields["name"], error=error)
    await _record_joined(db, request, member)
    services.callers.forget()
    return page("done.html", title="Welcome", detail="You are a member now, and can sign in.", link=SIGN_IN)


@router.get("/verification")
async def show_verification(_: Anybody, token: str = "") -> Response:
    """Show the form to verify an address with."""
    return page("verification.html", token=token)


@router.post("/verification")
async def take_verification(request: Request, visitor: Anybody, db: SystemDb, services: AllServices) -> Response:
    """Verify the address that a link went to."""
    await services.limits.take_open(RateClass.SIGNING_IN, visitor.address)
    fields = await fields_of(request, ("token",))
    user = await verify_address(db, services, fields["token"])
    await _record_user(db, request, user, action="verify_user")
    return page("done.html", title="Your address is verified", detail="Thank you.", link=SIGN_IN)


@router.get("/reset")
async def show_reset(_: Anybody, token: str = "") -> Response:
    """Show the form to choose a new password with; without a link, the one to ask for a link with."""
    if not token:
        return page("reset_request.html")
    return page("reset.html", token=token, trouble=None)


@router.post("/reset")
async def take_reset(request: Request, visitor: Anybody, db: SystemDb, services: AllServices) -> Response:
    """Give the account of a link a new password; what was open with the old one ends."""
    await services.limits.take_open(RateClass.SIGNING_IN, visitor.address)
    fields = await fields_of(request, ("token", "password"))
    try:
        async with db.begin_nested():
            user = await reset_password(db, services, fields["token"], fields["password"])
    except InvalidInput as error:  # the password is unfit, and the link still good
        return page("reset.html", status=422, token=fields["token"], trouble=told(refusal_of(error)))
    await _record_user(db, request, user, action="confirm_password_reset")
    return page(
        "done.html",
        title="Your password is changed",
        detail="Every browser and application that was signed in is signed out.",
        link=SIGN_IN,
    )


@router.post("/reset/request")
async def take_reset_request(request: Request, visitor: Anybody, services: AllServices) -> Response:
    """Send a link to whoever has an account of an address; the answer is the same when nobody has."""
    await services.limits.take_open(RateClass.SIGNING_IN, visitor.address)
    fields = await fields_of(request, ("email",))
    await ask_for_reset(services, fields["email"])
    detail = "If there is an account of this address, a link to choose a new password is on its way to it."
    return page("done.html", title="Look into your mailbox", detail=detail, link=None)


def _invitation_page(
    services: Services,
    token: str,
    caller: Caller | None,
    *,
    name: str = "",
    error: Refusal | InvalidInput | None = None,
) -> Response:
    refusal = refusal_of(error) if isinstance(error, InvalidInput) else error
    form = None
    if caller is not None:
        form = forms_of(services).sign(FormPurpose.LINK, {"session": caller.id, "token": token})
    return page(
        "invitation.html",
        status=200 if refusal is None else int(refusal.status),
        token=token,
        form=form,
        person=None if caller is None else caller.name,
        name=name,
        trouble=None if refusal is None else told(refusal),
    )


def _acceptance(fields: dict[str, str]) -> Acceptance:
    """Return what the API would be sent; raises a Refusal."""
    try:
        return Acceptance(
            token=fields["token"],
            name=fields["name"] or None,
            password=SecretStr(fields["password"]) if fields["password"] else None,
        )
    except ValidationError as error:
        raise UnfitForm(refusal_of(error).detail) from None


async def _record_joined(db: AsyncSession, request: Request, member: MembershipRow) -> None:
    actor = Actor(organization_id=member.organization_id, kind="nobody", id=member.user_id, name="an invited user")
    await record(db, request, actor=actor, action="accept_invitation", target_kind="members", target_id=member.user_id)


async def _record_user(db: AsyncSession, request: Request, user: UserRow, *, action: str) -> None:
    actor = Actor(organization_id=user.organization_id, kind="nobody", id=user.id, name=user.name)
    await record(db, request, actor=actor, action=action, target_kind="users", target_id=user.id)
