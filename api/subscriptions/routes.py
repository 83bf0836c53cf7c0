"""`/api/v1/subscriptions`: who may call is in a route's types, every query is scoped by the caller's organization."""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.callers import AnyCaller, Caller, bearer
from api.database import Db
from api.errors import Flaw, InvalidRequest, NotFound
from api.lists import Cursor, Limit, Page, id_after, page_of
from api.preconditions import etag_of, is_unchanged
from api.problems import documented
from api.requests import JsonRoute
from api.services import AllServices
from api.subscriptions import tables
from api.subscriptions.bodies import CreatedSubscription, NewSubscription, SubscriptionBody, SubscriptionPatch
from api.subscriptions.changes import apply, row_of, shown, shown_once
from api.subscriptions.endpoints import checked_endpoint
from api.subscriptions.tables import SubscriptionRow
from schemas.ids import is_time_ordered

PATH = "/api/v1/subscriptions"

router = APIRouter(
    prefix=PATH,
    tags=["subscriptions"],
    route_class=JsonRoute,
    dependencies=[bearer],
    responses=documented(401, 422, 503),
)
_with_body = documented(400, 413, 415)


class State(StrEnum):
    """Which subscriptions a list holds."""

    ENABLED = "enabled"
    DISABLED = "disabled"


EventType = Annotated[
    str | None, Query(min_length=1, max_length=200, description="Those that would receive it; or a pattern.")
]
Text = Annotated[str | None, Query(min_length=1, max_length=200, description="In the URL or the description.")]


@router.post("", status_code=201, operation_id="create_subscription", responses=_with_body)
async def create_subscription(
    body: NewSubscription, caller: AnyCaller, db: Db, services: AllServices, response: Response
) -> CreatedSubscription:
    """Make a subscription. Its secret is in this answer and in no other."""
    url = await checked_endpoint(body.url, development=services.settings.development)
    row, secret = row_of(body, url=url, organization_id=caller.organization_id, sealer=services.sealer)
    await tables.stored(db, row)
    response.headers["Location"] = f"{PATH}/{row.id}"
    response.headers["ETag"] = etag_of(row.version)
    return shown_once(row, secret, services.sealer)


@router.get("", operation_id="list_subscriptions")
async def list_subscriptions(
    *,
    caller: AnyCaller,
    db: Db,
    services: AllServices,
    limit: Limit = 25,
    cursor: Cursor = None,
    state: State | None = None,
    event_type: EventType = None,
    text: Text = None,
) -> Page[SubscriptionBody]:
    """List the organization's subscriptions, oldest first."""
    found = await tables.subscriptions_of(
        db,
        caller.organization_id,
        after=id_after(cursor),
        limit=limit + 1,
        enabled=None if state is None else state is State.ENABLED,
        event_type=_without_nul(event_type, "event_type"),
        text=_without_nul(text, "text"),
    )
    bodies = [shown(row, services.sealer) for row in found]
    return page_of(bodies, limit=limit, ids=[row.id for row in found])


@router.get(
    "/{subscription_id}",
    operation_id="get_subscription",
    responses={**documented(404, 412), 304: {"description": "It is as If-None-Match knows it."}},
    response_model=SubscriptionBody,
)
async def get_subscription(
    *, subscription_id: str, caller: AnyCaller, db: Db, services: AllServices, request: Request, response: Response
) -> SubscriptionBody | Response:
    """Show one subscription."""
    row = await _found(db, caller, subscription_id)
    etag = etag_of(row.version)
    if is_unchanged(request, etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": etag})
    response.headers["ETag"] = etag
    return shown(row, services.sealer)


@router.patch(
    "/{subscription_id}",
    operation_id="change_subscription",
    responses={**documented(404, 412), **_with_body},
)
async def change_subscription(
    *,
    subscription_id: str,
    body: SubscriptionPatch,
    caller: AnyCaller,
    db: Db,
    services: AllServices,
    request: Request,
    response: Response,
) -> SubscriptionBody:
    """Change what the body names, as a merge patch (RFC 7396). A patch that names nothing changes nothing."""
    url = None
    if "url" in body.model_fields_set:  # before the row is locked: resolving a name may take seconds
        url = await checked_endpoint(body.url, development=services.settings.development)
    row = await _found_to_change(db, caller, subscription_id, request)
    if body.model_fields_set:
        apply(body, row, url=url, sealer=services.sealer)
        await tables.stored(db, row)
    response.headers["ETag"] = etag_of(row.version)
    return shown(row, services.sealer)


@router.delete(
    "/{subscription_id}",
    status_code=204,
    operation_id="delete_subscription",
    response_class=Response,
    responses=documented(404, 412),
)
async def delete_subscription(subscription_id: str, caller: AnyCaller, db: Db, request: Request) -> None:
    """Delete a subscription. What waits to be sent to it is not sent any more."""
    await tables.removed(db, await _found_to_change(db, caller, subscription_id, request))


async def _found(db: Db, caller: Caller, subscription_id: str) -> SubscriptionRow:
    row = None
    if is_time_ordered(subscription_id, "sub"):
        row = await tables.subscription_of(db, caller.organization_id, subscription_id)
    return _there(row)


async def _found_to_change(db: Db, caller: Caller, subscription_id: str, request: Request) -> SubscriptionRow:
    row = None
    if is_time_ordered(subscription_id, "sub"):
        row = await tables.subscription_to_change(db, caller.organization_id, subscription_id)
    row = _there(row)
    is_unchanged(request, etag_of(row.version))
    return row


def _there(row: SubscriptionRow | None) -> SubscriptionRow:
    if row is None:
        raise NotFound("this organization has no subscription of this id")
    return row


def _without_nul(text: str | None, parameter: str) -> str | None:
    if text is not None and "\x00" in text:  # PostgreSQL keeps none, so there is nothing to find
        flaw = Flaw("holds NUL (U+0000)", parameter=parameter)
        raise InvalidRequest(f"{parameter}: {flaw.detail}", flaws=[flaw])
    return text
