"""`POST /subscriptions/{id}/recover`: what a subscription missed is sent to it after all, as a replay."""

from typing import Annotated

from fastapi import APIRouter, Response

from api.callers import may
from api.credentials import Caller
from api.database import Db
from api.errors import Conflict
from api.permissions import Permission
from api.problems import documented
from api.replays.beginning import begun
from api.replays.bodies import EndedState, NewReplay, Recovery, ReplayBody, ReplayCount
from api.requests import JsonRoute
from api.services import AllServices
from api.subscriptions.finding import PATH, found

router = APIRouter(
    prefix=f"{PATH}/{{subscription_id}}",
    tags=["subscriptions"],
    route_class=JsonRoute,
    responses=documented(400, 401, 404, 409, 413, 415, 422, 503),
)

Writer = Annotated[Caller, may(Permission.REPLAYS_WRITE)]


@router.post(
    "/recover",
    status_code=202,
    operation_id="recover_subscription",
    response_model=ReplayBody,
    responses={200: {"model": ReplayCount, "description": "With `dry_run`."}},
)
async def recover_subscription(
    *, subscription_id: str, body: Recovery, caller: Writer, db: Db, services: AllServices, response: Response
) -> ReplayBody | Response:
    """Send what failed or was held, at a rate of its own: a replay. With `dry_run`: say how much that is.

    A disabled subscription is to be enabled first: it would only be held once more.
    """
    subscription = await found(db, caller, subscription_id)
    if not (subscription.enabled or body.dry_run):
        raise Conflict("this subscription is disabled: enable it first")
    asked = NewReplay.model_validate(
        {**dict(body), "subscription_id": subscription.id, "state": EndedState.UNDELIVERED}
    )
    return await begun(asked, caller, db, services, response)
