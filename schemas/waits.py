"""The retry schedule: how long a delivery waits after each failed attempt, as the setting writes it."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Final

from schemas.errors import InvalidInput

DEFAULT_WAITS: Final = "1m,5m,15m,1h,6h,24h"  # 7 attempts over 31 hours
FIVE_RETRIES: Final = "1m,2m,4m,8m,16m"  # the documented preset: each wait twice the one before
MOST_WAITS: Final = 20
LONGEST_WAIT: Final = timedelta(days=7)

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")


@dataclass(frozen=True)
class Schedule:
    """The waits between attempts; there is one attempt more than there are waits."""

    waits: tuple[timedelta, ...]

    @property
    def attempts(self) -> int:
        """How many attempts a delivery gets in one round."""
        return len(self.waits) + 1

    @cached_property
    def version(self) -> str:
        """A name for this schedule that changes with any of its waits; records carry it."""
        return hashlib.sha256(",".join(duration_name(wait) for wait in self.waits).encode()).hexdigest()[:8]

    @cached_property
    def tiers(self) -> tuple[timedelta, ...]:
        """The durations that need a waiting room, shortest first; waits of one length share it."""
        return tuple(sorted(set(self.waits)))


def parse_duration(text: str) -> timedelta:
    """Return the duration in `text`: a whole number and ms, s, m, h or d.

    Raises InvalidInput when it is no such thing, is zero or is over seven days (the tier topics' retention).
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise InvalidInput(
            f"{text.strip()[:40]!r} is no duration: write a whole number and ms, s, m, h or d, such as 15m"
        )
    duration = timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    if not timedelta(0) < duration <= LONGEST_WAIT:
        raise InvalidInput(f"{text.strip()!r} must be longer than nothing and at most 7d")
    return duration


def parse_schedule(text: str) -> Schedule:
    """Return the schedule in `text`, 1 to 20 durations between commas (`1m,5m,15m`); raises InvalidInput."""
    waits = [parse_duration(part) for part in text.split(",")] if text.strip() else []
    if not 1 <= len(waits) <= MOST_WAITS:
        raise InvalidInput(
            f"give 1 to {MOST_WAITS} waits between commas, such as {DEFAULT_WAITS}; these are {len(waits)}"
        )
    return Schedule(tuple(waits))


def duration_name(duration: timedelta) -> str:
    """Return the shortest way to write a duration, which names its tier: 60 s is `1m`, 90 s is `90s`."""
    milliseconds = duration // timedelta(milliseconds=1)
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        # 24h keeps the name of the default schedule; whole days begin at two.
        if milliseconds % size == 0 and (unit != "d" or milliseconds >= 2 * size):
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


def largest_tier_within(remaining: timedelta, tiers: Sequence[timedelta]) -> timedelta | None:
    """Return the largest of `tiers` (shortest first) that does not exceed what remains; None when all do."""
    fitting = [tier for tier in tiers if tier <= remaining]
    return fitting[-1] if fitting else None
