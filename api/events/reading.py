"""`GET /api/v1/events`: what was published, and what became of it."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query

from api.callers import may
from api.credentials import Caller
from api.database import Db
from api.errors import Flaw, InvalidRequest, NotFound
from api.events.log import Order, Wanted, deliveries_of_event, event_of, events_of
from api.events.outcomes import LONGEST_SPAN_DAYS, EventOutcome
from api.events.shown import EventBody, EventDetail, shown, shown_with_deliveries
from api.lists import Cursor, Limit, Page, Place, page_by_time, place_after
from api.parameters import WITHOUT_NUL, Since, Until, check_order
from api.permissions import Permission
from api.problems import documented
from api.requests import JsonRoute
from schemas.ids import FILED_AFTER, is_time_ordered

router = APIRouter(
    prefix="/api/v1/events",
    tags=["events"],
    route_class=JsonRoute,
    responses=documented(401, 422, 503),
)

Reader = Annotated[Caller, may(Permission.EVENTS_READ)]

Type = Annotated[str | None, Query(min_length=1, max_length=200, examples=["user.created"]), WITHOUT_NUL]
SourceId = Annotated[
    str | None, Query(min_length=1, max_length=255, description="The publisher's own id, all of it."), WITHOUT_NUL
]

Outcome = Annotated[
    EventOutcome | None,
    Query(
        description="`unwanted`: no subscription wanted it; `undelivered`: some did, and none has taken it yet; "
        "`never_delivered`: both."
    ),
]


@router.get("", operation_id="list_events")
async def list_events(
    *,
    caller: Reader,
    db: Db,
    type: Type = None,  # noqa: A002 - the field's name in CloudEvents and in the body
    since: Since = None,
    until: Until = None,
    source_id: SourceId = None,
    outcome: Outcome = None,
    order: Order = Order.DESC,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Page[EventBody]:
    """List the organization's events, newest first unless `order` says otherwise.

    `outcome` finds those that never arrived anywhere, within 31 days at most: give `since`.
    """
    check_order(since, until)
    now = datetime.now(UTC)
    if outcome is not None:
        _check_span(since, until, now=now)
        until = until or now + FILED_AFTER
    wanted = Wanted(type=type, source_id=source_id, since=since, until=until, order=order, outcome=outcome)
    found = await events_of(db, caller.organization_id, wanted, after=place_after(cursor), limit=limit + 1)
    places = [Place(row.at, row.id) for row in found]
    return page_by_time([shown(row) for row in found], limit=limit, places=places)


@router.get(
    "/{event_id}",
    operation_id="get_event",
    responses=documented(404, 412),
)
async def get_event(event_id: str, caller: Reader, db: Db) -> EventDetail:
    """Show one event, and what became of it per subscription: of more than 1,000 the first."""
    row = await event_of(db, caller.organization_id, event_id) if is_time_ordered(event_id, "evt") else None
    if row is None:
        raise NotFound("this organization has no event of this id")
    deliveries = await deliveries_of_event(db, row)
    return shown_with_deliveries(row, deliveries, now=datetime.now(UTC))


def _check_span(since: datetime | None, until: datetime | None, *, now: datetime) -> None:
    """Raise InvalidRequest unless a list by outcome is bounded: events are looked at one by one for it."""
    if since is None:
        flaw = Flaw(f"goes with since, at most {LONGEST_SPAN_DAYS} days before until", parameter="outcome")
    elif (until or now) - since > timedelta(days=LONGEST_SPAN_DAYS):
        flaw = Flaw(f"is more than {LONGEST_SPAN_DAYS} days before until: outcome looks no further", parameter="since")
    else:
        return
    raise InvalidRequest(f"{flaw.parameter}: {flaw.detail}", flaws=[flaw])
