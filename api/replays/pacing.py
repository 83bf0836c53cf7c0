"""How fast a replay sends: batches at even distances, each spread over its time, so that it never comes as a burst.

A batch is a transaction, and what a transaction costs live deliveries does not depend on how much is in it: with one
every 50 ms they cost PostgreSQL more than all else that a replay asked of it.
"""

from typing import Final

_BATCH_S: Final = 0.25  # a batch is this long's worth; a cancel waits for it
_SPREAD: Final = 0.6  # of a batch's time: what is left is for the transaction around it
_MOST_SPREAD: Final = 4  # replays that hold a connection for so long; with more of them each batch goes at once
_LEEWAY_S: Final = 0.5  # what slow batches may be caught up by; more would be a burst
_LONGEST_WAIT_S: Final = 60.0  # a timer for years is none


class Pace:
    """Tells when the next batch may go; times are a monotonic clock's seconds."""

    def __init__(self, rate_per_s: float, *, now: float) -> None:
        self._rate_per_s = rate_per_s
        self._next_at = now

    def batch(self, now: float) -> int:
        """Return how many deliveries may go in a batch: a quarter of a second's worth, and what is to be caught up."""
        behind_s = min(max(0.0, now - self._next_at), _LEEWAY_S)
        return max(1, int(self._rate_per_s * (_BATCH_S + behind_s)))

    def spread_s(self, count: int, *, replays: int) -> float:
        """Return over how long a batch of `count` is to be sent, while so many replays are sending."""
        if replays > _MOST_SPREAD:
            return 0.0
        return min(count / self._rate_per_s, _BATCH_S) * _SPREAD

    def wait_s(self, now: float) -> float:
        """Return how long to wait, a minute at most: then ask again."""
        return min(max(0.0, self._next_at - now), _LONGEST_WAIT_S)

    def note(self, sent: int, *, now: float) -> None:
        """Remember that so many went out; what was only looked at costs nothing."""
        self._next_at = max(self._next_at, now - _LEEWAY_S) + sent / self._rate_per_s
