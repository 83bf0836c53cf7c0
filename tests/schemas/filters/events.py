"""An event to ask filters about, and whether one takes it."""

from datetime import UTC, datetime
from typing import Any

import orjson

from schemas.filters import EventContext, checked_filters, filters_of
from schemas.ids import EventId, OrganizationId
from schemas.json_values import Json
from schemas.records import Event

CREATED_AT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


def event(data: Json = None, *, previous: Json = None, metadata: Json = None, **other: Any) -> Event:
    """Return an event of `user.created` with this data."""
    fields: dict[str, Any] = {
        "id": EventId("evt_019a9f2a11127a3b8c4d5e6f708192a3"),
        "type": "user.created",
        "organization_id": OrganizationId("org_1"),
        "created_at": CREATED_AT,
        "data": orjson.dumps({} if data is None else data),
        "previous": None if previous is None else orjson.dumps(previous),
        "metadata": None if metadata is None else orjson.dumps(metadata),
    }
    return Event(**{**fields, **other})


def takes(filters: Json, of: Event) -> bool:
    """Return whether filters, checked as when they are saved, take an event."""
    return filters_of(checked_filters(filters)).take(EventContext.of(of))


def cel(expression: str, data: Json = None, **other: Any) -> bool:
    """Return what an expression says of an event with this data."""
    return takes([{"cel": expression}], event(data, **other))
