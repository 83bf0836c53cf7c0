"""Who is signed in, in the browser that asks for a page."""

from fastapi import Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.credentials import Caller
from api.oauth.forms import FormPurpose, browser_of, digest_of_browser, forms_of, new_browser, set_browser
from api.oauth.rendering import page
from api.services import Services
from api.sessions.cookies import SessionCookies
from api.sessions.looking_up import caller_of_session
from api.sessions.opening import session_cookie_name
from schemas.ids import OrganizationId


async def signed_in(
    request: Request, db: AsyncSession, services: Services, *, organization_id: str | None = None
) -> Caller | None:
    """Return who is signed in, acting in an organization (None: the session's own); None when nobody is.

    Nothing is remembered from one page to the next, so a session that was revoked, and a user who was locked, sees the
    next page already. A bearer token signs nobody in here.
    """
    cookie = request.cookies.get(session_cookie_name(services))
    if not cookie:
        return None
    named = None if organization_id is None else OrganizationId(organization_id)
    return await caller_of_session(db, cookie, named, cookies=SessionCookies(services.sealer))


def sign_in_page(
    request: Request,
    services: Services,
    *,
    query: str = "",
    goes_to: str | None = None,
    application: str | None = None,
    email: str = "",
    trouble: str | None = None,
    status: int = 200,
) -> Response:
    """Return the page to sign in at; `query` is the authorization request that goes on afterwards, "" for none.

    The form is bound to this browser by a cookie, so that another site cannot sign somebody in as somebody else.
    """
    browser = browser_of(request, services) or new_browser()
    form = forms_of(services).sign(
        FormPurpose.SIGN_IN, {"query": query, "browser": digest_of_browser(browser), "goes_to": goes_to or ""}
    )
    answer = page(
        "sign_in.html",
        status=status,
        goes_to=goes_to,
        form=form,
        application=application,
        email=email,
        trouble=trouble,
    )
    set_browser(answer, services, browser)
    return answer
