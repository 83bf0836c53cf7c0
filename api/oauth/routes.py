"""`/oauth/…` and `/.well-known/…`: the authorization server's endpoints for clients. What people see is in `pages.py`.

They are open to whoever knows a client's id and secret, so none takes a caller, and their transactions are bound to no
organization: codes, tokens and keys belong to none that PostgreSQL could show them to.
"""

from typing import Any, Final

from fastapi import APIRouter, Request, Response

from api.errors import NotFound
from api.oauth.describing import ONE_TOKEN_FORM, TOKEN_FORM, errors_of, taking_form
from api.oauth.endpoint import answered
from api.oauth.introspecting import introspect
from api.oauth.issuing import issue
from api.oauth.metadata import WELL_KNOWN, issuers_path, metadata_of
from api.oauth.revoking import revoke
from api.problems import documented
from api.services import AllServices

router = APIRouter(tags=["oauth"])

_JSON: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "As asked.", "content": {"application/json": {"schema": {"type": "object"}}}}
}
_ERRORS: Final = {**_JSON, **errors_of(400, 401, 413, 415, 429, 503)}
_PUBLIC: Final = {"Cache-Control": "public, max-age=3600"}  # a key is published a day before it signs


@router.post(
    "/oauth/token",
    operation_id="issue_token",
    response_class=Response,
    responses=_ERRORS,
    openapi_extra=taking_form(TOKEN_FORM, required="grant_type"),
)
async def issue_token(request: Request, services: AllServices) -> Response:
    """Give tokens for a code, a refresh token or a client itself (RFC 6749, 3.2)."""
    return await answered(request, services, lambda form, shown: issue(request, services, form, shown))


@router.post(
    "/oauth/revoke",
    operation_id="revoke_token",
    response_class=Response,
    responses=_ERRORS,
    openapi_extra=taking_form(ONE_TOKEN_FORM, required="token"),
)
async def revoke_token(request: Request, services: AllServices) -> Response:
    """Revoke a token (RFC 7009); the answer to one that is not the client's, or none at all, is the same."""
    return await answered(request, services, lambda form, shown: revoke(request, services, form, shown))


@router.post(
    "/oauth/introspect",
    operation_id="introspect_token",
    response_class=Response,
    responses=_ERRORS,
    openapi_extra=taking_form(ONE_TOKEN_FORM, required="token"),
)
async def introspect_token(request: Request, services: AllServices) -> Response:
    """Say what a token allows at this moment (RFC 7662), to confidential clients of its application's organization."""
    return await answered(request, services, lambda form, shown: introspect(services, form, shown))


@router.get("/oauth/jwks.json", operation_id="get_signing_keys", responses={**_JSON, **documented(503)})
async def get_signing_keys(services: AllServices, response: Response) -> dict[str, Any]:
    """Show the public keys that verify access tokens (RFC 7517, 5)."""
    response.headers.update(_PUBLIC)
    return {"keys": await services.keys.published(services.engine)}


@router.get(WELL_KNOWN, operation_id="get_oauth_metadata", responses=_JSON)
async def get_oauth_metadata(services: AllServices, response: Response) -> dict[str, Any]:
    """Show the server's metadata (RFC 8414)."""
    response.headers.update(_PUBLIC)
    return metadata_of(services.settings)


@router.get(f"{WELL_KNOWN}/{{path:path}}", include_in_schema=False)
async def get_oauth_metadata_of_issuer(path: str, services: AllServices, response: Response) -> dict[str, Any]:
    """Show the same where an issuer with a path has it (RFC 8414, 3.1)."""
    if f"/{path}" != issuers_path(services.settings):
        raise NotFound("there is no such issuer here")
    return await get_oauth_metadata(services, response)
