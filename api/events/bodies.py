"""The JSON of events and of their types."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from api.requests import JsonBody
from schemas.catalogue import EventType

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
        default=None, description="The publisher's own id; kept with the event as `source_id`."
    )


class PublishedEvent(BaseModel):
    """An event that Kafka has."""

    id: str = Field(examples=["evt_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"])


class EventTypeBody(BaseModel):
    """An event type of the catalogue."""

    model_config = ConfigDict(serialize_by_alias=True)

    name: str
    category: str
    description: str
    avro_schema: JsonObject = Field(alias="schema", description="Avro, of the event's `data`.")
    example: JsonObject = Field(description="Of the event's `data`.")


class EventTypes(BaseModel):
    """The whole catalogue; it is short, so it is one page."""

    data: list[EventTypeBody]
    next_cursor: str | None = None
    has_more: bool = False


def shown(event_type: EventType) -> EventTypeBody:
    """Return an event type as its body."""
    return EventTypeBody(
        name=event_type.name,
        category=event_type.category,
        description=event_type.description,
        schema=dict(event_type.schema),
        example=dict(event_type.example),
    )
