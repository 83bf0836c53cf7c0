"""Reading an authorization request (RFC 6749, 4.1.1; RFC 7636; RFC 9700) and writing its answer (RFC 9207).

The client and its redirect URI come first: what is wrong with these is told to the person and never sent anywhere
(RFC 6749, 4.1.2.1). Everything else goes back to the client, with its state and our issuer.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

from sqlalchemy.ext.asyncio import AsyncSession

from api.applications.tables import ApplicationRow
from api.errors import ApiError, Refusal
from api.oauth.clients import application_of
from api.oauth.redirects import is_registered
from api.permissions import kept_permissions, permissions_of
from schemas.errors import InvalidInput
from schemas.ids import is_time_ordered

LONGEST_QUERY: Final = 8192  # bytes; servers and proxies take about as much
_MOST_PARAMETERS: Final = 50
_LONGEST: Final = 2048  # characters of one parameter, a redirect URI's most (api/oauth/redirects.py)
# Base64url of the 32 bytes of SHA-256 (RFC 7636, 4.2): what else its grammar has room for is no S256 challenge.
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")


class UnfitClient(Refusal):
    """Who asks, or where to answer, is not known for sure: the person is told, nobody is redirected."""

    status = HTTPStatus.BAD_REQUEST


class Declined(ApiError):
    """The client gets an error (RFC 6749, 4.1.2.1): `error` is its code, `redirect_uri` was found to be its own."""

    def __init__(self, error: str, detail: str, *, redirect_uri: str, state: str | None) -> None:
        super().__init__(detail)
        self.error = error
        self.detail = detail
        self.redirect_uri = redirect_uri
        self.state = state


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An authorization request that holds. `query` is as it came: to be read again after a page in between."""

    application: ApplicationRow
    redirect_uri: str
    redirect_uri_given: bool
    scopes: tuple[str, ...]
    state: str | None
    code_challenge: str | None
    query: str


def query_in(raw: bytes) -> str:
    """Return a request's query as ASCII, other bytes percent-encoded; raises UnfitClient when it is too long."""
    if len(raw) > LONGEST_QUERY:
        raise UnfitClient(f"the request is longer than {LONGEST_QUERY:,} bytes")
    return quote(raw, safe="".join(chr(code) for code in range(0x21, 0x7F)))


async def authorization_request(db: AsyncSession, query: str) -> Asked:
    """Return what a query asks for; raises UnfitClient or Declined.

    A parameter without a value was not sent, unknown ones mean nothing (RFC 6749, 3.1). Without `scope` all that the
    application is registered for is asked for (3.3): the person sees each of it.
    """
    given = _parameters_of(query)
    values = {name: each[0] for name, each in given.items() if each[0]}
    application = await _application(db, given)
    redirect_uri = _redirect_uri(application, given)
    state = values.get("state") if len(given.get("state", [])) == 1 else None

    def decline(error: str, detail: str) -> Declined:
        return Declined(error, detail, redirect_uri=redirect_uri, state=state)

    for name, each in given.items():
        if len(each) > 1:
            raise decline("invalid_request", f"{_spoken(name)} is sent more than once")
        if len(each[0]) > _LONGEST:
            raise decline("invalid_request", f"{_spoken(name)} is longer than {_LONGEST:,} characters")
    if "response_type" not in values:
        raise decline("invalid_request", "response_type is missing")
    if values["response_type"] != "code":
        raise decline("unsupported_response_type", "response_type must be code")
    if "authorization_code" not in application.grants:
        raise decline("unauthorized_client", "this application is not registered for authorization_code")
    challenge = values.get("code_challenge")
    if trouble := _trouble_with_pkce(application, challenge, values.get("code_challenge_method")):
        raise decline("invalid_request", trouble)
    scopes = tuple(dict.fromkeys(values["scope"].split(" "))) if "scope" in values else tuple(application.scopes)
    if not scopes or not _are_within(scopes, application):
        raise decline("invalid_scope", "scope must be some of what the application is registered for")
    return Asked(
        application=application,
        redirect_uri=redirect_uri,
        redirect_uri_given="redirect_uri" in values,
        scopes=scopes,
        state=state,
        code_challenge=challenge,
        query=query,
    )


def client_id_in(query: str) -> str:
    """Return whom a query names as its client, "" for what cannot be one: to count by, not to trust."""
    named = _parameters_of(query).get("client_id", [""])[0]
    return named if is_time_ordered(named, "app") else ""


def answer_url(redirect_uri: str, *, issuer: str, state: str | None, values: Mapping[str, str]) -> str:
    """Return where the browser takes the answer: the client's URI with `values`, its state untouched, and `iss`."""
    answer = {**values, **({} if state is None else {"state": state}), "iss": issuer}
    separator = "?" if "?" not in redirect_uri else "" if redirect_uri.endswith(("?", "&")) else "&"
    return f"{redirect_uri}{separator}{urlencode(answer, quote_via=quote, errors='surrogateescape', safe='')}"


def _parameters_of(query: str) -> dict[str, list[str]]:
    """Return every parameter with its values; bytes that are no UTF-8 come as surrogates, so that state stays whole."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="surrogateescape", max_num_fields=_MOST_PARAMETERS)
    except ValueError:
        raise UnfitClient(f"the request has more than {_MOST_PARAMETERS} parameters") from None
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


async def _application(db: AsyncSession, given: Mapping[str, list[str]]) -> ApplicationRow:
    client_ids = given.get("client_id", [""])
    if len(client_ids) > 1:
        raise UnfitClient("the application's client_id is sent more than once")
    if not client_ids[0]:
        raise UnfitClient("the application's client_id is missing")
    application = await application_of(db, client_ids[0])
    if application is None:
        raise UnfitClient("there is no application with this client_id")
    if not application.enabled:
        raise UnfitClient("this application is switched off")
    return application


def _redirect_uri(application: ApplicationRow, given: Mapping[str, list[str]]) -> str:
    """Return where to answer: the given URI when it is registered, else the only one (RFC 6749, 3.1.2.3)."""
    uris = given.get("redirect_uri", [""])
    if len(uris) > 1:
        raise UnfitClient("the application's redirect_uri is sent more than once")
    if uris[0]:
        if not is_registered(uris[0], application.redirect_uris):
            raise UnfitClient("the redirect_uri is not one that the application has registered, character by character")
        return uris[0]
    if len(application.redirect_uris) != 1:
        raise UnfitClient("the application's redirect_uri is missing, and it has not registered exactly one")
    return application.redirect_uris[0]


def _trouble_with_pkce(application: ApplicationRow, challenge: str | None, method: str | None) -> str | None:
    """Return what is wrong with the proof key; a missing method would be `plain` (RFC 7636, 4.3), which nobody gets."""
    if challenge is None:
        if method is not None:
            return "code_challenge_method comes without code_challenge"
        return "code_challenge is missing (RFC 7636)" if _needs_pkce(application) else None
    if method != "S256":
        return "code_challenge_method must be S256"
    if not _CHALLENGE.fullmatch(challenge):
        return "code_challenge must be 43 characters of base64url: SHA-256 of the verifier"
    return None


def _needs_pkce(application: ApplicationRow) -> bool:
    return application.requires_pkce or application.kind == "public"


def _are_within(scopes: tuple[str, ...], application: ApplicationRow) -> bool:
    try:
        return permissions_of(scopes) <= kept_permissions(application.scopes)
    except InvalidInput:
        return False


def _spoken(name: str) -> str:
    """Return a parameter's name as an error_description may hold it (RFC 6749, 4.1.2.1: ASCII, no quotes)."""
    return name if re.fullmatch(r"[A-Za-z0-9_.-]{1,40}", name) else "a parameter"
