"""At most so many a second: the generic cell rate algorithm (ITU-T I.371, annex A), which needs one number a lane."""

from typing import Final

_BURST_S: Final = 0.2  # of saved-up rate: what a late timer missed is made up for; 2 % of ten seconds


class Pace:
    """Lets `limit` pass in `period_s` seconds, evenly; never more than 0.2 s worth of them, and one, ahead of it."""

    __slots__ = ("_due", "_interval_s", "_tolerance_s")

    def __init__(self, limit: float, period_s: float = 1.0) -> None:
        self._interval_s = period_s / limit
        self._tolerance_s = _BURST_S
        self._due = 0.0

    @property
    def next_at(self) -> float:
        """When the next one may pass (a monotonic clock's seconds); past when it may at once."""
        return self._due - self._tolerance_s

    def take(self, now: float) -> None:
        """Let one pass."""
        self._due = max(self._due, now) + self._interval_s
