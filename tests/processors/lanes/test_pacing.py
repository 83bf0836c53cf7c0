"""At most so many a second, and not many fewer: over what a receiver would measure."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.lanes.pacing import Pace

LIMITS = st.one_of(st.floats(0.2, 300), st.integers(1, 300).map(float))
PERIODS = st.sampled_from([1.0, 60.0])
LATE = st.floats(0.0, 0.1)  # a wake-up of a busy loop
BEGIN = 1000.0  # of a monotonic clock, which is far from 0


def passed_until(pace: Pace, end: float, late: list[float], idle: dict[int, float], most: int) -> list[float]:
    """Return when each passed: whoever wants to asks at `next_at`, wakes up late, and takes all that may pass then."""
    now, wake = BEGIN, 0
    times: list[float] = []
    while now < end and len(times) < most:
        while pace.next_at <= now and len(times) < most:
            pace.take(now)
            times.append(now)
        now = max(now, pace.next_at) + late[wake % len(late)] + idle.get(wake, 0.0)
        wake += 1
    return times


@settings(max_examples=40)
@given(LIMITS, PERIODS, st.lists(LATE, min_size=1), st.dictionaries(st.integers(0, 50), st.floats(0, 200), max_size=5))
def test_never_lets_more_than_the_limit_pass(
    limit: float, period_s: float, late: list[float], idle: dict[int, float]
) -> None:
    times = passed_until(Pace(limit, period_s), BEGIN + 30 * period_s + 200, late, idle, most=8000)
    window_s = 10 * period_s
    first = 0
    for last, time in enumerate(times):
        while times[first] <= time - window_s:
            first += 1
        assert last - first + 1 <= 10 * limit * 1.05 + 1


@settings(max_examples=40)
@given(st.floats(0.5, 300), PERIODS, st.lists(LATE, min_size=1))
def test_reaches_the_limit_although_it_is_woken_late(limit: float, period_s: float, late: list[float]) -> None:
    seconds = max(10 * period_s, 20 * period_s / limit)
    passed = len(passed_until(Pace(limit, period_s), BEGIN + seconds, late, {}, most=8000))
    assert passed >= min(limit * seconds / period_s, 8000) * 0.95


@pytest.mark.parametrize(("limit", "period_s", "interval_s"), [(4, 1, 0.25), (1, 60, 60), (30, 60, 2), (0.5, 1, 2)])
def test_they_pass_evenly(limit: float, period_s: float, interval_s: float) -> None:
    pace = Pace(limit, period_s)
    times = passed_until(pace, BEGIN + 20 * interval_s, [0.0], {}, most=100)[1:]  # the first starts 0.2 s ahead
    assert [later - earlier for earlier, later in pairwise(times)] == pytest.approx([interval_s] * (len(times) - 1))


def test_what_was_not_used_is_not_saved_up() -> None:
    pace = Pace(100)
    pace.take(BEGIN)
    times = passed_until(pace, BEGIN + 3600.0, [0.0], {0: 3599.0}, most=10_000)
    burst = [time for time in times if BEGIN + 3599.0 < time < BEGIN + 3599.1]
    assert len(burst) <= 0.2 * 100 + 0.1 * 100 + 2


def test_a_new_one_may_pass_at_once() -> None:
    assert Pace(1, 60).next_at <= 0.0
