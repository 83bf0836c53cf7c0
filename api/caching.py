"""What a client may keep: every answer to a GET has an ETag and a short life, every other one none (RFC 9111).

`private`, because an answer is its caller's. A client that writes through the same URL drops what it kept of it (RFC
9111, 4.4), and the server keeps nothing, so a write shows at once to whoever asks again.
"""

import hashlib
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request, Response

from api.preconditions import is_unchanged

LIST_AND_ITEM_S: Final = 10
_VARY: Final = "Authorization, Cookie, Hookline-Organization"


def with_caching(request: Request, response: Response, *, max_age_s: int) -> Response:
    """Return an answer with its caching headers; 304 instead of it when the caller has it already.

    The entity tag is the route's own where it knows a version (`api/preconditions.py`), else a digest of what is shown.
    Raises PreconditionFailed when the request's conditions do not hold.
    """
    if request.method != "GET":
        response.headers.setdefault("Cache-Control", "no-store")
        return response
    body = getattr(response, "body", None)  # a stream has none
    if response.status_code != HTTPStatus.OK or not isinstance(body, bytes):
        response.headers.setdefault("Cache-Control", "no-store")
        return response
    response.headers.setdefault("Cache-Control", f"private, max-age={max_age_s}")
    response.headers.setdefault("Vary", _VARY)
    etag = response.headers.get("ETag")
    if etag is None:
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        response.headers["ETag"] = etag
    if not is_unchanged(request, etag):
        return response
    # What a 304 must say again of what a 200 says (RFC 9110, 15.4.5); the server adds Date.
    kept = {name: response.headers[name] for name in ("ETag", "Cache-Control", "Vary") if name in response.headers}
    return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=kept)


# What OpenAPI says of all of it, for `components`.
HEADERS: Final[dict[str, dict[str, Any]]] = {
    "ETag": {
        "description": "Names this state of it; give it as If-None-Match to get 304 while nothing has changed.",
        "schema": {"type": "string"},
    },
    "Cache-Control": {
        "description": "How long it may be kept, by its caller alone, in seconds; `no-store`: not at all.",
        "schema": {"type": "string", "examples": [f"private, max-age={LIST_AND_ITEM_S}"]},
    },
    "Vary": {"description": "Which request headers the answer depends on.", "schema": {"type": "string"}},
}
IF_NONE_MATCH: Final[dict[str, Any]] = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "ETags of what the caller has: 304 without a body when it is one of these.",
    "schema": {"type": "string"},
}
