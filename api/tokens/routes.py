"""`/api/v1/api-tokens`: what machines call with, shown once when it is made and never again."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated, Final

import uuid_utils
from fastapi import APIRouter, Query, Request, Response

from api.audit.recording import note
from api.callers import check_may_give, may
from api.credentials import Caller
from api.database import Db
from api.errors import Conflict, NotFound
from api.lists import Cursor, Limit, Page, id_after, page_of
from api.organizations.settling import settled_organization
from api.permissions import Permission, permissions_of
from api.preconditions import conditional, etag_of, is_unchanged
from api.problems import documented
from api.requests import JsonRoute
from api.services import AllServices
from api.tokens import announcing, tables
from api.tokens.bodies import NewToken, TokenBody, TokenOnce, TokenPatch, TokenUsage, shown, usage_of
from api.tokens.bounds import Bounds, checked_expiry, earlier_expiry, within_callers
from api.tokens.making import digest_of, new_token, prefix_of
from api.tokens.tables import TokenRow, TokenState
from schemas.addresses import checked_networks
from schemas.ids import is_time_ordered

PATH: Final = "/api/v1/api-tokens"
USAGE_SPAN: Final = timedelta(days=90)

router = APIRouter(
    prefix=PATH, tags=["api-tokens"], route_class=JsonRoute, responses=documented(401, 403, 422, 503)
)  # fmt: skip

Reader = Annotated[Caller, may(Permission.TOKENS_READ)]
Creator = Annotated[Caller, may(Permission.TOKENS_CREATE)]
Changer = Annotated[Caller, may(Permission.TOKENS_UPDATE)]
Deleter = Annotated[Caller, may(Permission.TOKENS_DELETE)]
State = Annotated[TokenState | None, Query(description="Those whose `state` it is.")]
_with_body = documented(400, 413, 415)


@router.post("", status_code=201, operation_id="create_api_token", responses=_with_body)
async def create_api_token(body: NewToken, caller: Creator, db: Db, response: Response) -> TokenOnce:
    """Make an API token. The token itself is in this answer and in no other."""
    check_may_give(caller, permissions_of(body.scopes), pointer="/scopes")
    now = datetime.now(UTC)
    asked = Bounds(
        checked_expiry(body.expires_at, now=now), checked_networks(body.allowed_addresses or ()), body.rate_limit
    )
    bounds = within_callers(asked, caller)
    await settled_organization(db, caller)
    token = new_token()
    row = TokenRow(
        id=f"tok_{uuid_utils.uuid7().hex}",
        organization_id=caller.organization_id,
        version=1,
        name=body.name,
        prefix=prefix_of(token),
        digest=digest_of(token),
        scopes=list(body.scopes),
        expires_at=bounds.expires_at,
        allowed_addresses=list(bounds.allowed_addresses),
        rate_limit=bounds.rate_limit,
        created_by=caller.user_id or caller.id,
        created_at=now,
        updated_at=now,
    )
    db.add(row)
    await db.flush()
    await announcing.announce_created(db, row)
    response.headers["Location"] = f"{PATH}/{row.id}"
    response.headers["ETag"] = etag_of(row.version)
    return TokenOnce(**dict(shown(row, now=now)), token=token)


@router.get("", operation_id="list_api_tokens")
async def list_api_tokens(
    *, caller: Reader, db: Db, limit: Limit = 25, cursor: Cursor = None, state: State = None
) -> Page[TokenBody]:
    """List the organization's API tokens, oldest first; revoked ones stay among them."""
    now = datetime.now(UTC)
    rows = await tables.tokens_of(
        db, caller.organization_id, after=id_after(cursor), limit=limit + 1, state=state, now=now
    )
    return page_of([shown(row, now=now) for row in rows], limit=limit, ids=[row.id for row in rows])


@router.get("/{token_id}", operation_id="get_api_token", responses=documented(404, 412))
async def get_api_token(token_id: str, caller: Reader, db: Db, response: Response) -> TokenBody:
    """Show one API token; never the token itself."""
    row = _there(await tables.token_of(db, caller.organization_id, _asked(token_id)))
    body = shown(row, now=datetime.now(UTC))
    # It expires, and is used, without a new version: what stands behind the dash says how the version was shown.
    response.headers["ETag"] = f'"{row.version}-{sha256(body.model_dump_json().encode()).hexdigest()[:8]}"'
    return body


@router.get("/{token_id}/usage", operation_id="get_api_token_usage", responses=documented(404, 412))
async def get_api_token_usage(token_id: str, caller: Reader, db: Db) -> TokenUsage:
    """Show how much an API token was used, by day."""
    row = _there(await tables.token_of(db, caller.organization_id, _asked(token_id)))
    since = (datetime.now(UTC) - USAGE_SPAN).date() + timedelta(days=1)
    return usage_of(row, list(await tables.uses_of(db, caller.organization_id, row.id, since=since)))


@router.patch(
    "/{token_id}",
    operation_id="change_api_token",
    dependencies=[conditional],
    responses={**documented(404, 409, 412), **_with_body},
)
async def change_api_token(
    *,
    token_id: str,
    body: TokenPatch,
    caller: Changer,
    db: Db,
    services: AllServices,
    request: Request,
    response: Response,
) -> TokenBody:
    """Change what the body names, as a merge patch (RFC 7396). It holds within two seconds, here at once."""
    now = datetime.now(UTC)
    row = await _found_to_change(db, caller, token_id, request)
    if row.revoked_at is not None:
        raise Conflict("it is revoked: there is nothing left to change")
    before = announcing.settings_of(row)
    _apply(body, row, caller, now=now)
    after = announcing.settings_of(row)
    previous = {name: value for name, value in before.items() if after[name] != value}
    if previous:
        row.version += 1
        row.updated_at = now
        await db.flush()
        await announcing.announce_updated(db, row, previous)
        note(request, changes={"previous": previous})
        services.callers.forget()
    response.headers["ETag"] = etag_of(row.version)
    return shown(row, now=now)


@router.delete(
    "/{token_id}",
    status_code=HTTPStatus.NO_CONTENT,
    operation_id="revoke_api_token",
    response_class=Response,
    dependencies=[conditional],
    responses=documented(404, 412),
)
async def revoke_api_token(
    token_id: str, caller: Deleter, db: Db, services: AllServices, request: Request
) -> None:  # fmt: skip
    """Revoke an API token: within two seconds nobody takes it any more. It stays in the list, as revoked."""
    row = await _found_to_change(db, caller, token_id, request)
    if row.revoked_at is not None:
        return
    row.revoked_at = row.updated_at = datetime.now(UTC)
    row.version += 1
    await db.flush()
    await announcing.announce_revoked(db, row, caller)
    note(request, changes={"name": row.name})
    services.callers.forget()


def _apply(body: TokenPatch, row: TokenRow, caller: Caller, *, now: datetime) -> None:
    given = body.model_fields_set
    expires_at = earlier_expiry(body.expires_at, row.expires_at, now=now) if "expires_at" in given else None
    asked = Bounds(expires_at, checked_networks(body.allowed_addresses or ()), body.rate_limit)
    bounds = within_callers(asked, caller)
    if "name" in given:
        row.name = body.name
    if "expires_at" in given:
        row.expires_at = bounds.expires_at
    if "allowed_addresses" in given:
        row.allowed_addresses = list(bounds.allowed_addresses)
    if "rate_limit" in given:
        row.rate_limit = bounds.rate_limit


async def _found_to_change(db: Db, caller: Caller, token_id: str, request: Request) -> TokenRow:
    row = _there(await tables.token_to_change(db, caller.organization_id, _asked(token_id)))
    is_unchanged(request, etag_of(row.version))
    return row


def _asked(token_id: str) -> str:
    if not is_time_ordered(token_id, "tok"):
        raise _not_there()
    return token_id


def _there(row: TokenRow | None) -> TokenRow:
    if row is None:
        raise _not_there()
    return row


def _not_there() -> NotFound:
    return NotFound("this organization has no API token of this id")
