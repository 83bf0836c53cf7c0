"""`POST /subscriptions/dry-run` and `…/{id}/dry-run`: this filter and this payload against the events that were.

Bounded by a number of events and by time, read some at a time, and judged in slices of a few milliseconds, so that
other requests are answered meanwhile.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, cast

from fastapi import APIRouter, Body, Request

from api.callers import Access, check_access, may
from api.credentials import Caller
from api.database import tenant_transaction_of
from api.deliveries.tables import EventRow
from api.dry_runs.bodies import DryRun, DryRunBody, DryRunOfOne, StoppedBy, shown
from api.dry_runs.history import newest_events
from api.dry_runs.judging import Judge
from api.event_types.matching import check_patterns
from api.permissions import Permission, RateClass
from api.problems import documented
from api.requests import JsonRoute
from api.services import AllServices, Services
from api.subscriptions.finding import PATH, found
from api.subscriptions.payloads import PayloadSettings, text_of
from api.subscriptions.tables import record_of
from schemas.catalogue import Catalogue
from schemas.filters import checked_filters, filters_of
from schemas.ids import OrganizationId, SubscriptionId, new_subscription_id
from schemas.json_values import Json
from schemas.patterns import matches
from schemas.payloads import payload_of

LONGEST_S: Final = 5.0
_SLICE_S: Final = 0.005  # what another request may wait for
_COUNTED_AS_ONE: Final = 1000  # events, against the rate limit
_ALL: Final = {"*", "**"}

router = APIRouter(
    prefix=PATH, tags=["subscriptions"], route_class=JsonRoute, responses=documented(400, 401, 413, 415, 422, 503)
)


@dataclass(frozen=True, slots=True)
class Asked:
    """Which events to look at."""

    patterns: Sequence[str]
    since: datetime | None
    limit: int


Reader = Annotated[Caller, may(Permission.EVENTS_READ)]


@router.post("/dry-run", operation_id="dry_run_subscription")
async def dry_run(*, body: DryRun, caller: Reader, services: AllServices, request: Request) -> DryRunBody:
    """Try filters and a payload on the newest events, before a subscription has them. Nothing is saved or sent.

    It ends after 5 s at the latest and says then how far it came.
    """
    async with tenant_transaction_of(services.engine, caller.organization_id) as db:
        await check_patterns(db, caller.organization_id, body.event_types)
    judge = Judge(
        subscription_id=new_subscription_id(),
        filters=filters_of(_filters_text(body.filters)),
        payload=payload_of(_payload_text(body.payload)),
        catalogue=services.catalogue,
    )
    asked = Asked(body.event_types, body.since, body.limit)
    return await _tried(judge, asked, caller=caller, services=services, request=request)


@router.post("/{subscription_id}/dry-run", operation_id="dry_run_saved_subscription", responses=documented(404))
async def dry_run_saved(
    *,
    subscription_id: str,
    body: Annotated[DryRunOfOne | None, Body()] = None,
    caller: Reader,
    services: AllServices,
    request: Request,
) -> DryRunBody:
    """Try what a subscription would get of the newest events, as it is or with other filters or another payload.

    It takes the permission to see subscriptions, too. Nothing is saved or sent.
    """
    check_access(caller, Access(Permission.SUBSCRIPTIONS_READ))
    wanted = body or DryRunOfOne()
    given = wanted.model_fields_set
    async with tenant_transaction_of(services.engine, caller.organization_id) as db:
        saved = record_of(await found(db, caller, subscription_id))
        await check_patterns(db, caller.organization_id, wanted.event_types)
    judge = Judge(
        subscription_id=SubscriptionId(saved.id),
        filters=filters_of(_filters_text(wanted.filters) if "filters" in given else saved.filters),
        payload=payload_of(_payload_text(wanted.payload) if "payload" in given else saved.payload),
        catalogue=services.catalogue,
    )
    event_types = wanted.event_types if "event_types" in given else saved.event_types
    asked = Asked(event_types, wanted.since, wanted.limit)
    return await _tried(judge, asked, caller=caller, services=services, request=request)


def types_of(patterns: Sequence[str], catalogue: Catalogue, organization_id: OrganizationId) -> list[str] | None:
    """Return the event types that patterns take; None for all."""
    if _ALL & {*patterns}:
        return None
    known = [event_type.name for event_type in catalogue.all_of(organization_id)]
    named = {pattern for pattern in patterns if not pattern.endswith("*")}
    return sorted(named | {name for name in known if any(matches(pattern, name) for pattern in patterns)})


async def _tried(judge: Judge, asked: Asked, *, caller: Caller, services: Services, request: Request) -> DryRunBody:
    more = (asked.limit - 1) // _COUNTED_AS_ONE
    request.state.rate_headers |= await services.limits.take_more(caller, RateClass.READING, more)
    event_types = types_of(asked.patterns, judge.catalogue, caller.organization_id)
    history = newest_events(services.engine, caller.organization_id, event_types, since=asked.since)
    return shown(judge, await looked_through(judge, history, limit=asked.limit))


async def looked_through(judge: Judge, history: AsyncIterator[Sequence[EventRow]], *, limit: int) -> StoppedBy:
    """Let the judge look at up to `limit` events, for 5 s at most; return why it stopped."""
    began = slice_began = time.monotonic()
    left = limit
    async for rows in history:
        for row in rows[:left]:
            judge.look_at(row)
            now = time.monotonic()
            if now - began > LONGEST_S:
                return StoppedBy.TIME
            if now - slice_began > _SLICE_S:
                await asyncio.sleep(0)
                slice_began = time.monotonic()
        left -= len(rows)
        if left <= 0:
            return StoppedBy.LIMIT
    return StoppedBy.END


def _filters_text(filters: object) -> str | None:
    return checked_filters(cast(Json, filters)) if filters else None


def _payload_text(payload: PayloadSettings | None) -> str | None:
    return None if payload is None else text_of(payload)
