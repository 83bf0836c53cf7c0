"""What a receiver asks for with Retry-After (RFC 9110, 10.2.3): seconds, or a date in one of three forms (5.6.7).

Heard on 429 and 503 only, and never for longer than a day.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

LONGEST: Final = timedelta(days=1)
_HEARD_ON: Final = {429, 503}
_SECONDS: Final = re.compile(r"[0-9]+")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH: Final = rf"(?P<month>{'|'.join(_MONTHS)})"
_TIME: Final = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_FORMS: Final = (
    re.compile(rf"[A-Z][a-z]{{2}}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT"),  # IMF-fixdate
    re.compile(rf"[A-Z][a-z]{{5,8}}, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT"),  # RFC 850
    re.compile(rf"[A-Z][a-z]{{2}} {_MONTH} (?P<day>[ 0-9][0-9]) {_TIME} (?P<year>[0-9]{{4}})"),  # asctime
)
_RESOLUTION: Final = timedelta(seconds=1)  # of an HTTP date


def wait_asked_for(
    status: int, headers: Mapping[str, str], *, started_at: datetime, ended_at: datetime
) -> timedelta | None:
    """Return how long after `ended_at` a receiver wants to be left alone, up to a day; None when it asks for nothing.

    `headers` find their names in any case. None too for what is no Retry-After, and for 0 seconds or a date that is
    over: "at once" would use up all attempts within a second, so the schedule's wait stands.
    """
    asked = headers.get("Retry-After", "").strip() if status in _HEARD_ON else ""
    if not asked:
        return None
    if _SECONDS.fullmatch(asked):
        wait = _clamped_seconds(asked)
    elif (until := parse_http_date(asked, now=ended_at)) is not None:
        wait = until - _clock_of_receiver(headers.get("Date", "").strip(), started_at, ended_at)
    else:
        return None
    return min(wait, LONGEST) if wait > timedelta(0) else None


def parse_http_date(text: str, *, now: datetime) -> datetime | None:
    """Return the moment that an HTTP date names, None when it is none; `now` decides a year of two digits."""
    for form in _FORMS:
        if (found := form.fullmatch(text)) is not None:
            return _moment_of(found, now)
    return None


def _moment_of(found: re.Match[str], now: datetime) -> datetime | None:
    year = int(found["year"])
    if len(found["year"]) == 2:
        year += now.year // 100 * 100
        if year > now.year + 50:  # "MUST interpret a timestamp that appears to be more than 50 years in the future …
            year -= 100  # … as representing the most recent year in the past that had the same last two digits"
    second = int(found["second"])
    if second > 60:  # 60 is a leap second
        return None
    try:
        minute = datetime(
            year, 1 + _MONTHS.index(found["month"]), int(found["day"]), int(found["hour"]), int(found["minute"]),
            tzinfo=UTC,
        )  # fmt: skip
        return minute + timedelta(seconds=second)
    except (ValueError, OverflowError):
        return None


def _clock_of_receiver(date: str, started_at: datetime, ended_at: datetime) -> datetime:
    """Return what the receiver's clock shows at `ended_at`, as far as its Date header tells.

    Retry-After comes from the same clock as Date, so a clock that is wrong cancels out. Date says only the second: when
    ours may be right by it, ours stands, which is exact; a difference taken from it would be up to a second late.
    """
    theirs = parse_http_date(date, now=ended_at)
    if theirs is None or started_at - _RESOLUTION < theirs <= ended_at:
        return ended_at
    return theirs


def _clamped_seconds(digits: str) -> timedelta:
    significant = digits.lstrip("0") or "0"
    # As text, for int() refuses more than 4,300 digits and a header may have more.
    return LONGEST if len(significant) > len("86400") else timedelta(seconds=int(significant))
