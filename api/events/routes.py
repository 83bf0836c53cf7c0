"""`POST /api/v1/events`, its batch and its stream."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, ClassVar, Final

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import ValidationError

from api.callers import may
from api.credentials import Caller
from api.direct import DirectRoute, taken_as
from api.errors import NotJson, Refusal
from api.events.bodies import MOST_EVENTS, EventBatch, EventResults, PublishedEvent
from api.events.describing import BATCHED, NDJSON, NDJSON_TYPES, SINGLE, STREAM_RESULTS, STREAMED, TRACEPARENT
from api.events.posting import Outcome
from api.events.streaming import EventStream
from api.events.taking import EventReader
from api.permissions import Permission, RateClass
from api.problems import document_of, documented, refusal_of, request_id_of
from api.requests import media_type_of
from api.services import Services
from schemas.cloudevents.attributes import BATCH, STRUCTURED
from schemas.cloudevents.headers import is_binary_http
from schemas.cloudevents.json_format import batch_of
from schemas.errors import InvalidInput
from schemas.headers import is_traceparent
from schemas.json_values import Json

_TO_STREAM: Final = dict.fromkeys(NDJSON_TYPES, "send lines to POST /api/v1/events/stream")


class EventRoute(DirectRoute):
    """A route that takes one event."""

    elsewhere: ClassVar = {**_TO_STREAM, BATCH: "send batches to POST /api/v1/events/batch"}


class EventBatchRoute(DirectRoute):
    """A route that takes many at once."""

    limit: ClassVar = "largest_batch_bytes"
    elsewhere: ClassVar = {**_TO_STREAM, STRUCTURED: f"send one event to POST /api/v1/events, a batch as {BATCH}"}


class EventStreamRoute(DirectRoute):
    """A route that reads its body itself."""

    takes_body: ClassVar = False
    takes_key: ClassVar = False


router = APIRouter(prefix="/api/v1", tags=["events"], route_class=EventRoute, responses=documented(401, 422))
batches = APIRouter(prefix="/api/v1", tags=["events"], route_class=EventBatchRoute, responses=documented(401, 422))
streams = APIRouter(prefix="/api/v1", tags=["events"], route_class=EventStreamRoute, responses=documented(401, 422))

Publishing = Annotated[Caller, may(Permission.EVENTS_PUBLISH)]
_with_body = documented(400, 409, 413, 415, 503)


@router.post(
    "/events",
    status_code=202,
    operation_id="publish_event",
    responses={**_with_body, 202: {"model": PublishedEvent}},
    openapi_extra={**taken_as(SINGLE), "parameters": [TRACEPARENT]},
)
async def publish_event(request: Request, caller: Publishing) -> Response:
    """Publish an event; the answer comes when Kafka has it.

    A CloudEvent too: structured by its content type, or binary with its attributes in `ce-` headers. On 503 it may
    still arrive: publish it again, with the same `id` (and `source`).
    """
    services, value = _services_of(request), await request.json()
    reader = _reader_of(request, caller)
    if media_type_of(request.headers.get("content-type", "")) == STRUCTURED:
        event_id = await services.posting.post(value, reader.structured)
    elif is_binary_http(request.scope["headers"]):
        event_id = await services.posting.post(value, reader.binary(request.scope["headers"]))
    else:
        event_id = await services.posting.post(value, reader.own)
    return _answer({"id": event_id})


@batches.post(
    "/events/batch",
    status_code=202,
    operation_id="publish_events",
    responses={**_with_body, 202: {"model": EventResults}},
    openapi_extra={**taken_as(BATCHED), "parameters": [TRACEPARENT]},
)
async def publish_events(request: Request, caller: Publishing) -> Response:
    """Publish up to 500 events; the answer comes when Kafka has all that could be published, with a result for each.

    Each event counts against the limit `publishing`: when there is not so much left, 429 and none is published.
    503 when Kafka or the database is away and not one of them was published.
    """
    services, value = _services_of(request), await request.json()
    reader = _reader_of(request, caller)
    is_cloud_events = media_type_of(request.headers.get("content-type", "")) == BATCH
    events = _cloud_events_in(value) if is_cloud_events else _batch_in(value)
    more = len(events) - 1  # the request was counted as one
    request.state.rate_headers |= await services.limits.take_more(caller, RateClass.PUBLISHING, more)
    read, below = (reader.structured, "") if is_cloud_events else (reader.own, "/events")
    outcomes = await services.posting.post_all(events, read, below=below)
    refusals = [outcome for outcome in outcomes if isinstance(outcome, Refusal)]
    if len(refusals) == len(outcomes) and {each.status for each in refusals} == {HTTPStatus.SERVICE_UNAVAILABLE}:
        raise refusals[0]
    return _answer({"results": [_result(index, outcome, request) for index, outcome in enumerate(outcomes)]})


@streams.post(
    "/events/stream",
    operation_id="publish_event_stream",
    responses={
        **documented(400, 413, 415, 503),
        200: {"description": "A result for each line in order, then a summary.", "content": dict(STREAM_RESULTS)},
    },
    openapi_extra={**taken_as(STREAMED), "parameters": [TRACEPARENT]},
)
async def publish_event_stream(request: Request, caller: Publishing) -> Response:
    """Publish an event for each line, our JSON or a CloudEvent, as the lines come in; a bad one does not stop others.

    The answer begins when the last line is in: a client that writes everything before it reads, as most do, would
    wait for us and we for it. It has a line for each line, and a summary at the end. The stream is read no faster than
    the limit `publishing` allows, so it is not refused for it. Events with an `id` can be sent again after a broken
    connection: those that are published already are answered with the ids that they have.
    """
    if media_type_of(request.headers.get("content-type", "")) not in NDJSON_TYPES:
        raise NotJson(f"send {NDJSON}, an event a line", headers={"Accept": NDJSON})
    services = _services_of(request)
    stream = EventStream(
        services.posting,
        services.limits,
        caller,
        _reader_of(request, caller),
        request_id=request_id_of(request),
        longest_line=services.settings.largest_event_bytes,
        largest=services.settings.largest_stream_bytes,
    )
    results = await stream.publish(request.stream())
    headers = {"Connection": "close"} if stream.counts.stopped else None
    return StreamingResponse(results, media_type=NDJSON, headers=headers)


def _services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def _reader_of(request: Request, caller: Caller) -> EventReader:
    traceparent = request.headers.get("traceparent")
    return EventReader(
        caller.organization_id,
        traceparent=traceparent if traceparent and is_traceparent(traceparent) else None,
        catalogue=_services_of(request).catalogue,
        largest_bytes=_services_of(request).settings.largest_event_bytes,
    )


def _batch_in(value: Json) -> Sequence[Json]:
    try:
        return EventBatch.model_validate(value).events
    except ValidationError as error:
        raise refusal_of(error) from None


def _cloud_events_in(value: Json) -> Sequence[Json]:
    found = batch_of(value)
    if not 1 <= len(found) <= MOST_EVENTS:
        raise InvalidInput(f"must have 1 to {MOST_EVENTS} events")
    return found


def _answer(body: object) -> Response:
    return Response(orjson.dumps(body), HTTPStatus.ACCEPTED, media_type="application/json")


def _result(index: int, outcome: Outcome, request: Request) -> dict[str, object]:
    if not isinstance(outcome, Refusal):
        return {"index": index, "id": outcome}
    document = document_of(outcome, request_id=request_id_of(request), status=int(outcome.status))
    return {"index": index, "error": document}
