"""Windows are together the span that was asked for, in order, without a gap and without a moment twice."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from api.windows import Window, newest_first, oldest_first

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
MOMENTS = [
    None,
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(1970, 1, 1, tzinfo=UTC),
    NOW - timedelta(days=40),
    NOW - timedelta(days=8),
    NOW - timedelta(hours=30),
    NOW,
    NOW + timedelta(days=1),
    datetime(9999, 12, 31, 23, 59, tzinfo=UTC),
]


@pytest.mark.parametrize("since", MOMENTS)
@pytest.mark.parametrize("until", MOMENTS)
def test_they_are_the_whole_span(since: datetime | None, until: datetime | None) -> None:
    newest, oldest = list(newest_first(since, until, now=NOW)), list(oldest_first(since, until))
    assert newest[-1].since == since
    assert newest[0].until == (until or datetime(2026, 11, 23, tzinfo=UTC))
    assert all(later.since == earlier.until for later, earlier in pairwise(newest))
    assert (oldest[0].since, oldest[-1].until) == (since, until)
    assert all(earlier.until == later.since for earlier, later in pairwise(oldest))
    assert len(newest) <= 3
    assert len(oldest) <= 3


def test_the_newest_rows_are_looked_for_in_three_days_tables() -> None:
    assert next(iter(newest_first(None, None, now=NOW))) == Window(
        datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC)
    )
