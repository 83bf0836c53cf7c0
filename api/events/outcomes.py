"""What became of events, as a condition on a list of them: wanted by nobody, or wanted and never taken.

Both are asked for by an index over a day's table: `deliveries_of_event` for each event that is looked at, and where
something was owed, first of all `deliveries_by_state`, which holds only what did not succeed.
"""

from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import ColumnElement, Integer, SQLColumnExpression, literal_column, select, tuple_
from sqlalchemy.orm import aliased

from api.deliveries.tables import AttemptRow, DeliveryRow, DeliveryState, EventRow
from schemas.ids import OrganizationId
from schemas.records import FIRST_ROUND

LONGEST_SPAN_DAYS: Final = 31
_ONE: Final = literal_column("1", Integer)
_UNDELIVERED: Final = (DeliveryState.PENDING, DeliveryState.RETRYING, DeliveryState.FAILED, DeliveryState.HELD)


class EventOutcome(StrEnum):
    """What became of an event, over all subscriptions."""

    UNWANTED = "unwanted"
    UNDELIVERED = "undelivered"
    NEVER_DELIVERED = "never_delivered"


def conditions_of(
    outcome: EventOutcome, organization_id: OrganizationId, *, since: datetime | None, until: datetime | None
) -> list[ColumnElement[bool]]:
    """Return what finds an organization's events of an outcome, among those filed from `since` on and before `until`.

    Tests are no events of anybody's. What was taken in an earlier round was delivered, whatever became of a replay.
    """
    conditions: list[ColumnElement[bool]] = [EventRow.partition >= 0]
    if outcome is EventOutcome.UNWANTED:
        return [*conditions, _none_of(since, until)]
    conditions += [
        _none_of(since, until, DeliveryRow.state == DeliveryState.SUCCESS),
        _never_taken_before(since, until),
    ]
    if outcome is EventOutcome.UNDELIVERED:
        owed = aliased(DeliveryRow)
        wanted = select(owed.event_id, owed.at).where(
            owed.organization_id == organization_id, owed.state.in_(_UNDELIVERED), owed.is_test.is_(False)
        )
        conditions.append(tuple_(EventRow.id, EventRow.at).in_(wanted.where(*_span(owed.at, since, until))))
    return conditions


def _none_of(since: datetime | None, until: datetime | None, *more: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return that an event has no such delivery. With LIMIT it stays a look into the index: no join of whole tables."""
    found = select(_ONE).where(
        DeliveryRow.event_id == EventRow.id,
        DeliveryRow.at == EventRow.at,
        *_span(DeliveryRow.at, since, until),
        *more,
    )
    return found.limit(_ONE).correlate(EventRow).scalar_subquery().is_(None)


def _never_taken_before(since: datetime | None, until: datetime | None) -> ColumnElement[bool]:
    again = aliased(DeliveryRow)
    taken = select(_ONE).where(
        again.event_id == EventRow.id,
        again.at == EventRow.at,
        *_span(again.at, since, until),
        again.round > FIRST_ROUND,
        select(_ONE)
        .where(AttemptRow.delivery_id == again.id, AttemptRow.at >= again.at, AttemptRow.state == DeliveryState.SUCCESS)
        .limit(_ONE)
        .correlate(again)
        .scalar_subquery()
        .is_not(None),
    )
    return taken.limit(_ONE).correlate(EventRow).scalar_subquery().is_(None)


def _span(
    at: SQLColumnExpression[datetime], since: datetime | None, until: datetime | None
) -> list[ColumnElement[bool]]:
    """Return the bounds of the days' tables, said of every table: PostgreSQL does not carry them over."""
    bounds: list[ColumnElement[bool]] = []
    if since is not None:
        bounds.append(at >= since)
    if until is not None:
        bounds.append(at < until)
    return bounds
