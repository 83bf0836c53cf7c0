"""Whether a client is who it says (RFC 6749, 2.3): by Basic or in the body, never both; public ones by their id."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_plus

from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncSession

from api.applications.secrets import is_one_of, with_digests
from api.applications.tables import ApplicationRow
from api.oauth.errors import OAuthError, invalid_client

METHODS: Final = ("client_secret_basic", "client_secret_post", "none")
_LONGEST: Final = 4096  # characters


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """What a request shows; `secret` None: a public client."""

    client_id: str
    secret: str | None = field(default=None, repr=False)


def credentials_in(request: Request, form: Mapping[str, str]) -> ClientCredentials:
    """Return what a request shows of its client; raises OAuthError when it shows none, or shows it in two ways."""
    headers = request.headers.getlist("authorization")
    if not headers:
        if "client_id" not in form:
            raise OAuthError("invalid_request", "send client_id, or authenticate with Basic")
        return ClientCredentials(form["client_id"], form.get("client_secret"))
    if len(headers) > 1 or "client_secret" in form:
        raise OAuthError("invalid_request", "authenticate in one way, not in two")
    shown = _basic(headers[0])
    if form.get("client_id", shown.client_id) != shown.client_id:
        raise OAuthError("invalid_request", "client_id is another one than that of the Authorization header")
    return shown


async def authenticated(db: AsyncSession, shown: ClientCredentials) -> ApplicationRow:
    """Return the application that a request comes from; raises OAuthError, the same whatever is wrong with it."""
    application, digests = await with_digests(db, shown.client_id)
    if shown.secret is None:
        is_known = application is not None and application.kind == "public"
    else:
        is_known = is_one_of(shown.secret, digests)
    if application is None or not is_known or not application.enabled:
        raise invalid_client()
    return application


def _basic(header: str) -> ClientCredentials:
    """Read the header as RFC 6749, 2.3.1 has it: both parts are form-encoded before they are joined."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic" or len(encoded) > _LONGEST:
        raise invalid_client()
    try:
        joined = base64.b64decode(encoded.strip().encode("ascii"), validate=True).decode("utf-8")
        client_id, separator, secret = joined.partition(":")
        client_id, secret = (unquote_plus(part, errors="strict") for part in (client_id, secret))
    except (binascii.Error, UnicodeError):
        raise invalid_client() from None
    if not separator or not client_id or not secret or "\x00" in client_id + secret:
        raise invalid_client()
    return ClientCredentials(client_id, secret)
