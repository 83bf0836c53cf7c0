"""How much of a limit is left, and how an answer says so.

`RateLimit` and `RateLimit-Policy` are structured fields (RFC 9651) as draft-ietf-httpapi-ratelimit-headers-10 has them:
https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/10/
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

from api.limits.defaults import Limit


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken in the window before, which counts for `previous_s` seconds more, ever less; and in this one.

    `current_s` is how long this one still counts: the rest of it, and a window's length after it.
    """

    previous: int
    previous_s: float
    current: int
    current_s: float

    def left_of(self, limit: Limit) -> int:
        """Return how much may be taken now."""
        return max(0, limit.most - floor(self.previous * self.previous_s / limit.window_s + self.current))

    def seconds_until(self, cost: int, limit: Limit) -> int:
        """Return after how many whole seconds, at least 1, `cost` can be taken if nobody takes anything until then.

        The window's length when it can never be: more than the whole limit.
        """
        room = limit.most - cost
        if room < 0:
            return limit.window_s
        rest_s = max(0.0, self.current_s - limit.window_s)
        if self.current <= room:  # what was taken in the window before becomes less, until it is gone
            too_much = self.previous * self.previous_s / limit.window_s + self.current - (room + 1)
            wait_s = too_much * limit.window_s / self.previous if self.previous else 0.0
            return max(1, min(floor(wait_s) + 1, ceil(rest_s)))
        return max(1, floor(rest_s + limit.window_s - (room + 1) * limit.window_s / self.current) + 1)

    def seconds_to_next_window(self, limit: Limit) -> int:
        """Return in how many whole seconds, at least 1, this window ends."""
        return max(1, ceil(self.current_s - limit.window_s))


@dataclass(frozen=True, slots=True)
class Standing:
    """How one limit stands: `left` of it, and in `reset_s` seconds there is more."""

    name: str
    limit: Limit
    left: int
    reset_s: int


def headers_of(standings: Sequence[Standing]) -> dict[str, str]:
    """Return what an answer says of its caller's limits, the one nearest to its end first."""
    ordered = sorted(standings, key=lambda each: each.left / max(1, each.limit.most))
    return {
        "RateLimit-Policy": ", ".join(f'"{each.name}";q={each.limit.most};w={each.limit.window_s}' for each in ordered),
        "RateLimit": ", ".join(f'"{each.name}";r={each.left};t={each.reset_s}' for each in ordered),
    }
