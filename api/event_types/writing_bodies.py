"""The JSON of event types that organizations define: what comes in, and what goes out of the writing side."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from api.event_types.bodies import EventTypeBody, shown
from api.event_types.own import event_type_in
from api.event_types.tables import NAME, EventTypeRow, EventTypeVersionRow, object_of
from api.fields import holds, without_default
from api.requests import JsonBody
from schemas.catalogue import EventTypeState
from schemas.errors import InvalidInput

LONGEST_NAME: Final = 150
_CATEGORY: Final = re.compile(r"[a-z][a-z0-9_]*")
SCHEMA: Final[dict[str, Any]] = {
    "type": "record",
    "name": "shipped",
    "fields": [
        {"name": "order_id", "type": "string"},
        {"name": "carrier", "type": ["null", "string"], "default": None, "doc": "Who brings it."},
        {"name": "phone", "type": ["null", "string"], "default": None, "sensitivity": "personal"},
    ],
}
_GIVEN: Final[dict[str, Any]] = {
    "name": "order.shipped",
    "category": "order",
    "description": "An order left the warehouse.",
    "owner": "Logistics",
    "ordering_key": "order_id",
    "state": "active",
    "schema": SCHEMA,
    "example": {"order_id": "ord_123", "carrier": "Example Express"},
}
_EXAMPLE: Final[dict[str, Any]] = {
    **_GIVEN,
    "version": 1,
    "built_in": False,
    "reserved": False,
    "personal": ["/phone"],
    "secret": [],
    "created_at": "2026-11-21T09:30:00Z",
    "updated_at": "2026-11-21T09:30:00Z",
}


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise InvalidInput("must be `resource.verb` in small letters, digits and _, such as order.shipped")


def _check_category(category: str) -> None:
    if not _CATEGORY.fullmatch(category):
        raise InvalidInput("must be one word of small letters, digits and _, such as order")


def _check_text(text: str) -> None:
    if not text.strip():
        raise InvalidInput("must say something")


JsonObject = dict[str, Any]  # a schema is judged by schemas/event_schemas.py, an example by its schema
Name = Annotated[
    str,
    Field(
        min_length=3,
        max_length=LONGEST_NAME,
        description="`resource.verb_past`; `.v2` behind it makes a new major version, which is a type of its own.",
        examples=["order.shipped"],
    ),
    holds(_check_name),
]
Category = Annotated[str, Field(min_length=1, max_length=50), holds(_check_category)]
Description = Annotated[
    str, Field(min_length=1, max_length=1000, description="What happened, for people."), holds(_check_text)
]
Owner = Annotated[str, Field(min_length=1, max_length=200, description="Who answers for it."), holds(_check_text)]
Schema = Annotated[JsonObject, Field(description="Avro, of the event's `data`: a record.", examples=[SCHEMA])]
Example = Annotated[JsonObject, Field(description="`data` that fits the schema.", examples=[_GIVEN["example"]])]
OrderingKey = Annotated[
    str,
    Field(min_length=1, max_length=100, description="The field of `data` that orders events which name no key."),
]


class NewEventType(JsonBody):
    """What makes an event type."""

    model_config = ConfigDict(json_schema_extra={"examples": [_GIVEN]})

    name: Name
    description: Description
    avro_schema: Schema = Field(alias="schema")
    example: Example
    category: Category | None = Field(default=None, description="The first part of its name unless given.")
    owner: Owner | None = Field(default=None, description="The organization's id unless given.")
    ordering_key: OrderingKey | None = None
    state: EventTypeState = Field(
        default=EventTypeState.ACTIVE,
        strict=False,
        description="`active`, or `draft`: cannot be published yet, and its schema may still change in any way.",
    )


class EventTypePatch(JsonBody):
    """A merge patch (RFC 7396) of all but the schema, the example and what is in them, which are replaced whole.

    What was given is in `model_fields_set`; the values of the other fields mean nothing.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"description": "An order left one of our warehouses."}, {"state": "deprecated"}]
        }
    )

    description: Description = Field(default="", json_schema_extra=without_default)
    avro_schema: Schema = Field(
        default={},
        alias="schema",
        description="What differs from the newest version makes the next one; it must go together with all before it.",
        json_schema_extra=without_default,
    )
    example: Example = Field(default={}, json_schema_extra=without_default)
    category: Category = Field(default="", json_schema_extra=without_default)
    owner: Owner = Field(default="", json_schema_extra=without_default)
    ordering_key: OrderingKey | None = Field(default=None, json_schema_extra=without_default)
    state: EventTypeState = Field(
        default=EventTypeState.ACTIVE,
        strict=False,
        description="From draft to active; from active to deprecated and back; from deprecated to archived; from "
        "archived to active.",
        json_schema_extra=without_default,
    )


class OwnEventType(EventTypeBody):
    """An event type of the organization's own."""

    model_config = ConfigDict(json_schema_extra=lambda schema: schema.update(examples=[_EXAMPLE]))

    created_at: datetime
    updated_at: datetime


class EventTypeVersion(BaseModel):
    """One version of an event type's schema."""

    model_config = ConfigDict(
        serialize_by_alias=True,
        json_schema_extra={
            "examples": [
                {
                    "version": 1,
                    "schema": SCHEMA,
                    "example": _GIVEN["example"],
                    "created_at": "2026-11-21T09:30:00Z",
                }
            ]
        },
    )

    version: int
    avro_schema: JsonObject = Field(alias="schema")
    example: JsonObject = Field(description="Of a built-in type: the newest version's.")
    created_at: datetime | None = Field(description="null for a built-in type.")


class EventTypeVersions(BaseModel):
    """Every version of an event type, the newest first; there are few, so it is one page."""

    data: list[EventTypeVersion]
    next_cursor: str | None = None
    has_more: bool = False


def shown_own(row: EventTypeRow) -> OwnEventType:
    """Return what a row is shown as."""
    body = shown(event_type_in(row)).model_dump(by_alias=True)
    return OwnEventType(**body, created_at=row.created_at, updated_at=row.updated_at)


def shown_version(row: EventTypeVersionRow) -> EventTypeVersion:
    """Return what a version is shown as."""
    return EventTypeVersion(
        version=row.version,
        schema=object_of(row.schema),
        example=object_of(row.example),
        created_at=row.created_at,
    )


def shown_released(version: int, schema: Mapping[str, Any], example: Mapping[str, Any]) -> EventTypeVersion:
    """Return what a version of a built-in type is shown as."""
    return EventTypeVersion(version=version, schema=dict(schema), example=dict(example), created_at=None)
