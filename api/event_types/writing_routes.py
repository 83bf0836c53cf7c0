"""`/api/v1/event-types`: defining, changing and deleting an organization's own; built-in ones are read."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from api.audit.recording import note
from api.callers import may
from api.credentials import Caller
from api.database import Db
from api.errors import NotFound
from api.event_types import changes, tables
from api.event_types.finding import EVENT_TYPES_PATH, NOT_THERE, found_to_change
from api.event_types.own import built_in_for
from api.event_types.writing_bodies import (
    EventTypePatch,
    EventTypeVersion,
    EventTypeVersions,
    NewEventType,
    OwnEventType,
    shown_own,
    shown_released,
    shown_version,
)
from api.organizations.finding import locked_organization
from api.organizations.settling import settled_organization
from api.permissions import Permission
from api.preconditions import conditional, etag_of
from api.problems import documented
from api.requests import JsonRoute
from api.services import AllServices
from schemas.catalogue import Catalogue
from schemas.releases import released_of

router = APIRouter(
    prefix=EVENT_TYPES_PATH,
    tags=["event types"],
    route_class=JsonRoute,
    responses=documented(401, 403, 422, 503),
)

Reader = Annotated[Caller, may(Permission.EVENT_TYPES_READ)]
Creator = Annotated[Caller, may(Permission.EVENT_TYPES_CREATE)]
Changer = Annotated[Caller, may(Permission.EVENT_TYPES_UPDATE)]
Deleter = Annotated[Caller, may(Permission.EVENT_TYPES_DELETE)]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
_with_body = documented(400, 409, 413, 415)


@router.post("", status_code=201, operation_id="create_event_type", responses=_with_body)
async def create_event_type(
    body: NewEventType, caller: Creator, db: Db, services: AllServices, response: Response
) -> OwnEventType:
    """Define an event type. Publishers, workers and this API take its events within 2 seconds."""
    await settled_organization(db, caller)
    await locked_organization(db, caller.organization_id)  # so that two at once are counted one after the other
    row = await changes.create(db, caller, body, most=services.settings.most_event_types)
    response.headers["Location"] = f"{EVENT_TYPES_PATH}/{row.name}"
    response.headers["ETag"] = etag_of(row.revision)
    return shown_own(row)


@router.patch(
    "/{name}",
    operation_id="change_event_type",
    dependencies=[conditional],
    responses={**documented(404, 412), **_with_body},
)
async def change_event_type(
    *, name: str, body: EventTypePatch, caller: Changer, db: Db, request: Request, response: Response
) -> OwnEventType:
    """Change what the body names. Another schema makes the next version, unless it breaks one that was released."""
    row = await found_to_change(db, caller, name, request)
    note(request, changes=await changes.change(db, caller, row, body))
    response.headers["ETag"] = etag_of(row.revision)
    return shown_own(row)


@router.delete(
    "/{name}",
    status_code=204,
    operation_id="delete_event_type",
    response_class=Response,
    dependencies=[conditional],
    responses=documented(404, 409, 412),
)
async def delete_event_type(name: str, caller: Deleter, db: Db, request: Request) -> None:
    """Delete a draft. One that was active stays, for the events that are on the log."""
    row = await found_to_change(db, caller, name, request)
    note(request, changes={"version": row.version, "description": row.description})
    await changes.delete(db, caller, row)


@router.get("/{name}/versions", operation_id="list_event_type_versions", responses=documented(404))
async def list_event_type_versions(name: str, caller: Reader, db: Db, services: AllServices) -> EventTypeVersions:
    """List every version of an event type that was ever released, the newest first; of a built-in one, today's."""
    return EventTypeVersions(data=await _versions(db, caller, name, services.catalogue))


@router.get("/{name}/versions/{version}", operation_id="get_event_type_version", responses=documented(404))
async def get_event_type_version(
    name: str, version: Number, caller: Reader, db: Db, services: AllServices
) -> EventTypeVersion:
    """Show one version of an event type."""
    for each in await _versions(db, caller, name, services.catalogue):
        if each.version == version:
            return each
    raise NotFound("this event type has no such version")


async def _versions(db: Db, caller: Caller, name: str, known: Catalogue) -> list[EventTypeVersion]:
    built_in = built_in_for(caller.organization_id, name, known)
    if built_in is not None:
        released = released_of(name) or {built_in.version: built_in.schema}
        return [shown_released(number, released[number], built_in.example) for number in sorted(released, reverse=True)]
    rows = await tables.versions_of(db, caller.organization_id, name)
    if not rows:
        raise NotFound(NOT_THERE)
    return [shown_version(row) for row in rows]
