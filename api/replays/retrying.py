"""`POST /api/v1/deliveries/{id}/retry`: one delivery again, now: a replay of one, before all others, at no rate."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Response

from api.callers import may
from api.credentials import Caller
from api.database import Db
from api.deliveries.tables import DeliveryRow, DeliveryState
from api.errors import Conflict, NotFound
from api.permissions import Permission
from api.problems import documented
from api.replays import queries
from api.replays.beginning import PATH
from api.replays.bodies import RetriedDelivery
from api.replays.deciding import is_being_sent
from api.replays.tables import ReplayRow, ReplayState
from api.requests import JsonRoute
from api.services import AllServices
from api.subscriptions.tables import subscription_of
from schemas.ids import OrganizationId, is_time_ordered, new_replay_id

router = APIRouter(
    prefix="/api/v1/deliveries",
    tags=["deliveries"],
    route_class=JsonRoute,
    responses=documented(401, 422, 503),
)

Retrier = Annotated[Caller, may(Permission.DELIVERIES_RETRY)]


@router.post("/{delivery_id}/retry", status_code=202, operation_id="retry_delivery", responses=documented(404, 409))
async def retry_delivery(
    delivery_id: str, caller: Retrier, db: Db, services: AllServices, response: Response
) -> RetriedDelivery:
    """Send a delivery again now, also while it waits for its next attempt. It is never sent twice at once."""
    delivery = None
    if is_time_ordered(delivery_id, "dlv"):
        delivery = await queries.delivery_to_retry(db, caller.organization_id, delivery_id)
    if delivery is None:
        raise NotFound("this organization has no delivery of this id")
    now = datetime.now(UTC)
    await _check(db, delivery, now)
    replay = _replay_of(delivery, rate_per_s=services.settings.most_replayed_per_s, now=now)
    if delivery.state == DeliveryState.RETRYING:
        await queries.taken_over(db, delivery, by=replay.id, now=now)
    await queries.started(db, replay)  # before its item: row-level security shows no item of a replay not there yet
    if not await queries.queued(db, replay.id, delivery):
        raise Conflict("this delivery is being sent again already")
    response.headers["Location"] = f"{PATH}/{replay.id}"
    return RetriedDelivery(delivery_id=delivery.id, replay_id=replay.id)


async def _check(db: Db, delivery: DeliveryRow, now: datetime) -> None:
    """Raise Conflict, saying what to do, when the delivery cannot be sent again now."""
    if delivery.is_test:
        raise Conflict("this was a test: send another one with POST /subscriptions/{id}/test")
    if is_being_sent(delivery.state, delivery.due_at, now=now):
        raise Conflict("this delivery is being sent now")
    subscription = await subscription_of(db, OrganizationId(delivery.organization_id), delivery.subscription_id)
    if subscription is None:
        raise Conflict("the subscription was deleted: nobody receives this any more")
    if not subscription.enabled:
        raise Conflict("the subscription is disabled: enable it first")


def _replay_of(delivery: DeliveryRow, *, rate_per_s: float, now: datetime) -> ReplayRow:
    return ReplayRow(
        id=new_replay_id(),
        organization_id=delivery.organization_id,
        is_retry=True,
        state=ReplayState.PENDING,
        subscription_id=delivery.subscription_id,
        rate_per_s=rate_per_s,
        created_at=now,
        **{**queries.NOTHING_COUNTED, "total": 1},
    )
