"""Totals over REST: of an organization, and of one subscription."""

from typing import Annotated

from fastapi import APIRouter

from api.callers import may
from api.credentials import Caller
from api.database import Db
from api.errors import NotFound
from api.permissions import Permission
from api.problems import documented
from api.requests import JsonRoute
from api.stats.bodies import Stats, SubscriptionStats
from api.stats.reading import health_of, subscriptions_of, totals_of
from api.subscriptions.tables import subscription_of
from schemas.ids import is_time_ordered

router = APIRouter(prefix="/api/v1", tags=["stats"], route_class=JsonRoute, responses=documented(401, 503))

Reader = Annotated[Caller, may(Permission.DELIVERIES_READ)]


@router.get("/stats", operation_id="get_stats", responses=documented(422))
async def get_stats(caller: Reader, db: Db) -> Stats:
    """Show the organization's totals and its last seven days."""
    every, active = await subscriptions_of(db, caller.organization_id)
    totals = await totals_of(db, caller.organization_id)
    return Stats(**dict(totals), subscriptions=every, active=active)


@router.get(
    "/subscriptions/{subscription_id}/stats",
    operation_id="get_stats_of_subscription",
    responses=documented(404, 422),
)
async def get_stats_of_subscription(subscription_id: str, caller: Reader, db: Db) -> SubscriptionStats:
    """Show a subscription's totals, its last seven days and its failures in a row."""
    if (
        not is_time_ordered(subscription_id, "sub")
        or await subscription_of(db, caller.organization_id, subscription_id) is None
    ):
        raise NotFound("this organization has no subscription of this id")
    totals = await totals_of(db, caller.organization_id, subscription_id=subscription_id)
    health = await health_of(db, caller.organization_id, subscription_id)
    return SubscriptionStats(
        **dict(totals),
        consecutive_failures=0 if health is None else health.failed_attempts,
        failing_since=None if health is None else health.failing_since,
        last_success_at=None if health is None else health.last_success_at,
        last_attempt_at=None if health is None else health.last_attempt_at,
    )
