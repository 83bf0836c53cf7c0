"""From what a caller asks for to a replay: checked, bounded by where the log stands now, counted or begun."""

from dataclasses import dataclass
from datetime import UTC, datetime

from fastapi import Response
from fastapi.responses import JSONResponse

from api.credentials import Caller
from api.database import Db
from api.errors import Conflict, Flaw, InvalidRequest
from api.event_types.matching import check_patterns
from api.replays import queries
from api.replays.bodies import NewReplay, ReplayBody, ReplayCount, shown
from api.replays.choosing import choice_of, count_of
from api.replays.estimating import estimated
from api.replays.log_bodies import shown_estimate
from api.replays.log_bounds import LogBounds, bounds_of, by_offsets, by_time
from api.replays.log_replay import window_of
from api.replays.positions import Positions, kept_of, offsets_in
from api.replays.stored_events import with_stored_begin
from api.replays.tables import ReplayRow, ReplaySource, ReplayState
from api.replays.wanting import Wanting
from api.services import Services
from api.settings import ApiSettings
from api.subscriptions.tables import subscription_of
from schemas.errors import InvalidInput
from schemas.filters import checked_filters
from schemas.ids import OrganizationId, is_time_ordered, new_replay_id

PATH = "/api/v1/replays"


@dataclass(frozen=True, slots=True)
class _Plan:
    """What of the log is to be read, and where Kafka's part of it begins."""

    positions: Positions
    bounds: LogBounds


async def begun(
    body: NewReplay, caller: Caller, db: Db, services: Services, response: Response
) -> ReplayBody | Response:
    """Return a replay that begins, or with `dry_run` what it would send.

    Raises InvalidRequest with every flaw, Conflict when too many are sending, LogAway.
    """
    row = _row_of(body, caller, services.settings)
    await _check(db, body, row, services.settings)
    plan = await _planned(db, body, row, services) if row.source == ReplaySource.LOG else None
    if body.dry_run:
        return JSONResponse(await _counted(db, row, plan))
    await check_room(db, caller, services.settings)
    if plan is not None:
        row.positions, row.log_total, row.log_read = kept_of(plan.positions), offsets_in(plan.positions), 0
    await queries.started(db, row)
    response.headers["Location"] = f"{PATH}/{row.id}"
    return shown(row)


async def check_room(db: Db, caller: Caller, settings: ApiSettings) -> None:
    """Raise Conflict when as many of the organization's replays are sending as may."""
    most = settings.most_replays_at_once
    if await queries.sending_of(db, caller.organization_id) >= most:
        raise Conflict(f"{most} replays are sending already: wait for one of them, or pause or cancel it")


async def _counted(db: Db, row: ReplayRow, plan: _Plan | None) -> dict[str, object]:
    if plan is None:
        return ReplayCount(count=await count_of(db, choice_of(row))).model_dump()
    estimate = await estimated(db, window_of(row), plan.positions, plan.bounds.low, Wanting(row))
    return shown_estimate(estimate, rate_per_s=row.rate_per_s).model_dump()


async def _planned(db: Db, body: NewReplay, row: ReplayRow, services: Services) -> _Plan:
    bounds = await bounds_of(services.kafka.client_config(), row.since, row.until)
    if body.offsets is None:
        return _Plan(await with_stored_begin(db, window_of(row), by_time(bounds)), bounds)
    asked = (body.offsets.first, body.offsets.past)
    first, past = ({int(number): at for number, at in each.items()} for each in asked)
    numbered = f"hookline.events has no such partition: they are 0 to {max(bounds.low)}"
    flaws = [
        Flaw(numbered, pointer=f"/offsets/{side}/{number}")
        for side, numbers in (("from", first), ("to", past))
        for number in numbers
        if number not in bounds.low
    ]
    flaws += [
        Flaw("must be after from", pointer=f"/offsets/to/{number}")
        for number, at in past.items()
        if at <= first.get(number, -1)
    ]
    _refuse(flaws)
    return _Plan(by_offsets(bounds, first, past), bounds)


def _row_of(body: NewReplay, caller: Caller, settings: ApiSettings) -> ReplayRow:
    offsets = body.offsets
    return ReplayRow(
        id=new_replay_id(),
        organization_id=caller.organization_id,
        is_retry=False,
        state=ReplayState.PENDING,
        source=body.source,
        subscription_id=body.subscription_id,
        event_types=body.event_types,
        delivery_state=body.state,
        since=body.since,
        until=body.until,
        offsets=None if offsets is None else {"from": offsets.first, "to": offsets.past},
        rate_per_s=settings.replays_per_s if body.rate_per_s is None else body.rate_per_s,
        payload=body.payload,
        created_at=datetime.now(UTC),
        **queries.NOTHING_COUNTED,
    )


async def _check(db: Db, body: NewReplay, row: ReplayRow, settings: ApiSettings) -> None:
    """Raise InvalidRequest with every flaw that the body's types do not show; keep what filters come to."""
    await check_patterns(db, OrganizationId(row.organization_id), body.event_types or [])
    flaws = _of_the_log(body, row) if row.source == ReplaySource.LOG else _of_deliveries(body, row)
    if row.since is not None and row.until is not None and row.since >= row.until:
        flaws.append(Flaw("must be after since", pointer="/until"))
    if row.rate_per_s > settings.most_replayed_per_s and body.rate_per_s is not None:
        flaws.append(Flaw(f"must be at most {settings.most_replayed_per_s:g}", pointer="/rate_per_s"))
    if row.subscription_id is not None and not await _is_there(db, row.organization_id, row.subscription_id):
        flaws.append(Flaw("this organization has no subscription of this id", pointer="/subscription_id"))
    _refuse(flaws)


def _of_deliveries(body: NewReplay, row: ReplayRow) -> list[Flaw]:
    flaws = []
    if row.subscription_id is None and row.delivery_state is None and row.since is None:
        flaws.append(
            Flaw("give a subscription_id, a state or since: without any, all that is kept is sent again", pointer="")
        )
    for name, value in (("offsets", body.offsets), ("filters", body.filters)):
        if value is not None:
            flaws.append(Flaw('goes with "source": "log"', pointer=f"/{name}"))
    return flaws


def _of_the_log(body: NewReplay, row: ReplayRow) -> list[Flaw]:
    flaws = []
    if (row.since is None) == (body.offsets is None):
        flaws.append(Flaw("of the log give since or offsets, one of them", pointer=""))
    elif body.offsets is not None and not (body.offsets.first or body.offsets.past):
        flaws.append(Flaw('name a partition, such as {"from": {"0": 1200}}', pointer="/offsets"))
    if row.until is not None and body.offsets is not None:
        flaws.append(Flaw("goes with since; of offsets say to", pointer="/until"))
    if row.delivery_state is not None:
        flaws.append(Flaw("is a delivery's: the log has events, whatever became of them", pointer="/state"))
    if body.filters is not None:
        try:
            row.filters = checked_filters(body.filters)
        except InvalidInput as error:
            flaws.append(Flaw(error.detail, pointer=error.pointer or "/filters"))
    return flaws


def _refuse(flaws: list[Flaw]) -> None:
    if flaws:
        raise InvalidRequest(f"{flaws[0].pointer or 'the body'}: {flaws[0].detail}", flaws=flaws)


async def _is_there(db: Db, organization_id: str, subscription_id: str) -> bool:
    if not is_time_ordered(subscription_id, "sub"):
        return False
    return await subscription_of(db, OrganizationId(organization_id), subscription_id) is not None
