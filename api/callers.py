"""Who is calling: the only place that turns a request's credentials into a caller.

Today there is one credential, the administrator's bearer token (RFC 6750, 2.1). Organizations' own keys join here.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Annotated, Final, cast

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from api.errors import Flaw, InvalidRequest, Unauthenticated
from schemas.ids import OrganizationId, is_organization_id

ORGANIZATION_HEADER: Final = "Hookline-Organization"
_REALM: Final = 'Bearer realm="hookline"'


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and for which organization: every query is scoped by `organization_id`."""

    organization_id: OrganizationId
    name: str


class Callers:
    """Knows the credentials. It keeps their SHA-256 only."""

    def __init__(self, *, admin_token: str, admin_organization: str) -> None:
        self._admin_digest = _digest_of(admin_token)
        self._admin_organization = OrganizationId(admin_organization)

    def identify(self, request: Request) -> Caller:
        """Return who is calling.

        Raises Unauthenticated, and InvalidRequest when the administrator names an organization that cannot be one.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthenticated("send a bearer token: Authorization: Bearer …", headers={"WWW-Authenticate": _REALM})
        # Digests of equal length in constant time: how long it takes says nothing about the token.
        if not hmac.compare_digest(_digest_of(token.strip()), self._admin_digest):
            raise Unauthenticated(
                "this token is not valid", headers={"WWW-Authenticate": f'{_REALM}, error="invalid_token"'}
            )
        return Caller(self._organization_named_by(request), "administrator")

    def _organization_named_by(self, request: Request) -> OrganizationId:
        named = request.headers.get(ORGANIZATION_HEADER)
        if named is None:
            return self._admin_organization
        if not is_organization_id(named):
            flaw = Flaw("must be 1 to 100 letters, digits and . _ : -", header=ORGANIZATION_HEADER)
            raise InvalidRequest(f"{ORGANIZATION_HEADER}: {flaw.detail}", flaws=[flaw])
        return OrganizationId(named)


def _digest_of(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


# Dependencies are async though none waits: FastAPI runs others in threads, 0.2 ms each.
async def _caller(request: Request) -> Caller:
    return cast(Caller, request.state.caller)  # put there by JsonRoute, before the body is read


bearer = Security(HTTPBearer(auto_error=False, description="The administrator's token."))  # for OpenAPI

AnyCaller = Annotated[Caller, Depends(_caller)]
