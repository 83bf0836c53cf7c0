"""`POST /api/v1/events` and its batch."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Header, Request

from api.callers import may
from api.credentials import Caller
from api.errors import Refusal
from api.events.bodies import (
    EventError,
    EventResult,
    EventResults,
    NewEvent,
    NewEvents,
    PublishedEvent,
)
from api.events.posting import Outcome
from api.permissions import Permission, RateClass
from api.problems import Problem, document_of, documented, request_id_of
from api.requests import BatchRoute, JsonRoute
from api.services import AllServices
from schemas.headers import is_traceparent

router = APIRouter(prefix="/api/v1", tags=["events"], route_class=JsonRoute, responses=documented(401, 422))
batches = APIRouter(prefix="/api/v1", tags=["events"], route_class=BatchRoute, responses=documented(401, 422))

Publishing = Annotated[Caller, may(Permission.EVENTS_PUBLISH)]
_with_body = documented(400, 409, 413, 415, 503)

TraceParent = Annotated[str | None, Header(description="W3C Trace Context; goes with the event to its receivers.")]


@router.post("/events", status_code=202, operation_id="publish_event", responses=_with_body)
async def publish_event(
    body: NewEvent, caller: Publishing, services: AllServices, traceparent: TraceParent = None
) -> PublishedEvent:
    """Publish an event; the answer comes when Kafka has it.

    On 503 it may still arrive: publish it again, with the same `id`.
    """
    return PublishedEvent(id=await services.posting.post(body, caller.organization_id, _trace(traceparent)))


@batches.post("/events/batch", status_code=202, operation_id="publish_events", responses=_with_body)
async def publish_events(
    *, body: NewEvents, caller: Publishing, services: AllServices, request: Request, traceparent: TraceParent = None
) -> EventResults:
    """Publish up to 500 events; the answer comes when Kafka has all that could be published, with a result for each.

    Each event counts against the limit `publishing`: when there is not so much left, 429 and none is published.
    503 when Kafka or the database is away and not one of them was published.
    """
    more = len(body.events) - 1  # the request was counted as one
    request.state.rate_headers |= await services.limits.take_more(caller, RateClass.PUBLISHING, more)
    outcomes = await services.posting.post_all(body.events, caller.organization_id, _trace(traceparent))
    if all(isinstance(outcome, Refusal) and outcome.status == HTTPStatus.SERVICE_UNAVAILABLE for outcome in outcomes):
        raise next(outcome for outcome in outcomes if isinstance(outcome, Refusal))
    return EventResults(results=[_result(index, outcome, request) for index, outcome in enumerate(outcomes)])


def _trace(traceparent: str | None) -> str | None:
    return traceparent if traceparent and is_traceparent(traceparent) else None


def _result(index: int, outcome: Outcome, request: Request) -> EventResult | EventError:
    if not isinstance(outcome, Refusal):
        return EventResult(index=index, id=outcome)
    document = document_of(outcome, request_id=request_id_of(request), status=int(outcome.status))
    return EventError(index=index, error=Problem(document))
