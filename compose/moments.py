"""The times that `--since` and `--until` take, as the API wants them (RFC 3339, UTC)."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from schemas.errors import InvalidInput
from schemas.waits import parse_duration

_DAYS: Final = {"today": 0, "yesterday": 1}
_DAY_CHARACTERS: Final = len("2026-11-20")
EXAMPLES: Final = "2h, 2026-11-20T10:00:00Z, 2026-11-20 or yesterday"


def moment_of(text: str, *, now: datetime) -> str:
    """Return the moment in `text` as RFC 3339 in UTC: so long ago (`2h`), a time, or where a day begins in UTC.

    Raises InvalidInput, also for a time without a zone: nobody could say which was meant.
    """
    text = text.strip()
    if text in _DAYS:
        return _written(_midnight(now.astimezone(UTC).date() - timedelta(days=_DAYS[text])))
    if text[:1].isdecimal() and text[-1:] in {"s", "m", "h", "d"}:
        return _written(now - _duration(text))
    return _written(_moment(text))


def _duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except InvalidInput as error:
        raise InvalidInput(f"{error}; for longer ago give a day, such as 2026-11-20") from None


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        if len(text) <= _DAY_CHARACTERS:
            return _midnight(found.date())
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(f"{text[:40]!r} is no time: write {EXAMPLES}") from None
    raise InvalidInput(f"{text!r} has no time zone: write {text}Z for UTC")


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
