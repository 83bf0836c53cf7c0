"""`POST …/{id}/test`: sends a test event to one subscription and answers what the receiver said.

The event is on no topic: its row is written here, its delivery goes straight to the workers, and the projection says
when it has the outcome. It is sent once, also to a disabled or paused subscription, and counts nowhere.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from api.callers import may
from api.credentials import Caller
from api.database import tenant_transaction_of
from api.deliveries.bodies import AttemptBody, shown_attempt
from api.deliveries.tables import AttemptRow, EventRow
from api.errors import Unavailable
from api.event_types.own import catalogue_knowing
from api.permissions import Permission
from api.problems import documented
from api.requests import JsonBody, JsonRoute
from api.services import AllServices
from api.subscriptions.finding import PATH, found
from api.subscriptions.tables import SubscriptionRow, record_of
from producers.errors import ProducingError
from producers.handover import LoopProducer
from producers.records import Outgoing
from schemas.catalogue import TEST_EVENT, Catalogue
from schemas.codec import encode
from schemas.envelope import new_event
from schemas.headers import delivery_headers
from schemas.ids import DeliveryId, OrganizationId, SubscriptionId, delivery_id_of, made_at
from schemas.payloads import PayloadSource, payload_of
from schemas.records import NOWHERE, Delivery, Event
from schemas.topics import DELIVER

BEYOND_THE_TIMEOUT_S: Final = 5.0  # of the subscription: for the way there and for the log
_REPORTED_WITHIN_S: Final = 9.0  # should Kafka's client never report; it gives up after 7 s
_OFFSET: Final = 0
_PARTITION: Final = -1  # the event is on no topic
_FILED_WITHIN: Final = timedelta(days=8)  # of its delivery's day an attempt is filed (schemas/ids.py)

router = APIRouter(
    prefix=f"{PATH}/{{subscription_id}}",
    tags=["subscriptions"],
    route_class=JsonRoute,
    responses=documented(400, 401, 404, 413, 415, 422, 503),
)

Tester = Annotated[Caller, may(Permission.SUBSCRIPTIONS_TEST)]


class NewTest(JsonBody):
    """What to send. Left out, or null: `hookline.test` with an example of its data."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"event_type": "user.created"}, {"data": {"message": "Hello."}}]}
    )

    event_type: Annotated[str, Field(min_length=1, max_length=200, examples=[TEST_EVENT])] | None = None
    data: dict[str, Any] | None = Field(
        default=None, description="As the event type wants it; its example unless given."
    )


class TestedBody(AttemptBody):
    """What the receiver said."""

    delivery_id: str


class UntoldTest(BaseModel):
    """A test whose outcome is not known yet: look at its delivery later."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"delivery_id": "dlv_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"}]})

    delivery_id: str


@router.post(
    "/test",
    operation_id="test_subscription",
    response_model=TestedBody,
    responses={202: {"model": UntoldTest, "description": "Its outcome is not known yet."}},
)
async def send_test(
    *,
    subscription_id: str,
    body: Annotated[NewTest | None, Body()] = None,
    caller: Tester,
    services: AllServices,
) -> AttemptBody | Response:
    """Send a test event now, also to a disabled or paused subscription, and answer what the receiver said.

    It is not sent again when it fails. 202 when nothing is known 5 s after the subscription's timeout.
    """
    asked = body or NewTest()
    async with tenant_transaction_of(services.engine, caller.organization_id) as db:
        known = await catalogue_knowing(db, caller.organization_id, asked.event_type or TEST_EVENT)
        event = _event_of(asked, caller.organization_id, known, largest_bytes=services.settings.largest_event_bytes)
        source = PayloadSource.of(event, known.get(event.type, caller.organization_id))
        subscription = await found(db, caller, subscription_id)
        db.add(_row_of(event, source.full))
    delivery = _delivery_of(event, source, subscription)
    await _publish(services.publishing.producer, delivery)
    attempt = await services.outcomes.wait(
        delivery.id,
        partial(_attempt_of, services.engine, caller.organization_id, delivery.id),
        timeout_s=subscription.timeout_ms / 1000 + BEYOND_THE_TIMEOUT_S,
    )
    if attempt is None:
        return JSONResponse({"delivery_id": delivery.id}, 202)
    return TestedBody(**dict(shown_attempt(attempt, body=delivery.body)), delivery_id=delivery.id)


def _event_of(body: NewTest, organization_id: OrganizationId, known: Catalogue, *, largest_bytes: int) -> Event:
    """Return the event to try, with the example of its type for data unless the body has some."""
    event_type = known.of(body.event_type or TEST_EVENT, organization_id, pointer="/event_type")
    return new_event(
        type=event_type.name,
        organization_id=organization_id,
        data=dict(event_type.example) if body.data is None else body.data,
        catalogue=known,
        largest_bytes=largest_bytes,
    )


def _row_of(event: Event, raw: bytes) -> EventRow:
    return EventRow(
        id=event.id,
        at=made_at(event.id),
        organization_id=event.organization_id,
        type=event.type,
        created_at=event.created_at,
        body=raw,
        partition=_PARTITION,
        offset=_OFFSET,
    )


def _delivery_of(event: Event, source: PayloadSource, subscription: SubscriptionRow) -> Delivery:
    subscription_id = SubscriptionId(subscription.id)
    delivery_id = delivery_id_of(event.id, subscription_id)
    return Delivery(
        id=delivery_id,
        event_id=event.id,
        event_type=event.type,
        organization_id=event.organization_id,
        subscription_id=subscription_id,
        subscription_version=subscription.version,
        body=payload_of(record_of(subscription).payload).body(source, delivery_id=delivery_id),
        event_position=NOWHERE,
        event_created_at=event.created_at,
        due_at=datetime.now(UTC),
        transformation_version=subscription.transformation_version,
        is_test=True,
    )


async def _publish(producer: LoopProducer, delivery: Delivery) -> None:
    record = Outgoing(DELIVER, delivery.subscription_id.encode(), encode(delivery), delivery_headers(delivery))
    try:
        async with asyncio.timeout(_REPORTED_WITHIN_S):
            await producer.send([record])
    except (ProducingError, TimeoutError) as error:
        raise Unavailable("Kafka did not take the test in time; it may still be sent") from error


async def _attempt_of(
    engine: AsyncEngine, organization_id: OrganizationId, delivery_id: DeliveryId
) -> AttemptRow | None:
    """Return the one attempt of a test that we have just made; None until the log has it."""
    wanted = (
        select(AttemptRow)
        .where(
            AttemptRow.organization_id == organization_id,
            AttemptRow.delivery_id == delivery_id,
            AttemptRow.at >= made_at(delivery_id) - _FILED_WITHIN,
        )
        .order_by(AttemptRow.at, AttemptRow.id)
        .limit(1)
    )
    async with tenant_transaction_of(engine, organization_id) as db:
        return (await db.execute(wanted)).scalar_one_or_none()
