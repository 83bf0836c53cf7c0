"""How long attempts took, as a histogram that days and subscriptions can be added up in."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

# Upper bounds in milliseconds, both ends included: preferred numbers (ISO 3, R10), each about a quarter above the last,
# so that a percentile is off by no more than that. One attempt takes a minute at most; what takes longer is counted
# behind the last bound.
BOUNDS_MS: Final = (
    1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 25, 32, 40, 50, 63, 80, 100, 125, 160, 200, 250, 315, 400, 500, 630, 800,
    1000, 1250, 1600, 2000, 2500, 3150, 4000, 5000, 6300, 8000, 10_000, 12_500, 16_000, 20_000, 25_000, 31_500,
    40_000, 50_000, 63_000,
)  # fmt: skip
BUCKETS: Final = len(BOUNDS_MS) + 1


def bucket_of(duration_ms: int) -> int:
    """Return the place of a duration in `delivery_counts.durations`, counted from 0."""
    return bisect_left(BOUNDS_MS, duration_ms)


def percentile_ms(durations: Sequence[int], share: float) -> float | None:
    """Return the duration in ms within which `share` (0 to 1) of the counted attempts ended, None without any.

    Within a bucket attempts count as evenly spread; of those behind the last bound nothing is known but that bound.
    """
    total = sum(durations)
    if not total:
        return None
    wanted, before = share * total, 0
    for place, count in enumerate(durations):
        if count and before + count >= wanted:
            if place == len(BOUNDS_MS):
                break
            lower = BOUNDS_MS[place - 1] if place else 0
            return lower + (BOUNDS_MS[place] - lower) * max(wanted - before, 0) / count
        before += count
    return float(BOUNDS_MS[-1])
