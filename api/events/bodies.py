"""The JSON of events that are published."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from api.problems import Problem
from api.requests import JsonBody

MOST_EVENTS: Final = 500  # of a batch

JsonObject = dict[str, Any]  # checked by the event type's Avro schema (schemas/envelope.py), not here


class NewEvent(JsonBody):
    """An event to publish. What its `data` may hold is in the catalogue."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"type": "user.created", "data": {"id": "user_123", "email": "user@example.com", "name": "John Doe"}}
            ]
        }
    )

    type: Annotated[str, Field(min_length=1, max_length=200, examples=["user.created"])]
    data: JsonObject
    key: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        default=None, description="Events of one key keep their order."
    )
    previous: JsonObject | None = Field(default=None, description="What changed, as it was before.")
    metadata: JsonObject | None = None
    id: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        default=None,
        description="The publisher's own id, kept with the event as `source_id`. For 7 days a repeat of the same event "
        "under it is answered with the same `evt_…` and not published again; another event under it is refused.",
    )


class NewEvents(JsonBody):
    """A batch of events to publish. Each one is judged by itself."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "events": [
                        {"type": "user.created", "data": {"id": "user_123"}, "id": "signup-123"},
                        {"type": "user.verified", "data": {"id": "user_123"}, "key": "user_123"},
                    ]
                }
            ]
        }
    )

    # Left to right: what is no event is kept as it came, so that its result can say why.
    events: list[Annotated[NewEvent | JsonObject, Field(union_mode="left_to_right")]] = Field(
        min_length=1, max_length=MOST_EVENTS, description="An object that is no event gets an error as its result."
    )


class EventBatch(JsonBody):
    """A batch as it is read: each of its events by itself, later."""

    events: list[JsonObject] = Field(min_length=1, max_length=MOST_EVENTS)


class PublishedEvent(BaseModel):
    """An event that Kafka has."""

    id: str = Field(examples=["evt_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"])


class EventResult(PublishedEvent):
    """An event of a batch that Kafka has."""

    index: int = Field(description="Its place in the batch, from 0.")


class EventError(BaseModel):
    """An event of a batch that was not published, or (503) may not have been."""

    index: int = Field(description="Its place in the batch, from 0.")
    error: Problem


class EventResults(BaseModel):
    """What became of each event of a batch, in its order."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "results": [
                        {"index": 0, "id": "evt_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"},
                        {
                            "index": 1,
                            "error": {
                                "type": "urn:hookline:problem:invalid-request",
                                "title": "Invalid request",
                                "status": 422,
                                "detail": "/events/1/type: unknown event type 'user.verifid'",
                                "request_id": "req_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b",
                                "errors": [
                                    {"detail": "unknown event type 'user.verifid'", "pointer": "/events/1/type"}
                                ],
                            },
                        },
                    ]
                }
            ]
        }
    )

    results: list[EventResult | EventError]
