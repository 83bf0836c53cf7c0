"""Who is calling, and whether they may: the only place that turns a request's credentials into a caller.

What a credential was found to allow is kept for `KEPT_S`: a revocation holds in every process after that, and
PostgreSQL being away is a 503 after that. A process that revokes forgets at once (`forget`).
"""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, cast, get_type_hints

from cachetools import TTLCache
from fastapi import Request
from fastapi.params import Depends as DependsMarker
from sqlalchemy.ext.asyncio import AsyncEngine

from api.credentials import Caller, Credential, CredentialKind, Lookup, credential_in
from api.database import transaction_of
from api.errors import Flaw, Forbidden, InvalidRequest, NotFound, Unauthenticated
from api.permissions import EVERYTHING, Permission
from api.tokens.uses import Uses
from schemas.addresses import is_within
from schemas.ids import OrganizationId, is_organization_id

ORGANIZATION_HEADER: Final = "Hookline-Organization"
CSRF_HEADER: Final = "X-CSRF-Token"
KEPT_S: Final = 2.0
_MOST_KEPT: Final = 10_000  # verdicts, some hundred bytes each; made-up credentials get none
_REALM: Final = 'Bearer realm="hookline"'
_LONGEST_USER_AGENT: Final = 300
_SAFE: Final = {"GET", "HEAD", "OPTIONS"}


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call a route. `permission` None: whoever is known (`is_open` False), or anybody at all (`is_open`)."""

    permission: Permission | None = None
    is_open: bool = False


@dataclass(frozen=True)
class _Declaration(DependsMarker):
    access: Access = Access()


class UndeclaredRoute(TypeError):
    """A route does not say in its types who may call it."""


class Callers:
    """Knows the credentials. Of each it keeps the SHA-256 only."""

    def __init__(
        self,
        *,
        admin_token: str,
        admin_organization: str,
        session_cookie: str = "",
        lookups: Mapping[CredentialKind, Lookup] | None = None,
        uses: Uses | None = None,
    ) -> None:
        self._admin_digest = _digest_of(admin_token)
        self._admin_organization = OrganizationId(admin_organization)
        self._session_cookie = session_cookie
        self._lookups = dict(lookups or {})
        self._uses = uses
        self._kept: TTLCache[bytes, tuple[float, Caller]] = TTLCache(_MOST_KEPT, KEPT_S)
        self._finding: dict[bytes, asyncio.Task[Caller | None]] = {}  # look-ups on their way: one a credential
        self.forgot = 0  # how often

    async def identify(self, request: Request) -> Caller:
        """Return who is calling.

        Raises Unauthenticated; InvalidRequest when the organization that is named cannot be one; NotFound when it is
        not the caller's; Forbidden for an address that the credential does not allow, and for a browser's request that
        changes something without its CSRF token; DatabaseAway.
        """
        credential = credential_in(request, session_cookie=self._session_cookie)
        if credential is None:
            raise Unauthenticated("send a bearer token: Authorization: Bearer …", headers={"WWW-Authenticate": _REALM})
        organization_id = _organization_named_by(request)
        caller = self._administrator(credential, organization_id) or await self._found(
            cast(AsyncEngine | None, getattr(request.app.state, "engine", None)), credential, organization_id
        )
        if caller is None or (caller.expires_at is not None and caller.expires_at <= datetime.now(UTC)):
            raise Unauthenticated(
                "this credential is not valid (any more)",
                headers={"WWW-Authenticate": f'{_REALM}, error="invalid_token"'},
            )
        if organization_id not in (None, caller.organization_id):
            raise NotFound("there is no such organization, or it is not yours")
        _check_address(request, caller)
        if caller.kind is CredentialKind.SESSION:
            _check_csrf(request, caller)
        if self._uses is not None:
            self._uses.count(caller)
        return caller

    def forget(self) -> None:
        """Forget all verdicts: something was revoked or changed, and this process knows.

        A look-up that is on its way may have read what was before, so nobody else waits for it, and it is not kept.
        Until the change is committed others still see, and keep, what was before: whoever forgets in a transaction
        forgets again after it. `JsonRoute` does that for its routes.
        """
        self.forgot += 1
        self._kept.clear()
        self._finding.clear()

    def _administrator(self, credential: Credential, organization_id: OrganizationId | None) -> Caller | None:
        # Digests of equal length in constant time: how long it takes says nothing about the token. The administrator's
        # token may look like any other.
        if credential.kind is CredentialKind.SESSION or not hmac.compare_digest(
            _digest_of(credential.value), self._admin_digest
        ):
            return None
        return Caller(
            organization_id=organization_id or self._admin_organization,
            name="administrator",
            kind=CredentialKind.ADMINISTRATOR,
            id="administrator",
            permissions=EVERYTHING,
        )

    async def _found(
        self, engine: AsyncEngine | None, credential: Credential, organization_id: OrganizationId | None
    ) -> Caller | None:
        look_up = self._lookups.get(credential.kind)
        if look_up is None or engine is None:
            return None
        # What is asked is part of the key only where it changes the answer: a session's user may be in several.
        asked = organization_id if credential.kind is CredentialKind.SESSION else None
        key = _digest_of(f"{credential.kind} {asked or ''} {credential.value}")
        kept = self._kept.get(key)
        if kept is not None and time.monotonic() - kept[0] < KEPT_S:
            return kept[1]
        finding = self._finding.get(key)
        if finding is None:
            finding = asyncio.create_task(self._look_up(key, look_up, engine, credential.value, asked))
            self._finding[key] = finding
            finding.add_done_callback(_look_at)
        # Shielded: whoever asked first may hang up, and the others still want the answer.
        return await asyncio.shield(finding)

    async def _look_up(
        self, key: bytes, look_up: Lookup, engine: AsyncEngine, value: str, asked: OrganizationId | None
    ) -> Caller | None:
        began = time.monotonic()
        is_current = False
        try:
            async with transaction_of(engine) as db:
                found = await look_up(db, value, asked)
        finally:
            if self._finding.get(key) is asyncio.current_task():
                del self._finding[key]
                is_current = True
        if found is not None and is_current:  # else it may have been read before what was revoked
            self._kept[key] = began, found
        return found


def _look_at(finding: asyncio.Task[Caller | None]) -> None:
    """Look at how a look-up ended: when everybody who waited hung up, nobody else does, and asyncio complains."""
    if not finding.cancelled():
        finding.exception()


def check_access(caller: Caller, access: Access) -> None:
    """Raise Forbidden unless the caller may (RFC 6750, 3.1)."""
    wanted = access.permission
    if wanted is None or wanted in caller.permissions:
        return
    raise Forbidden(
        f"this needs the permission {wanted}, which the credential does not have",
        headers={"WWW-Authenticate": f'{_REALM}, error="insufficient_scope", scope="{wanted}"'},
    )


def check_may_give(caller: Caller, permissions: frozenset[Permission], *, pointer: str) -> None:
    """Raise InvalidRequest unless the caller has every permission that it wants to give: nobody gives more than it has.

    The administrator gives whatever can be given.
    """
    beyond = sorted(permissions - caller.permissions)
    if beyond:
        flaw = Flaw(f"you cannot give what you do not have: {', '.join(beyond[:10])}", pointer=pointer)
        raise InvalidRequest(f"{pointer}: {flaw.detail}", flaws=[flaw])


def _organization_named_by(request: Request) -> OrganizationId | None:
    named = request.headers.get(ORGANIZATION_HEADER)
    if named is None:
        return None
    if not is_organization_id(named):
        flaw = Flaw("must be 1 to 100 letters, digits and . _ : -", header=ORGANIZATION_HEADER)
        raise InvalidRequest(f"{ORGANIZATION_HEADER}: {flaw.detail}", flaws=[flaw])
    return OrganizationId(named)


def _check_address(request: Request, caller: Caller) -> None:
    if not caller.allowed_addresses:
        return
    if not is_within(address_of(request), caller.allowed_addresses):  # an IPv4-mapped address is the IPv4 one
        raise Forbidden("this credential may not be used from your address")


def _check_csrf(request: Request, caller: Caller) -> None:
    if request.method in _SAFE:
        return
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise Forbidden("another site's page sent this request")
    given = request.headers.get(CSRF_HEADER, "")
    if caller.csrf_token is None or not hmac.compare_digest(given.encode(), caller.csrf_token.encode()):
        raise Forbidden(f"send the session's CSRF token in {CSRF_HEADER}: GET /api/v1/sessions/current has it")


def _digest_of(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


# Dependencies are async though none waits: FastAPI runs others in threads, 0.2 ms each.
async def _caller(request: Request) -> Caller:
    return cast(Caller, request.state.caller)  # put there by JsonRoute, before the body is read


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who calls a route that is open to anybody: nothing is known but the address."""

    address: str


async def _visitor(request: Request) -> Visitor:
    return Visitor(address_of(request))


def address_of(request: Request) -> str:
    """Return the address that a request came from, "" when the server does not know it."""
    return "" if request.client is None else request.client.host


def kept_user_agent(text: str) -> str:
    """Return what of a User-Agent is kept and shown: what is printable, 300 characters at most."""
    return "".join(each for each in text if each.isprintable())[:_LONGEST_USER_AGENT]


def may(permission: Permission) -> Any:
    """Return what makes a route's caller one who has `permission`: `caller: Annotated[Caller, may(…)]`."""
    return _Declaration(_caller, access=Access(permission))


AnyCaller = Annotated[Caller, _Declaration(_caller, access=Access())]
"""Whoever is known: for what is a caller's own."""

Anybody = Annotated[Visitor, _Declaration(_visitor, access=Access(is_open=True))]
"""Whoever comes: for signing in, and links in e-mails."""


def access_of(endpoint: Callable[..., Any]) -> Access:
    """Return what a route declares in its types; raises UndeclaredRoute when it does not, or twice."""
    hints = get_type_hints(endpoint, include_extras=True).values()
    found = [
        meta.access for hint in hints for meta in getattr(hint, "__metadata__", ()) if isinstance(meta, _Declaration)
    ]
    if len(found) != 1:
        raise UndeclaredRoute(
            f"{endpoint.__module__}.{endpoint.__qualname__} must say once who may call it: "
            "Annotated[Caller, may(Permission.…)], AnyCaller or Anybody"
        )
    return found[0]
