"""`--since` and `--until`: so long ago, a time, a day."""

from datetime import UTC, datetime

import pytest

from compose.moments import moment_of
from schemas.errors import InvalidInput

NOW = datetime(2026, 11, 21, 15, 30, 0, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2h", "2026-11-21T13:30:00.250000Z"),
        ("500ms", "2026-11-21T15:29:59.750000Z"),
        ("7d", "2026-11-14T15:30:00.250000Z"),
        (" 15m ", "2026-11-21T15:15:00.250000Z"),
        ("2026-11-20T10:00:00Z", "2026-11-20T10:00:00Z"),
        ("2026-11-20T10:00:00+02:00", "2026-11-20T08:00:00Z"),
        ("2026-11-20T10:00:00.5-01:30", "2026-11-20T11:30:00.500000Z"),
        ("2026-11-20", "2026-11-20T00:00:00Z"),
        ("today", "2026-11-21T00:00:00Z"),
        ("yesterday", "2026-11-20T00:00:00Z"),
    ],
)
def test_is_written_as_the_api_takes_it(text: str, moment: str) -> None:
    assert moment_of(text, now=NOW) == moment


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("2026-11-20T10:00:00", "has no time zone: write 2026-11-20T10:00:00Z"),  # whose ten o'clock?
        ("30d", "at most 7d; for longer ago give a day"),
        ("0s", "longer than nothing"),
        ("5x", "is no time: write 2h"),
        ("", "is no time"),
        ("second", "is no time"),  # ends like a duration
        ("2026-13-01", "is no time"),
        ("0001-01-01T00:00:00+10:00", "is no time"),  # in UTC it would be before the year 1
    ],
)
def test_what_is_no_moment_is_refused_with_what_to_write(text: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says.replace("?", r"\?")):
        moment_of(text, now=NOW)
