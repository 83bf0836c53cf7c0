"""An event type of the organization's own, by the name in a route's path."""

from typing import Final

from fastapi import Request

from api.credentials import Caller
from api.database import Db
from api.errors import Conflict, NotFound
from api.event_types import tables
from api.event_types.tables import EventTypeRow
from api.preconditions import etag_of, is_unchanged
from schemas.catalogue import catalogue

EVENT_TYPES_PATH: Final = "/api/v1/event-types"
NOT_THERE: Final = "the catalogue has no event type of this name"


async def found_to_change(db: Db, caller: Caller, name: str, request: Request) -> EventTypeRow:
    """Return the caller's own event type, locked.

    Raises Conflict for one that is built in, NotFound, and PreconditionFailed when If-Match names another revision.
    """
    row = await tables.event_type_to_change(db, caller.organization_id, name)
    if row is None and name in catalogue():
        raise Conflict(f"{name} is built in and cannot be changed: define an event type of your own")
    if row is None:
        raise NotFound(NOT_THERE)
    is_unchanged(request, etag_of(row.revision))
    return row
