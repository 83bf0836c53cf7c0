"""How often filters of subscriptions failed: `hookline.filter-errors` as a table."""

from collections.abc import Sequence
from typing import Final

from api.projection.positions import Connection
from api.projection.reading import FilterErrorsSeen, Seen

# Of a subscription that is gone, or has other filters by now, nothing is kept.
_ADD: Final = """
INSERT INTO filter_errors AS f (subscription_id, subscription_version, organization_id, count, last_error,
    last_event_id, last_at)
SELECT $1, $2, $3, $4, $5, $6, $7 WHERE EXISTS (
    SELECT FROM subscriptions s WHERE s.id = $1 AND s.organization_id = $3 AND s.filters_version <= $2
)
ON CONFLICT (subscription_id, subscription_version) DO UPDATE SET count = f.count + excluded.count,
    last_error = excluded.last_error, last_event_id = excluded.last_event_id, last_at = excluded.last_at
"""


async def add(raw: Connection, seen: Sequence[Seen]) -> None:
    """Add what workers counted, in the order of the log, in the caller's transaction."""
    rows = [
        (
            one.errors.subscription_id,
            one.errors.subscription_version,
            one.errors.organization_id,
            one.errors.count,
            one.errors.error,
            one.errors.event_id,
            one.errors.at,
        )
        for one in seen
        if isinstance(one, FilterErrorsSeen)
    ]
    if rows:
        await raw.executemany(_ADD, rows)
