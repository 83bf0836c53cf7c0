"""`GET /api/v1/event-types`: the catalogue, built in and the organization's own."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.callers import may
from api.credentials import Caller
from api.database import Db
from api.errors import Flaw, InvalidRequest, NotFound
from api.event_types.bodies import EventTypeDetail, EventTypes, shown, shown_in_detail
from api.event_types.own import built_in_for, event_type_in, own_row, own_types, own_versions
from api.permissions import Permission
from api.preconditions import etag_of
from api.problems import documented
from api.requests import JsonRoute
from api.services import AllServices
from schemas.catalogue import EventTypeState, among_built_in
from schemas.releases import released_of

router = APIRouter(prefix="/api/v1/event-types", tags=["event types"], route_class=JsonRoute, responses=documented(401))

CatalogueReader = Annotated[Caller, may(Permission.EVENT_TYPES_READ)]
Category = Annotated[str | None, Query(max_length=100, description="Only these, such as `user`.", examples=["user"])]
State = Annotated[EventTypeState | None, Query(description="Only these.")]


@router.get("", operation_id="list_event_types", responses=documented(422))
async def list_event_types(
    caller: CatalogueReader, db: Db, category: Category = None, state: State = None
) -> EventTypes:
    """List the built-in event types and the organization's own, by name."""
    found = among_built_in(await own_types(db, caller.organization_id))
    categories = {each.category for each in found}
    if category is not None and category not in categories:
        flaw = Flaw(f"must be one of {', '.join(sorted(categories))}", parameter="category")
        raise InvalidRequest(f"category: {flaw.detail}", flaws=[flaw])
    return EventTypes(
        data=[shown(each) for each in found if category in {None, each.category} and state in {None, each.state}]
    )


@router.get("/{name}", operation_id="get_event_type", responses=documented(404, 422))
async def get_event_type(
    name: str, caller: CatalogueReader, db: Db, services: AllServices, response: Response
) -> EventTypeDetail:
    """Show one event type: what its data may be, which of it is personal or secret, and what receivers get."""
    built_in = built_in_for(caller.organization_id, name, services.catalogue)
    if built_in is not None:
        return shown_in_detail(built_in, sorted(released_of(name), reverse=True) or None)
    row = await own_row(db, caller.organization_id, name)
    if row is None:
        raise NotFound("the catalogue has no event type of this name")
    response.headers["ETag"] = etag_of(row.revision)
    return shown_in_detail(event_type_in(row), await own_versions(db, caller.organization_id, name))
