"""The JSON of which events a subscription wants of its types, and of how its filters fail."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, cast

import orjson
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.fields import without_default
from api.projection.tables import FilterErrorsRow
from api.requests import JsonBody
from api.subscriptions.tables import SubscriptionRow
from schemas.filters import checked_filters
from schemas.filters.dialects import DIALECTS, MOST_FILTERS
from schemas.json_values import Json

EXAMPLE: Final[list[dict[str, Any]]] = [{"prefix": {"source": "/services/"}}, {"cel": "data.amount > 100"}]
_DIALECTS: Final = ", ".join(f"`{dialect}`" for dialect in DIALECTS)
FiltersField = Annotated[
    list[dict[str, JsonValue]],
    Field(
        max_length=MOST_FILTERS,
        description=(
            "Which events of its types it wants: those that all of these filters take (CloudEvents Subscriptions API), "
            f"each an object of one dialect: {_DIALECTS}. Empty, or null: all. See docs/filters.md."
        ),
        examples=[EXAMPLE],
    ),
]


class FilteringSettings(JsonBody):
    """Which events a new or replaced subscription wants of its types."""

    filters: FiltersField | None = None


class FilteringPatch(JsonBody):
    """The same in a merge patch: filters are replaced as a whole."""

    filters: FiltersField | None = Field(default=None, json_schema_extra=without_default)


class ShownFilterErrors(BaseModel):
    """How often the filters could not say whether they take an event; it was not delivered."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "count": 3,
                    "last_error": 'Key not found in map : "amount"',
                    "last_event_id": "evt_019a9f2b6c7d7f0e8d9c0b1a2f3e4d5c",
                    "last_at": "2026-11-21T09:30:00Z",
                    "since_version": 2,
                }
            ]
        }
    )

    count: int = Field(description="Since these filters were set; some seconds old.")
    last_error: str | None = None
    last_event_id: str | None = None
    last_at: datetime | None = None
    since_version: int = Field(description="The subscription's version that has had these filters first.")


class ShownFiltering(BaseModel):
    """The same as it is shown."""

    filters: list[dict[str, JsonValue]] = Field(description="Empty: it wants every event of its types.")
    filter_errors: ShownFilterErrors


def set_filters(filters: Sequence[dict[str, JsonValue]] | None, row: SubscriptionRow) -> None:
    """Make a row want what `filters` take; None or none: every event. The same ones again change nothing.

    Raises InvalidInput with a pointer to what is no filter.
    """
    row.filters = cast(list[Json], orjson.loads(checked_filters(cast(Json, filters)))) if filters else None


def shown_filtering(row: SubscriptionRow, errors: ShownFilterErrors | None) -> ShownFiltering:
    """Return which events a row wants, and how its filters failed; None: they never did."""
    failed = errors or ShownFilterErrors(count=0, since_version=row.filters_version)
    return ShownFiltering(filters=cast(Any, row.filters or []), filter_errors=failed)


async def filter_errors_of(
    db: AsyncSession, organization_id: str, rows: Sequence[SubscriptionRow]
) -> dict[str, ShownFilterErrors]:
    """Return how the filters of an organization's subscriptions failed, by id, of those whose did.

    Each version of a subscription is counted for itself: those that had the filters of today are added up.
    """
    since = {row.id: row.filters_version for row in rows if row.filters is not None}
    if not since:
        return {}
    wanted = (
        select(FilterErrorsRow)
        .where(FilterErrorsRow.organization_id == organization_id, FilterErrorsRow.subscription_id.in_(since))
        .order_by(FilterErrorsRow.subscription_id, FilterErrorsRow.subscription_version)
    )
    found: dict[str, ShownFilterErrors] = {}
    for row in (await db.execute(wanted)).scalars():
        own = since[row.subscription_id]
        if row.subscription_version < own:
            continue  # of filters that were changed since
        before = found.get(row.subscription_id)
        found[row.subscription_id] = ShownFilterErrors(
            count=row.count + (before.count if before else 0),
            last_error=row.last_error,
            last_event_id=row.last_event_id,
            last_at=row.last_at,
            since_version=own,
        )
    return found
