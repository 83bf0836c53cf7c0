"""What the OAuth endpoints refuse (RFC 6749, 5.2): JSON of their own, no problem documents."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import orjson
from fastapi import Response

from api.errors import Refusal, TooManyRequests, Unavailable

NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}  # RFC 6749, 5.1


class OAuthError(Exception):
    """An answer of 400 with `code`, unless `status` says otherwise. The description says what to do, no secrets.

    `is_guess`: it may have been an attempt at guessing a secret or a code, and counts as one.
    """

    def __init__(
        self,
        code: str,
        description: str,
        *,
        status: HTTPStatus = HTTPStatus.BAD_REQUEST,
        headers: Mapping[str, str] | None = None,
        is_guess: bool = False,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.description = description
        self.status = status
        self.headers = dict(headers or {})
        self.is_guess = is_guess


def invalid_client() -> OAuthError:
    """Return the one answer for every client that is not known by what it sent: it says nothing about which part."""
    return OAuthError(
        "invalid_client",
        "the client is unknown, disabled, or its secret is wrong",
        status=HTTPStatus.UNAUTHORIZED,
        headers={"WWW-Authenticate": 'Basic realm="hookline", charset="UTF-8"'},
        is_guess=True,
    )


def invalid_grant(description: str) -> OAuthError:
    """Return that a code or refresh token is not good (any more)."""
    return OAuthError("invalid_grant", description, is_guess=True)


def of_refusal(refusal: Refusal) -> OAuthError:
    """Return how these endpoints say what the rest of the API says in problem documents."""
    codes = {TooManyRequests: "temporarily_unavailable", Unavailable: "temporarily_unavailable"}
    code = next((code for kind, code in codes.items() if isinstance(refusal, kind)), "invalid_request")
    return OAuthError(code, refusal.detail, status=refusal.status, headers=refusal.headers)


def answer_of(error: OAuthError) -> Response:
    """Return the answer. Only ASCII without quotes and backslashes may stand in it (RFC 6749, 5.2)."""
    said = "".join(each for each in error.description if " " <= each <= "~" and each not in '"\\')
    body = orjson.dumps({"error": error.code, "error_description": said})
    return Response(body, error.status, headers={**NO_STORE, **error.headers}, media_type="application/json")
