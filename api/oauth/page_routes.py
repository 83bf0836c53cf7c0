"""What every page passes: its transaction, who may see it, and an answer that a person can read when it is refused."""

from collections.abc import Callable, Coroutine
from typing import Any, Final, cast

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from api.callers import Access, access_of
from api.database import RequestTransaction
from api.errors import Refusal
from api.oauth.authorizing import Declined, answer_url
from api.oauth.forms import UnfitForm, check_same_site
from api.oauth.issuer import issuer_of
from api.oauth.rendering import page, redirect
from api.problems import refusal_of, request_id_of
from api.services import Services
from schemas.errors import InvalidInput

_TITLES: Final = {
    400: "This cannot be done",
    403: "This is not allowed",
    404: "There is nothing here",
    409: "This was done already",
    429: "Too many attempts",
    503: "Please try again in a moment",
}

_FIELDS: Final[dict[str | None, str]] = {
    "/token": "the link",
    "/password": "the password",
    "/name": "the name",
    "/email": "the address",
}


class PageRoute(APIRoute):
    """A route that answers with pages. A form's route takes it from our own pages only."""

    access: Access

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler with ours around it; raises UndeclaredRoute."""
        handle = super().get_route_handler()
        self.access = access_of(self.endpoint)

        async def handle_page(request: Request) -> Response:
            services = cast(Services, request.app.state.services)
            try:
                if request.method == "POST":
                    check_same_site(request, services)
                async with RequestTransaction(request):
                    return await handle(request)
            except Declined as declined:
                return declined_answer(services, declined)
            except Refusal as refusal:
                return refused_page(request, refusal)
            except InvalidInput as error:
                return refused_page(request, refusal_of(error))
            except (RequestValidationError, HTTPException):
                return refused_page(request, UnfitForm("the address or the form is not as a page of ours has it"))

        return handle_page


def declined_answer(services: Services, declined: Declined) -> Response:
    """Return the redirect that tells a client why it gets no code (RFC 6749, 4.1.2.1)."""
    values = {"error": declined.error, "error_description": declined.detail}
    return redirect(
        answer_url(declined.redirect_uri, issuer=issuer_of(services.settings), state=declined.state, values=values)
    )


def refused_page(request: Request, refusal: Refusal) -> Response:
    """Return the page that says what was refused and why."""
    status = int(refusal.status)
    answer = page(
        "refused.html",
        status=status,
        title=_TITLES.get(status, _TITLES[400]),
        detail=told(refusal),
        request_id=request_id_of(request),
    )
    answer.headers.update(refusal.headers)
    return answer


def told(refusal: Refusal) -> str:
    """Return what a page says of a refusal: programs are told where a flaw is, people what it is of."""
    detail = refusal.detail
    if refusal.flaws and refusal.flaws[0].pointer in _FIELDS:
        detail = f"{_FIELDS[refusal.flaws[0].pointer]} {refusal.flaws[0].detail}"
    speakable = detail.encode("utf-8", "replace").decode()
    return speakable[:1].upper() + speakable[1:]
