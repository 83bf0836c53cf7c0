"""What is done to one subscription by name: enabling, disabling, pausing, resuming, another secret."""

from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Body, Request, Response
from pydantic import ConfigDict, Field

from api.callers import may
from api.credentials import Caller
from api.database import Db
from api.permissions import Permission
from api.preconditions import conditional
from api.problems import documented
from api.requests import JsonBody, JsonRoute
from api.services import AllServices
from api.subscriptions import tables
from api.subscriptions.answering import answered, answered_once
from api.subscriptions.bodies import SubscriptionBody, SubscriptionWithSecret
from api.subscriptions.changes import secret_of
from api.subscriptions.enabling import disable, enable
from api.subscriptions.finding import PATH, found_to_change
from api.subscriptions.pausing import pause, resume
from api.subscriptions.rotation import Rotation, rotate
from api.subscriptions.sending import CatchUpRate

router = APIRouter(
    prefix=f"{PATH}/{{subscription_id}}",
    tags=["subscriptions"],
    route_class=JsonRoute,
    dependencies=[conditional],
    responses=documented(401, 404, 412, 422, 503),
)

Changer = Annotated[Caller, may(Permission.SUBSCRIPTIONS_UPDATE)]
_with_body: Final = documented(400, 413, 415)


@router.post("/enable", operation_id="enable_subscription")
async def enable_subscription(
    *, subscription_id: str, caller: Changer, db: Db, services: AllServices, request: Request, response: Response
) -> SubscriptionBody:
    """Enable a subscription; one that is enabled stays as it is. What it missed can be replayed."""
    row = await found_to_change(db, caller, subscription_id, request)
    await enable(db, row)
    return await answered(db, services, row, response)


@router.post("/disable", operation_id="disable_subscription")
async def disable_subscription(
    *, subscription_id: str, caller: Changer, db: Db, services: AllServices, request: Request, response: Response
) -> SubscriptionBody:
    """Disable a subscription; one that is disabled stays as it is, its reason too. What it misses is held."""
    row = await found_to_change(db, caller, subscription_id, request)
    await disable(db, row)
    return await answered(db, services, row, response)


class Resumption(JsonBody):
    """How to resume. null is the same as leaving a field out."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"rate_per_s": 20}, {}]})

    rate_per_s: CatchUpRate | None = Field(
        default=None,
        description="Deliveries a second, at most, while it catches up: its new `catch_up_rate_per_s`, which stays.",
    )


@router.post("/pause", operation_id="pause_subscription")
async def pause_subscription(
    *, subscription_id: str, caller: Changer, db: Db, services: AllServices, request: Request, response: Response
) -> SubscriptionBody:
    """Pause a subscription; one that is paused stays as it is.

    Nothing is sent to it and nothing is lost: its deliveries and retries wait in Kafka, and no attempt is used up. What
    is under way is ended. A test is sent all the same. One that is disabled too is disabled: then what it misses is
    held.
    """
    row = await found_to_change(db, caller, subscription_id, request)
    await pause(db, row)
    return await answered(db, services, row, response)


@router.post("/resume", operation_id="resume_subscription", responses=_with_body)
async def resume_subscription(
    *,
    subscription_id: str,
    body: Annotated[Resumption | None, Body()] = None,
    caller: Changer,
    db: Db,
    services: AllServices,
    request: Request,
    response: Response,
) -> SubscriptionBody:
    """Resume a subscription: what waited is sent first, in the order of the log, at the rate given or kept.

    One that is not paused stays as it is, and takes the rate.
    """
    wanted = body or Resumption()
    row = await found_to_change(db, caller, subscription_id, request)
    await resume(db, row, rate_per_s=wanted.rate_per_s)
    return await answered(db, services, row, response)


@router.post("/rotate-secret", operation_id="rotate_subscription_secret", responses=_with_body)
async def rotate_secret(
    *,
    subscription_id: str,
    body: Annotated[Rotation | None, Body()] = None,
    caller: Changer,
    db: Db,
    services: AllServices,
    request: Request,
    response: Response,
) -> SubscriptionWithSecret:
    """Give a subscription another secret, shown in this answer only. The old ones sign too until `overlap` is over."""
    wanted = body or Rotation()
    row = await found_to_change(db, caller, subscription_id, request)
    secret = secret_of(wanted.secret)
    rotate(row, secret, overlap=wanted.duration, now=datetime.now(UTC), sealer=services.sealer)
    await tables.stored(db, row)
    return await answered_once(db, services, row, secret, response)
