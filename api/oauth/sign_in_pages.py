"""`/signin` and `/signout`: pages for people; programs use `/api/v1/sessions`."""

import hmac
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Request, Response

from api.audit.recording import Actor, record
from api.callers import Anybody
from api.database import SystemDb
from api.errors import Forbidden, TooManyRequests
from api.oauth.browsing import sign_in_page, signed_in
from api.oauth.forms import FormPurpose, browser_of, digest_of_browser, fields_of, forms_of
from api.oauth.page_routes import PageRoute
from api.oauth.rendering import page, redirect
from api.permissions import RateClass
from api.services import AllServices
from api.sessions.opening import clear_session_cookie, set_session_cookie
from api.sessions.owning import end_session, own_session, user_id_of
from api.sessions.signing_in import MustReset, NotAMember, SignInRefused, Unverified, WrongCredentials, sign_in

router = APIRouter(tags=["pages"], include_in_schema=False, route_class=PageRoute)

_SIGN_IN: Final = ("/signin", "Sign in")
_TROUBLES: Final = {
    WrongCredentials.kind: "The address or the password is not right, or the account is locked.",
    Unverified.kind: "This address is not verified yet: open the link in the e-mail that was sent to it.",
    MustReset.kind: "The password has to be changed first: ask for a link to reset it.",
    NotAMember.kind: "This account is no member of an organization (any more).",
}


@router.get("/signin")
async def show_sign_in(request: Request, _: Anybody, db: SystemDb, services: AllServices) -> Response:
    """Show the page to sign in at; to who is signed in already, that they are."""
    caller = await signed_in(request, db, services)
    if caller is None:
        return sign_in_page(request, services)
    form = forms_of(services).sign(FormPurpose.SIGN_OUT, {"session": caller.id})
    return page("signed_in.html", person=caller.name, form=form)


@router.post("/signin")
async def take_sign_in(request: Request, visitor: Anybody, db: SystemDb, services: AllServices) -> Response:
    """Sign somebody in, and go on with the authorization request that they came with."""
    fields = await fields_of(request, ("form", "email", "password"))
    form = forms_of(services).read(FormPurpose.SIGN_IN, fields["form"])
    browser = browser_of(request, services)
    if browser is None or not hmac.compare_digest(digest_of_browser(browser), form["browser"]):
        raise Forbidden("this page was shown to another browser, or cookies are off: open it again, and allow cookies")
    try:
        request.state.rate_headers = await services.limits.take_open(RateClass.SIGNING_IN, visitor.address)
        opened = await sign_in(
            db,
            services,
            email=fields["email"],
            password=fields["password"],
            address=visitor.address,
            user_agent=request.headers.get("user-agent", ""),
        )
    except (SignInRefused, TooManyRequests) as refusal:
        # Caught here, so that what was counted and announced of the failure stays.
        answer = sign_in_page(
            request,
            services,
            query=form["query"],
            goes_to=form["goes_to"] or None,
            email=fields["email"],
            trouble=_TROUBLES[refusal.kind] if isinstance(refusal, SignInRefused) else _too_many(refusal),
            status=HTTPStatus.FORBIDDEN if isinstance(refusal, SignInRefused) else HTTPStatus.TOO_MANY_REQUESTS,
        )
        if "Retry-After" in refusal.headers:
            answer.headers["Retry-After"] = refusal.headers["Retry-After"]
        return answer
    answer = redirect(f"/oauth/authorize?{form['query']}" if form["query"] else "/signin")
    set_session_cookie(answer, services, opened)
    return answer


@router.get("/signout")
async def show_sign_out(request: Request, _: Anybody, db: SystemDb, services: AllServices) -> Response:
    """Ask whether to sign out: a link alone does nothing."""
    caller = await signed_in(request, db, services)
    if caller is None:
        return page("done.html", title="You are signed out", detail="Nobody is signed in here.", link=_SIGN_IN)
    form = forms_of(services).sign(FormPurpose.SIGN_OUT, {"session": caller.id})
    return page("signed_in.html", person=caller.name, form=form)


@router.post("/signout")
async def take_sign_out(request: Request, _: Anybody, db: SystemDb, services: AllServices) -> Response:
    """End the session that the page was shown to."""
    form = forms_of(services).read(FormPurpose.SIGN_OUT, (await fields_of(request, ("form",)))["form"])
    caller = await signed_in(request, db, services)
    if caller is not None and caller.id != form["session"]:
        raise Forbidden("this page was shown to another session: open it again")
    if caller is not None:
        now = datetime.now(UTC)
        session = await own_session(db, user_id_of(caller), caller.id, at=now)
        await end_session(db, session, at=now)
        actor = Actor(organization_id=session.organization_id, kind=caller.kind, id=session.user_id, name=caller.name)
        await record(db, request, actor=actor, action="sign_out", target_kind="sessions", target_id=session.id)
        services.callers.forget()
    answer = page("done.html", title="You are signed out", detail="This browser's session has ended.", link=_SIGN_IN)
    clear_session_cookie(answer, services)
    return answer


def _too_many(refusal: TooManyRequests) -> str:
    return f"Too many attempts. Wait {refusal.headers.get('Retry-After', '60')} seconds and try again."
