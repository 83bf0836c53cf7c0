"""In which spans of time a list by day is read: the nearest days first, all of them only when those do not fill a page.

PostgreSQL plans a query anew for every day's table that it may touch, so a page of the newest rows must not name ninety
of them (figures in docs/performance.md). Within a span the tables are read in their order, and only as far as it takes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final

DAY: Final = timedelta(days=1)
_SPANS: Final = (1 * DAY, 8 * DAY)  # and then everything
_EARLIEST: Final = datetime(1970, 2, 1, tzinfo=UTC)  # nothing is filed before, and a day less than year 1 has no name
_LATEST: Final = datetime(9999, 12, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Window:
    """From `since` on and before `until`; None: as far as there is anything."""

    since: datetime | None
    until: datetime | None


def newest_first(since: datetime | None, until: datetime | None, *, now: datetime) -> Iterator[Window]:
    """Yield windows that together are the span from `since` to `until`, the newest first.

    Without `until` it ends with tomorrow: nothing is filed later (schemas/ids.py, `filed_at`), and the table for what
    no day's table takes need not be looked into.
    """
    end = midnight(now) + 2 * DAY if until is None else until
    near = midnight(max(min(end, now), _EARLIEST))
    for span in _SPANS:
        begin = near - span
        if begin >= end or (since is not None and begin <= since):
            break
        yield Window(begin, end)
        end = begin
    yield Window(since, end)


def oldest_first(since: datetime | None, until: datetime | None) -> Iterator[Window]:
    """Yield windows that together are the span from `since` to `until`, the oldest first."""
    if since is not None:
        near = midnight(min(since, _LATEST)) + DAY
        for span in _SPANS:
            end = near + span
            if end <= since or (until is not None and end >= until):
                break
            yield Window(since, end)
            since = end
    yield Window(since, until)


def midnight(moment: datetime) -> datetime:
    """Return the beginning of a moment's day in UTC, where the tables of two days meet."""
    return datetime.combine(moment.astimezone(UTC).date(), time(), UTC)
