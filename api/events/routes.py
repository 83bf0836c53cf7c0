"""`POST /api/v1/events`, and the catalogue of event types."""

from typing import Annotated

from fastapi import APIRouter, Header

from api.callers import AnyCaller, bearer
from api.errors import NotFound
from api.events.bodies import EventTypeBody, EventTypes, NewEvent, PublishedEvent, shown
from api.problems import documented
from api.requests import JsonRoute
from api.services import AllServices
from schemas.catalogue import catalogue
from schemas.headers import is_traceparent

router = APIRouter(
    prefix="/api/v1", tags=["events"], route_class=JsonRoute, dependencies=[bearer], responses=documented(401, 422)
)

TraceParent = Annotated[str | None, Header(description="W3C Trace Context; goes with the event to its receivers.")]


@router.post("/events", status_code=202, operation_id="publish_event", responses=documented(400, 413, 415, 503))
async def publish_event(
    body: NewEvent, caller: AnyCaller, services: AllServices, traceparent: TraceParent = None
) -> PublishedEvent:
    """Publish an event; the answer comes when Kafka has it. On 503 it may still arrive: publish it again."""
    trace = traceparent if traceparent and is_traceparent(traceparent) else None
    return PublishedEvent(id=await services.publishing.publish(body, caller.organization_id, trace))


@router.get("/event-types", operation_id="list_event_types")
async def list_event_types(_: AnyCaller) -> EventTypes:
    """List every event type, by name."""
    return EventTypes(data=[shown(event_type) for event_type in catalogue().values()])


@router.get("/event-types/{name}", operation_id="get_event_type", responses=documented(404))
async def get_event_type(name: str, _: AnyCaller) -> EventTypeBody:
    """Show one event type."""
    found = catalogue().get(name)
    if found is None:
        raise NotFound("the catalogue has no event type of this name")
    return shown(found)
