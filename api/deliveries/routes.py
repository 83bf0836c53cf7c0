"""Reading the delivery log over REST: what was sent, to whom, and what came of it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query

from api.callers import may
from api.credentials import Caller
from api.database import Db
from api.deliveries.bodies import DeliveryBody, DeliveryDetail, shown, shown_with_attempts
from api.deliveries.filters import Filters, Wanted
from api.deliveries.reading import attempts_of, deliveries_of, delivery_of
from api.deliveries.sent_bodies import bodies_sent
from api.errors import NotFound
from api.lists import Cursor, Limit, Page, Place, page_by_time, place_after
from api.parameters import WITHOUT_NUL
from api.permissions import Permission
from api.problems import documented
from api.requests import JsonRoute
from api.subscriptions.tables import subscription_of
from schemas.ids import OrganizationId, is_time_ordered

router = APIRouter(
    prefix="/api/v1",
    tags=["deliveries"],
    route_class=JsonRoute,
    responses=documented(401, 422, 503),
)

Reader = Annotated[Caller, may(Permission.DELIVERIES_READ)]

Subscription = Annotated[str | None, Query(min_length=1, max_length=100), WITHOUT_NUL]


@router.get("/deliveries", operation_id="list_deliveries")
async def list_deliveries(
    *,
    caller: Reader,
    db: Db,
    wanted: Filters,
    subscription_id: Subscription = None,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Page[DeliveryBody]:
    """List the organization's deliveries, newest event first."""
    return await _page(db, caller.organization_id, replace(wanted, subscription_id=subscription_id), limit, cursor)


@router.get(
    "/subscriptions/{subscription_id}/deliveries",
    operation_id="list_deliveries_of_subscription",
    responses=documented(404),
)
async def list_deliveries_of_subscription(
    *, subscription_id: str, caller: Reader, db: Db, wanted: Filters, limit: Limit = 25, cursor: Cursor = None
) -> Page[DeliveryBody]:
    """List a subscription's deliveries, newest event first. Those of a deleted one are in the list of all."""
    if (
        not is_time_ordered(subscription_id, "sub")
        or await subscription_of(db, caller.organization_id, subscription_id) is None
    ):
        raise NotFound("this organization has no subscription of this id")
    return await _page(db, caller.organization_id, replace(wanted, subscription_id=subscription_id), limit, cursor)


@router.get(
    "/deliveries/{delivery_id}",
    operation_id="get_delivery",
    responses=documented(404, 412),
)
async def get_delivery(delivery_id: str, caller: Reader, db: Db) -> DeliveryDetail:
    """Show one delivery and its attempts: of more than 100 the newest."""
    row = await delivery_of(db, caller.organization_id, delivery_id) if is_time_ordered(delivery_id, "dlv") else None
    if row is None:
        raise NotFound("this organization has no delivery of this id")
    attempts = await attempts_of(db, row)
    bodies = await bodies_sent(db, row, attempts)
    return shown_with_attempts(row, attempts, bodies=bodies, now=datetime.now(UTC))


async def _page(
    db: Db, organization_id: OrganizationId, wanted: Wanted, limit: int, cursor: str | None
) -> Page[DeliveryBody]:
    found = await deliveries_of(db, organization_id, wanted, before=place_after(cursor), limit=limit + 1)
    now = datetime.now(UTC)
    bodies = [shown(row, now=now) for row in found]
    return page_by_time(bodies, limit=limit, places=[Place(row.at, row.id) for row in found])
