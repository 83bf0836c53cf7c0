"""What a request brings to say who calls: a bearer token (RFC 6750, 2.1) or a browser's session cookie (RFC 6265)."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncSession

from api.permissions import Permission
from schemas.ids import OrganizationId

TOKEN_PREFIX: Final = "hkl_"  # noqa: S105 - what every API token begins with
# Browsers keep a cookie of this prefix to https and to one host (RFC 6265bis, 4.1.3.2); development has neither.
SESSION_COOKIE: Final = "__Host-hookline_session"
DEVELOPMENT_SESSION_COOKIE: Final = "hookline_session"
_JWT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class CredentialKind(StrEnum):
    """What a caller showed."""

    ADMINISTRATOR = "administrator"
    API_TOKEN = "api_token"  # noqa: S105 - a kind, no token
    ACCESS_TOKEN = "access_token"  # noqa: S105
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential as it came; the administrator's token is a bearer of no kind that shows."""

    kind: CredentialKind
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, and for which organization: every query is scoped by `organization_id`.

    `id` names the credential (`tok_…`, `ses_…`, the id of an access token, "administrator"), `name` is for people.
    `user_id` is who stands behind a session or an access token that a user granted, `application_id` the OAuth client.
    `allowed_addresses` empty: from anywhere. `csrf_token` is a session's. `limits` are the organization's own, by
    `RateClass`; `own_limit` is the credential's, requests a minute.
    """

    organization_id: OrganizationId
    name: str
    kind: CredentialKind
    id: str
    permissions: frozenset[Permission]
    user_id: str | None = None
    application_id: str | None = None
    expires_at: datetime | None = None
    allowed_addresses: tuple[IPv4Network | IPv6Network, ...] = ()
    csrf_token: str | None = field(default=None, repr=False)
    own_limit: int | None = None
    limits: dict[str, int] = field(default_factory=dict)


# Finds out, in a transaction of no organization's, what a credential allows; None: it is not valid (any more). The
# organization is the one that the request names, None when it names none: a user may be a member of several.
Lookup = Callable[[AsyncSession, str, OrganizationId | None], Awaitable[Caller | None]]


def credential_in(request: Request, *, session_cookie: str) -> Credential | None:
    """Return the request's credential; None when it has none. A bearer goes before a cookie."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme:
        token = given.strip()
        return Credential(_kind_of(token), token) if scheme.lower() == "bearer" and token else None
    cookie = request.cookies.get(session_cookie)
    return Credential(CredentialKind.SESSION, cookie) if cookie else None


def _kind_of(token: str) -> CredentialKind:
    if token.startswith(TOKEN_PREFIX):
        return CredentialKind.API_TOKEN
    return CredentialKind.ACCESS_TOKEN if _JWT.fullmatch(token) else CredentialKind.ADMINISTRATOR
