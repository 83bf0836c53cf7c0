"""`/api/v1/replays`: deliveries that are sent again, as jobs. What sends them is api/replays/running.py."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Response

from api.callers import may
from api.credentials import Caller
from api.database import Db
from api.errors import Conflict, NotFound
from api.lists import Cursor, Limit, Page, id_after, page_of
from api.permissions import Permission
from api.problems import documented
from api.replays import queries
from api.replays.beginning import PATH, begun, check_room
from api.replays.bodies import NewReplay, ReplayBody, ReplayCount, ReplayItemBody, shown, shown_item
from api.replays.log_bodies import LogEstimate
from api.replays.progress import counted
from api.replays.tables import ItemState, ReplayRow, ReplayState
from api.requests import JsonRoute
from api.services import AllServices
from schemas.ids import is_time_ordered

_CANCELLED_AT_ONCE = 10_000  # items, in the request itself: under a second. The runner cancels what is left

router = APIRouter(
    prefix=PATH,
    tags=["replays"],
    route_class=JsonRoute,
    responses=documented(401, 422, 503),
)

Reader = Annotated[Caller, may(Permission.REPLAYS_READ)]
Writer = Annotated[Caller, may(Permission.REPLAYS_WRITE)]


@router.post(
    "",
    status_code=202,
    operation_id="start_replay",
    response_model=ReplayBody,
    responses={
        **documented(400, 409, 413, 415),
        200: {"model": ReplayCount | LogEstimate, "description": "With `dry_run`."},
    },
)
async def start_replay(
    body: NewReplay, caller: Writer, db: Db, services: AllServices, response: Response
) -> ReplayBody | Response:
    """Send again, at a rate of its own: deliveries that ended, or the log of events. With `dry_run`: say how much.

    A replay of the log ends where the log ends now. 503 when Kafka does not say where that is.
    """
    return await begun(body, caller, db, services, response)


@router.get("", operation_id="list_replays")
async def list_replays(*, caller: Reader, db: Db, limit: Limit = 25, cursor: Cursor = None) -> Page[ReplayBody]:
    """List the organization's replays, newest first; retries of one delivery are among them."""
    found = await queries.replays_of(db, caller.organization_id, before=id_after(cursor), limit=limit + 1)
    return page_of([shown(row) for row in found], limit=limit, ids=[row.id for row in found])


@router.get("/{replay_id}", operation_id="get_replay", responses=documented(404))
async def get_replay(replay_id: str, caller: Reader, db: Db) -> ReplayBody:
    """Show how far a replay is."""
    return shown(await _found(db, caller, replay_id))


@router.get("/{replay_id}/items", operation_id="list_replay_items", responses=documented(404))
async def list_replay_items(
    *,
    replay_id: str,
    caller: Reader,
    db: Db,
    limit: Limit = 25,
    cursor: Cursor = None,
    state: ItemState | None = None,
) -> Page[ReplayItemBody]:
    """List a replay's deliveries and what became of each, by their ids."""
    replay = await _found(db, caller, replay_id)
    found = await queries.items_of(db, replay, state=state, after=id_after(cursor), limit=limit + 1)
    return page_of([shown_item(row) for row in found], limit=limit, ids=[row.delivery_id for row in found])


@router.post("/{replay_id}/cancel", operation_id="cancel_replay", responses=documented(404, 409))
async def cancel_replay(replay_id: str, caller: Writer, db: Db) -> ReplayBody:
    """Send nothing more. What was sent goes on, retries included, and is still counted."""
    row = await _to_change(db, caller, replay_id)
    if row.state in {ReplayState.COMPLETED, ReplayState.CANCELLED}:
        raise Conflict(f"this replay is {row.state} already")
    row.state, row.paused_at = ReplayState.CANCELLED, None
    await db.flush()
    await queries.cancelled(db, row.id, limit=_CANCELLED_AT_ONCE, now=datetime.now(UTC))
    await counted(db, [row.id])
    await queries.notified(db, row.id)
    await db.refresh(row)
    return shown(row)


@router.post("/{replay_id}/pause", operation_id="pause_replay", responses=documented(404, 409))
async def pause_replay(replay_id: str, caller: Writer, db: Db) -> ReplayBody:
    """Send nothing more until it is resumed, whoever is started again meanwhile. What was sent goes on."""
    row = await _to_change(db, caller, replay_id)
    if row.state not in queries.SENDING:
        raise Conflict(f"this replay is {row.state}: it sends nothing that could wait")
    row.state, row.paused_at = ReplayState.PAUSED, datetime.now(UTC)
    await db.flush()
    await counted(db, [row.id])
    await queries.notified(db, row.id)
    await db.refresh(row)
    return shown(row)


@router.post("/{replay_id}/resume", operation_id="resume_replay", responses=documented(404, 409))
async def resume_replay(replay_id: str, caller: Writer, db: Db, services: AllServices) -> ReplayBody:
    """Go on where it was paused."""
    row = await _to_change(db, caller, replay_id)
    if row.state != ReplayState.PAUSED:
        raise Conflict(f"this replay is {row.state}, not paused")
    await check_room(db, caller, services.settings)
    row.state = ReplayState.PENDING if row.started_at is None else ReplayState.RUNNING
    row.paused_at = None
    await db.flush()
    await queries.notified(db, row.id)
    return shown(row)


async def _to_change(db: Db, caller: Caller, replay_id: str) -> ReplayRow:
    row = None
    if is_time_ordered(replay_id, "rpl"):
        row = await queries.replay_to_change(db, caller.organization_id, replay_id)
    return _there(row)


async def _found(db: Db, caller: Caller, replay_id: str) -> ReplayRow:
    row = None
    if is_time_ordered(replay_id, "rpl"):
        row = await queries.replay_of(db, caller.organization_id, replay_id)
    return _there(row)


def _there(row: ReplayRow | None) -> ReplayRow:
    if row is None:
        raise NotFound("this organization has no replay of this id")
    return row
