"""A histogram of durations gives percentiles that are right within a bucket's width."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.stats.durations import BOUNDS_MS, BUCKETS, bucket_of, percentile_ms


def histogram(durations_ms: list[int]) -> list[int]:
    counts = [0] * BUCKETS
    for duration_ms in durations_ms:
        counts[bucket_of(duration_ms)] += 1
    return counts


@given(st.lists(st.integers(1, BOUNDS_MS[-1]), min_size=1, max_size=50), st.floats(0.01, 1.0))
def test_a_percentile_lies_in_the_bucket_of_the_true_one(durations_ms: list[int], share: float) -> None:
    true = sorted(durations_ms)[max(math.ceil(share * len(durations_ms) - 1e-9) - 1, 0)]
    found = percentile_ms(histogram(durations_ms), share)
    assert found is not None
    place = bucket_of(true)
    assert (BOUNDS_MS[place - 1] if place else 0) <= found <= BOUNDS_MS[place]


@pytest.mark.parametrize(("durations_ms", "expected"), [([], None), ([10**6], BOUNDS_MS[-1]), ([0], 0.95)])
def test_nothing_counted_and_what_is_behind_the_bounds(durations_ms: list[int], expected: float | None) -> None:
    assert percentile_ms(histogram(durations_ms), 0.95) == expected


def test_each_bound_is_about_a_quarter_above_the_last() -> None:
    assert all(later / bound <= 1.34 for bound, later in pairwise(BOUNDS_MS[4:]))
    assert list(BOUNDS_MS) == sorted(set(BOUNDS_MS))
