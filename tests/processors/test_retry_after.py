"""Retry-After as RFC 9110 writes it, what others write instead, and clocks that disagree."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from processors.retry_after import LONGEST, parse_http_date, wait_asked_for

STARTED = datetime(1994, 11, 6, 8, 47, 36, 900_000, tzinfo=UTC)
ENDED = datetime(1994, 11, 6, 8, 47, 37, 250_000, tzinfo=UTC)
NAMED = datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)  # RFC 9110, 5.6.7
SECOND = timedelta(seconds=1)


def asked(value: str, *, status: int = 429, date: str | None = None) -> timedelta | None:
    """Return the wait that an answer with this Retry-After, and maybe a Date, asks for."""
    headers = CIMultiDict({"retry-after": value})
    if date is not None:
        headers["date"] = date
    return wait_asked_for(status, headers, started_at=STARTED, ended_at=ENDED)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("1", SECOND),
        ("120", 120 * SECOND),
        (" 120 ", 120 * SECOND),
        ("00000000120", 120 * SECOND),
        ("86400", LONGEST),
        ("86401", LONGEST),
        ("1" + "0" * 30, LONGEST),
        ("9" * 5000, LONGEST),  # more digits than int() reads
        ("Sun, 06 Nov 1994 08:49:37 GMT", NAMED - ENDED),
        ("Sunday, 06-Nov-94 08:49:37 GMT", NAMED - ENDED),
        ("Sun Nov  6 08:49:37 1994", NAMED - ENDED),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST),
    ],
)
def test_seconds_and_all_three_forms_of_a_date_are_honoured_up_to_a_day(
    value: str, wait: timedelta, status: int
) -> None:
    assert asked(value, status=status) == wait


@pytest.mark.parametrize(
    "value",
    [
        "",
        "0",  # at once would use up all attempts at once
        "000",
        "-1",
        "+5",
        "1.5",
        "1e3",
        "1,000",
        "10s",
        "\u0661\u0662",  # digits of another script
        "5\x00",
        "soon",
        "Sun, 06 Nov 1994 08:47:37 GMT",  # over when the answer ended
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 +0100",
        "Sun, 31 Feb 1995 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Now 1994 08:49:37 GMT",
        "Fri, 31 Dec 9999 23:59:60 GMT",
        "1994-11-06T08:49:37Z",
    ],
)
def test_what_asks_for_nothing_leaves_the_schedules_wait(value: str) -> None:
    assert asked(value) is None


@pytest.mark.parametrize("status", [200, 301, 400, 410, 500, 502, 504])
def test_other_answers_are_not_heard(status: int) -> None:
    assert asked("120", status=status) is None


@pytest.mark.parametrize(
    ("date", "wait"),
    [
        ("Sun, 06 Nov 1994 08:47:37 GMT", NAMED - ENDED),  # as far as it tells our clock is right: exact
        ("Sun, 06 Nov 1994 08:47:36 GMT", NAMED - ENDED),
        ("Sun, 06 Nov 1994 08:44:37 GMT", 300 * SECOND),  # theirs is 3 minutes behind
        ("Sun, 06 Nov 1994 08:49:27 GMT", 10 * SECOND),  # and ahead
        ("Sun, 06 Nov 1994 08:49:37 GMT", None),  # by their clock it is over
        ("Sat, 05 Nov 1994 08:00:00 GMT", LONGEST),
        ("yesterday", NAMED - ENDED),
    ],
)
def test_a_date_counts_by_the_clock_that_wrote_it(date: str, wait: timedelta | None) -> None:
    assert asked("Sun, 06 Nov 1994 08:49:37 GMT", date=date) == wait


def test_seconds_need_no_clock() -> None:
    assert asked("30", date="Thu, 01 Jan 1970 00:00:00 GMT") == 30 * SECOND


@pytest.mark.parametrize(("year", "meant"), [("94", 1994), ("26", 2026), ("44", 2044), ("45", 1945)])
def test_a_year_of_two_digits_lies_no_more_than_50_years_ahead(year: str, meant: int) -> None:
    parsed = parse_http_date(
        f"Sunday, 06-Nov-{year} 08:49:37 GMT", now=ENDED.replace(year=1994 if meant < 2000 else 2026)
    )
    assert parsed is not None
    assert parsed.year == meant


def test_a_leap_second_is_a_second() -> None:
    assert parse_http_date("Sat, 31 Dec 2016 23:59:60 GMT", now=ENDED) == datetime(2017, 1, 1, tzinfo=UTC)


@given(
    st.text(max_size=40) | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{2} Nov [0-9]{4} [0-9:]{8} GMT"), st.text(max_size=40)
)
def test_whatever_a_receiver_writes_is_no_wait_or_one_of_up_to_a_day(value: str, date: str) -> None:
    wait = asked(value, date=date)
    assert wait is None or timedelta(0) < wait <= LONGEST
