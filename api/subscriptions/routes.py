"""`/api/v1/subscriptions`: who may call is in a route's types, every query is scoped by the caller's organization."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.callers import may
from api.credentials import Caller
from api.database import Db
from api.event_types.matching import check_patterns
from api.lists import Cursor, Limit, Page, id_after, page_of
from api.parameters import WITHOUT_NUL
from api.permissions import Permission
from api.preconditions import conditional
from api.problems import documented
from api.requests import JsonRoute
from api.services import AllServices
from api.subscriptions import tables
from api.subscriptions.answering import answered, answered_once
from api.subscriptions.bodies import (
    NewSubscription,
    SubscriptionBody,
    SubscriptionPatch,
    SubscriptionReplacement,
    SubscriptionWithSecret,
)
from api.subscriptions.changes import apply, replace, row_of, shown
from api.subscriptions.endpoints import checked_endpoint
from api.subscriptions.filtering import filter_errors_of
from api.subscriptions.finding import PATH, found, found_to_change
from api.subscriptions.standing import LIVE, delivering_of
from api.subscriptions.tables import SubscriptionState

router = APIRouter(
    prefix=PATH,
    tags=["subscriptions"],
    route_class=JsonRoute,
    responses=documented(401, 422, 503),
)

Creator = Annotated[Caller, may(Permission.SUBSCRIPTIONS_CREATE)]
Reader = Annotated[Caller, may(Permission.SUBSCRIPTIONS_READ)]
Changer = Annotated[Caller, may(Permission.SUBSCRIPTIONS_UPDATE)]
Deleter = Annotated[Caller, may(Permission.SUBSCRIPTIONS_DELETE)]
_with_body = documented(400, 413, 415)


State = Annotated[
    SubscriptionState | None,
    Query(description="Those whose `state` it is: a paused or a failing one is not among the enabled."),
]
EventType = Annotated[
    str | None,
    Query(min_length=1, max_length=200, description="Those that would receive it; or a pattern."),
    WITHOUT_NUL,
]
Text = Annotated[
    str | None, Query(min_length=1, max_length=200, description="In the URL or the description."), WITHOUT_NUL
]


@router.post("", status_code=201, operation_id="create_subscription", responses=_with_body)
async def create_subscription(
    body: NewSubscription, caller: Creator, db: Db, services: AllServices, response: Response
) -> SubscriptionWithSecret:
    """Make a subscription. Its secret is in this answer and in no other."""
    url = await checked_endpoint(body.url, development=services.settings.development, ports=services.settings.ports)
    await check_patterns(db, caller.organization_id, body.event_types)
    row, secret = row_of(body, url=url, organization_id=caller.organization_id, sealer=services.sealer)
    await tables.stored(db, row)
    response.headers["Location"] = f"{PATH}/{row.id}"
    return await answered_once(db, services, row, secret, response)


@router.get("", operation_id="list_subscriptions")
async def list_subscriptions(
    *,
    caller: Reader,
    db: Db,
    services: AllServices,
    limit: Limit = 25,
    cursor: Cursor = None,
    state: State = None,
    event_type: EventType = None,
    text: Text = None,
) -> Page[SubscriptionBody]:
    """List the organization's subscriptions, oldest first."""
    rows = await tables.subscriptions_of(
        db,
        caller.organization_id,
        failing_after=services.settings.failing_after,
        after=id_after(cursor),
        limit=limit + 1,
        state=state,
        event_type=event_type,
        text=text,
    )
    behind = await delivering_of(db, caller.organization_id, [row.id for row, _ in rows])
    errors = await filter_errors_of(db, caller.organization_id, [row for row, _ in rows])
    bodies = [
        shown(row, state, services.sealer, delivering=behind.get(row.id, LIVE), filter_errors=errors.get(row.id))
        for row, state in rows
    ]
    return page_of(bodies, limit=limit, ids=[row.id for row, _ in rows])


@router.get(
    "/{subscription_id}",
    operation_id="get_subscription",
    responses=documented(404, 412),
)
async def get_subscription(
    *, subscription_id: str, caller: Reader, db: Db, services: AllServices, response: Response
) -> SubscriptionBody:
    """Show one subscription."""
    return await answered(db, services, await found(db, caller, subscription_id), response)


@router.put(
    "/{subscription_id}",
    operation_id="replace_subscription",
    dependencies=[conditional],
    responses={**documented(404, 412), **_with_body},
)
async def replace_subscription(
    *,
    subscription_id: str,
    body: SubscriptionReplacement,
    caller: Changer,
    db: Db,
    services: AllServices,
    request: Request,
    response: Response,
) -> SubscriptionBody:
    """Replace all of a subscription but its secret: what the body leaves out gets its default."""
    url = await checked_endpoint(body.url, development=services.settings.development, ports=services.settings.ports)
    await check_patterns(db, caller.organization_id, body.event_types)
    row = await found_to_change(db, caller, subscription_id, request)
    replace(body, row, url=url, sealer=services.sealer)
    await tables.stored(db, row)
    return await answered(db, services, row, response)


@router.patch(
    "/{subscription_id}",
    operation_id="change_subscription",
    dependencies=[conditional],
    responses={**documented(404, 412), **_with_body},
)
async def change_subscription(
    *,
    subscription_id: str,
    body: SubscriptionPatch,
    caller: Changer,
    db: Db,
    services: AllServices,
    request: Request,
    response: Response,
) -> SubscriptionBody:
    """Change what the body names, as a merge patch (RFC 7396). A patch that names nothing changes nothing."""
    url = None
    if "url" in body.model_fields_set:  # before the row is locked: resolving a name may take seconds
        url = await checked_endpoint(body.url, development=services.settings.development, ports=services.settings.ports)
    await check_patterns(db, caller.organization_id, body.event_types)
    row = await found_to_change(db, caller, subscription_id, request)
    if body.model_fields_set:
        apply(body, row, url=url, sealer=services.sealer)
        await tables.stored(db, row)
    return await answered(db, services, row, response)


@router.delete(
    "/{subscription_id}",
    status_code=204,
    operation_id="delete_subscription",
    response_class=Response,
    dependencies=[conditional],
    responses=documented(404, 412),
)
async def delete_subscription(subscription_id: str, caller: Deleter, db: Db, request: Request) -> None:
    """Delete a subscription. What waits to be sent to it is not sent any more."""
    await tables.removed(db, await found_to_change(db, caller, subscription_id, request))
