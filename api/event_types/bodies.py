"""The JSON of event types as they are read."""

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from api.webhooks import webhook_example
from schemas.catalogue import EventType, EventTypeState, event_type_of
from schemas.json_schema import published_schema
from schemas.marks import pointer_of

JsonObject = dict[str, Any]
_SHOWN: Final = "user.verified"  # the example of both bodies


class EventTypeBody(BaseModel):
    """An event type of the catalogue."""

    model_config = ConfigDict(
        serialize_by_alias=True, json_schema_extra=lambda schema: schema.update(examples=[_example(shown)])
    )

    name: str
    category: str
    description: str
    owner: str = Field(description="Who answers for it.")
    state: EventTypeState = Field(
        description="`draft` and `archived` ones cannot be published; `deprecated` ones can, until they are archived."
    )
    version: int = Field(description="The newest; each reads what every other one wrote (FULL_TRANSITIVE).")
    built_in: bool = Field(description="Whether it is everybody's and read-only, or the organization's own.")
    reserved: bool = Field(description="Whether Hookline alone publishes it.")
    ordering_key: str | None = Field(
        description="The field of `data` that orders events whose publisher names no key; null: none does."
    )
    personal: list[str] = Field(
        description="Where `data` says who somebody is, `*` standing for each item; subscriptions can have it masked."
    )
    secret: list[str] = Field(description="Where `data` is replaced by `***` before it leaves.")
    avro_schema: JsonObject = Field(alias="schema", description="Avro, of the event's `data`.")
    example: JsonObject = Field(description="Of the event's `data`.")


class EventTypeDetail(EventTypeBody):
    """An event type with all that is derived from it."""

    model_config = ConfigDict(json_schema_extra=lambda schema: schema.update(examples=[_example(shown_in_detail)]))

    versions: list[int] = Field(description="Every version ever released, the newest first.")
    json_schema: JsonObject = Field(description="JSON Schema (2020-12) of `data`, as a publisher must give it.")
    webhook: JsonObject = Field(description="The body that receivers get of the example.")


class EventTypes(BaseModel):
    """The catalogue, or what was asked for of it; it is short, so it is one page."""

    data: list[EventTypeBody]
    next_cursor: str | None = None
    has_more: bool = False


def shown(event_type: EventType) -> EventTypeBody:
    """Return an event type as its body."""
    return EventTypeBody(**_fields(event_type))


def shown_in_detail(event_type: EventType, versions: list[int] | None = None) -> EventTypeDetail:
    """Return an event type with its versions, which are only its own number unless given, and what is derived."""
    return EventTypeDetail(
        **_fields(event_type),
        versions=[event_type.version] if versions is None else versions,
        json_schema=published_schema(event_type),
        webhook=webhook_example(event_type),
    )


def _fields(event_type: EventType) -> JsonObject:
    return {
        "name": event_type.name,
        "category": event_type.category,
        "description": event_type.description,
        "owner": event_type.owner,
        "state": event_type.state,
        "version": event_type.version,
        "built_in": event_type.organization_id is None,
        "reserved": event_type.reserved,
        "ordering_key": event_type.ordering_key,
        "personal": [pointer_of(path) for path in event_type.personal],
        "secret": [pointer_of(path) for path in event_type.secret],
        "schema": dict(event_type.schema),
        "example": dict(event_type.example),
    }


def _example(show: Any) -> JsonObject:
    body: BaseModel = show(event_type_of(_SHOWN))
    return body.model_dump(mode="json", by_alias=True)
