"""The body of a request to an OAuth endpoint: a form, read strictly (RFC 6749, 3.2 and appendix B)."""

from collections.abc import Mapping
from email.message import Message
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

from fastapi import Request

from api.oauth.errors import OAuthError

LARGEST_FORM_BYTES: Final = 16 * 1024
_MOST_FIELDS: Final = 50
_FORM: Final = "application/x-www-form-urlencoded"


async def form_of(request: Request) -> Mapping[str, str]:
    """Return the parameters of the body; one without a value is as good as none (RFC 6749, 3.2).

    What stands in the URL is not looked at: URLs are logged. Raises OAuthError for another content type, more than
    16 KB, what is no UTF-8, NUL, and a parameter that is there twice.
    """
    _check_content_type(request.headers.get("content-type", ""))
    raw = await _body_of(request)
    try:
        pairs = parse_qsl(
            raw.decode("ascii"), keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError:  # Unicode errors too
        raise OAuthError("invalid_request", "the body is no form in UTF-8, or has too many fields") from None
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise OAuthError("invalid_request", "a parameter is there more than once")
    if any("\x00" in text for pair in pairs for text in pair):
        raise OAuthError("invalid_request", "a parameter holds NUL")
    return {name: value for name, value in pairs if value}


def _check_content_type(content_type: str) -> None:
    header = Message()
    header["content-type"] = content_type or "application/octet-stream"
    if header.get_content_type() != _FORM or header.get_content_charset("utf-8") not in {"utf-8", "us-ascii"}:
        raise OAuthError("invalid_request", f"send {_FORM} in UTF-8", status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE)


async def _body_of(request: Request) -> bytes:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > LARGEST_FORM_BYTES:
            raise OAuthError(
                "invalid_request",
                f"the body may have {LARGEST_FORM_BYTES:,} bytes",
                status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                headers={"Connection": "close"},
            )
    return bytes(raw)
