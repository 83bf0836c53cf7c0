"""`/api/v1/replays`: deliveries that are sent again, as jobs. What sends them is api/replays/running.py."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from api.callers import may
from api.credentials import Caller
from api.database import Db
from api.errors import Conflict, Flaw, InvalidRequest, NotFound
from api.lists import Cursor, Limit, Page, id_after, page_of
from api.permissions import Permission
from api.problems import documented
from api.replays import queries
from api.replays.bodies import NewReplay, ReplayBody, ReplayCount, ReplayItemBody, shown, shown_item
from api.replays.choosing import choice_of, count_of
from api.replays.progress import counted
from api.replays.tables import ItemState, ReplayRow, ReplayState
from api.requests import JsonRoute
from api.services import AllServices
from api.settings import ApiSettings
from api.subscriptions.tables import subscription_of
from schemas.ids import OrganizationId, is_time_ordered, new_replay_id

PATH = "/api/v1/replays"
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
    responses={**documented(400, 409, 413, 415), 200: {"model": ReplayCount, "description": "With `dry_run`."}},
)
async def start_replay(
    body: NewReplay, caller: Writer, db: Db, services: AllServices, response: Response
) -> ReplayBody | Response:
    """Send deliveries again, at a rate of its own. With `dry_run`: say how many they are."""
    return await begun(body, caller, db, services.settings, response)


async def begun(
    body: NewReplay, caller: Caller, db: Db, settings: ApiSettings, response: Response
) -> ReplayBody | Response:
    """Return a replay that begins, or with `dry_run` how many deliveries it would take; raises Conflict."""
    row = _row_of(body, caller, settings)
    await _check(db, body, row, settings)
    if body.dry_run:
        return JSONResponse(ReplayCount(count=await count_of(db, choice_of(row))).model_dump())
    most = settings.most_replays_at_once
    if await queries.sending_of(db, caller.organization_id) >= most:
        raise Conflict(f"{most} replays are sending already: wait for one of them, or cancel it")
    await queries.started(db, row)
    response.headers["Location"] = f"{PATH}/{row.id}"
    return shown(row)


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
    row = None
    if is_time_ordered(replay_id, "rpl"):
        row = await queries.replay_to_change(db, caller.organization_id, replay_id)
    row = _there(row)
    if row.state in {ReplayState.COMPLETED, ReplayState.CANCELLED}:
        raise Conflict(f"this replay is {row.state} already")
    row.state = ReplayState.CANCELLED
    await db.flush()
    await queries.cancelled(db, row.id, limit=_CANCELLED_AT_ONCE, now=datetime.now(UTC))
    await counted(db, [row.id])
    await queries.notified(db, row.id)
    await db.refresh(row)
    return shown(row)


def _row_of(body: NewReplay, caller: Caller, settings: ApiSettings) -> ReplayRow:
    return ReplayRow(
        id=new_replay_id(),
        organization_id=caller.organization_id,
        is_retry=False,
        state=ReplayState.PENDING,
        subscription_id=body.subscription_id,
        event_types=body.event_types,
        delivery_state=body.state,
        since=body.since,
        until=body.until,
        rate_per_s=settings.replays_per_s if body.rate_per_s is None else body.rate_per_s,
        payload=body.payload,
        created_at=datetime.now(UTC),
        **queries.NOTHING_COUNTED,
    )


async def _check(db: Db, body: NewReplay, row: ReplayRow, settings: ApiSettings) -> None:
    """Raise InvalidRequest with every flaw that the body's types do not show."""
    flaws = []
    if row.subscription_id is None and row.delivery_state is None and row.since is None:
        flaws.append(
            Flaw("give a subscription_id, a state or since: without any, all that is kept is sent again", pointer="")
        )
    if row.since is not None and row.until is not None and row.since >= row.until:
        flaws.append(Flaw("must be after since", pointer="/until"))
    if row.rate_per_s > settings.most_replayed_per_s and body.rate_per_s is not None:
        flaws.append(Flaw(f"must be at most {settings.most_replayed_per_s:g}", pointer="/rate_per_s"))
    if row.subscription_id is not None and not await _is_there(db, row.organization_id, row.subscription_id):
        flaws.append(Flaw("this organization has no subscription of this id", pointer="/subscription_id"))
    if flaws:
        raise InvalidRequest(f"{flaws[0].pointer or 'the body'}: {flaws[0].detail}", flaws=flaws)


async def _is_there(db: Db, organization_id: str, subscription_id: str) -> bool:
    if not is_time_ordered(subscription_id, "sub"):
        return False
    return await subscription_of(db, OrganizationId(organization_id), subscription_id) is not None


async def _found(db: Db, caller: Caller, replay_id: str) -> ReplayRow:
    row = None
    if is_time_ordered(replay_id, "rpl"):
        row = await queries.replay_of(db, caller.organization_id, replay_id)
    return _there(row)


def _there(row: ReplayRow | None) -> ReplayRow:
    if row is None:
        raise NotFound("this organization has no replay of this id")
    return row
