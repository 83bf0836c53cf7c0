"""What the endpoints for clients share: reading, counting, authenticating, and errors of their own kind."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import orjson
from fastapi import Request, Response

from api.callers import address_of
from api.errors import Refusal, TooManyRequests
from api.oauth.client_authentication import ClientCredentials, credentials_in
from api.oauth.errors import NO_STORE, OAuthError, answer_of, of_refusal
from api.oauth.parameters import form_of
from api.permissions import RateClass
from api.services import Services

_GUESSES: Final = "guesses"
_LONGEST_COUNTED: Final = 100

Handle = Callable[[Mapping[str, str], ClientCredentials], Awaitable[Response]]


async def answered(request: Request, services: Services, handle: Handle) -> Response:
    """Return what `handle` makes of a form and the client that it names, or what is wrong as RFC 6749, 5.2 has it.

    A client's requests are counted by its id and address, and what may be a guess at a secret or a code by address
    too, whichever client it names: whoever made too many gets 429 for the right one as well.
    """
    address = address_of(request)
    try:
        form = await form_of(request)
        shown = credentials_in(request, form)
        await services.limits.check_open(RateClass.OAUTH, _GUESSES, address)
        request.state.rate_headers = await services.limits.take_open(
            RateClass.OAUTH, "client", shown.client_id[:_LONGEST_COUNTED], address
        )
        return await handle(form, shown)
    except OAuthError as error:
        if error.is_guess:
            with suppress(TooManyRequests):
                await services.limits.take_open(RateClass.OAUTH, _GUESSES, address)
        return answer_of(error)
    except Refusal as refusal:
        return answer_of(of_refusal(refusal))


def json_answer(body: Mapping[str, Any]) -> Response:
    """Return an answer that nobody may keep (RFC 6749, 5.1)."""
    return Response(orjson.dumps(body), headers=NO_STORE, media_type="application/json")
