"""Whether an attempt may begin: cap, breaker, rate and pause of one subscription."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from processors.lanes.breaker import BreakerSettings
from processors.lanes.gate import Gate, Reason, Refusal
from schemas.records import Subscription
from tests.processors.made import subscription

BREAKER = BreakerSettings(share=0.5, least=2, window_s=60.0, probe_every_s=5.0)
T = 1000.0
MOST = 4


@pytest.fixture
def gate() -> Gate:
    return Gate(BREAKER)


def asked(gate: Gate, settings: Subscription | None, now: float = T, *, behind: bool = False) -> Refusal | None:
    return gate.refusal(settings, now, most=MOST, behind=behind)


def attempt(gate: Gate, now: float, *, failed: bool, ends_at: float | None = None) -> None:
    gate.begin(now, behind=False)
    gate.end(now if ends_at is None else ends_at, failed=failed)


def begun(gate: Gate, settings: Subscription, now: float, *, behind: bool) -> int:
    """Let as many begin and end well as may at this moment, and return how many."""
    count = 0
    while asked(gate, settings, now, behind=behind) is None:
        gate.begin(now, behind=behind)
        gate.end(now, failed=False)
        count += 1
    return count


def test_nothing_is_refused_without_settings(gate: Gate) -> None:
    assert asked(gate, None) is None
    assert not gate.holds(None)


@pytest.mark.parametrize(("own", "cap"), [(0, MOST), (1, 1), (9, 9)])
def test_at_most_so_many_are_open_at_once(gate: Gate, own: int, cap: int) -> None:
    settings = replace(subscription(), most_in_flight=own)
    for _ in range(cap):
        assert asked(gate, settings) is None
        gate.begin(T, behind=False)
    assert asked(gate, settings) == Refusal(Reason.FULL)
    gate.end(T, failed=None)
    assert asked(gate, settings) is None


@pytest.mark.parametrize(("ends", "cap"), [(True, 1), (None, 1), (False, MOST)])
def test_a_suspect_has_one_at_a_time_until_the_first_success(gate: Gate, ends: bool | None, cap: int) -> None:
    gate.is_suspect = True
    gate.begin(T, behind=True)
    assert asked(gate, subscription()) == Refusal(Reason.FULL)
    gate.end(T, failed=ends)
    assert gate.cap(subscription(), MOST) == cap


def test_while_the_breaker_is_open_nothing_begins_before_the_next_probe(gate: Gate) -> None:
    attempt(gate, T, failed=True)
    attempt(gate, T, failed=True)
    assert gate.holds(None)
    assert gate.holds(subscription())
    assert asked(gate, subscription(), T + 4.9) == Refusal(Reason.OPEN, T + 5, holds=True)
    assert asked(gate, subscription(), T + 5) is None


def test_half_open_there_is_one_probe(gate: Gate) -> None:
    attempt(gate, T, failed=True)
    attempt(gate, T, failed=True)
    gate.begin(T + 5, behind=True)
    assert asked(gate, subscription(), T + 5) == Refusal(Reason.FULL)
    gate.end(T + 8, failed=True)
    assert asked(gate, subscription(), T + 8) == Refusal(Reason.OPEN, T + 10, holds=True)  # from the probe's beginning


def test_a_probe_that_asked_nothing_of_the_endpoint_is_made_again_at_once(gate: Gate) -> None:
    attempt(gate, T, failed=True)
    attempt(gate, T, failed=True)
    gate.begin(T + 5, behind=True)
    gate.end(T + 5, failed=None)
    assert asked(gate, subscription(), T + 5) is None
    assert gate.holds(None)


def test_a_probe_that_succeeds_opens_the_gate_wide(gate: Gate) -> None:
    attempt(gate, T, failed=True)
    attempt(gate, T, failed=True)
    attempt(gate, T + 5, failed=False)
    assert not gate.holds(None)
    assert not gate.last_failed
    assert gate.cap(subscription(), MOST) == MOST


def test_what_is_open_when_the_breaker_opens_ends_before_the_probe(gate: Gate) -> None:
    gate.begin(T, behind=False)
    attempt(gate, T, failed=True)
    attempt(gate, T, failed=True)
    assert asked(gate, subscription(), T + 6) == Refusal(Reason.FULL)
    gate.end(T + 6, failed=True)
    assert asked(gate, subscription(), T + 6) is None


def test_a_pause_goes_before_all_else(gate: Gate) -> None:
    attempt(gate, T, failed=True)
    attempt(gate, T, failed=True)
    paused = replace(subscription(), paused=True)
    assert asked(gate, paused) == Refusal(Reason.PAUSED, holds=True)
    assert Gate(BREAKER).holds(paused)


@pytest.mark.parametrize(("limit", "period_s", "wait_s"), [(1, 1, 0.8), (1, 60, 59.8), (10, 60, 5.8)])
def test_a_rate_says_when_the_next_may_begin(gate: Gate, limit: int, period_s: int, wait_s: float) -> None:
    settings = replace(subscription(), rate_limit=limit, rate_period_s=period_s)
    assert begun(gate, settings, T, behind=False) == 1
    refusal = asked(gate, settings)
    assert refusal is not None
    assert refusal.until is not None
    assert refusal == Refusal(Reason.RATE, refusal.until)  # it does not hold: a live one stays live
    assert refusal.until == pytest.approx(T + wait_s)
    assert asked(gate, settings, refusal.until) is None


@pytest.mark.parametrize(("behind", "count"), [(False, 200), (True, 3)])
def test_catching_up_has_a_rate_of_its_own(gate: Gate, behind: bool, count: int) -> None:
    settings = replace(subscription(), catch_up_per_s=10.0)
    begun_now = 0
    for _ in range(200):
        if asked(gate, settings, behind=behind) is None:
            gate.begin(T, behind=behind)
            gate.end(T, failed=False)
            begun_now += 1
    assert begun_now == count


def test_live_attempts_do_not_use_up_what_catching_up_may(gate: Gate) -> None:
    settings = replace(subscription(), catch_up_per_s=1.0)
    assert asked(gate, settings) is None
    for _ in range(10):
        gate.begin(T, behind=False)
        gate.end(T, failed=False)
    assert asked(gate, settings, behind=True) is None


def test_the_slower_of_both_rates_counts_while_it_is_behind(gate: Gate) -> None:
    settings = replace(subscription(), rate_limit=1, rate_period_s=60, catch_up_per_s=10.0)
    begun(gate, settings, T, behind=True)
    refusal = asked(gate, settings, behind=True)
    assert refusal is not None
    assert refusal.until == pytest.approx(T + 59.8)


def test_a_new_version_s_rate_counts_at_once(gate: Gate) -> None:
    slow = replace(subscription(version=1), rate_limit=1, rate_period_s=60)
    assert begun(gate, slow, T, behind=False) == 1
    assert asked(gate, replace(slow, rate_limit=None)) is not None  # no new version, nothing read
    fast = replace(slow, version=2, rate_limit=None)
    assert asked(gate, fast) is None
    assert gate.is_idle


@pytest.mark.parametrize("change", [{"url": "https://example.com/other"}, {"most_in_flight": 2}])
def test_a_new_version_with_the_same_rate_lets_no_more_pass(gate: Gate, change: dict[str, object]) -> None:
    settings = replace(subscription(version=1), rate_limit=1, rate_period_s=60, catch_up_per_s=0.1)
    count = 0
    for version in range(1, 11):
        changed = replace(settings, version=version, **change)  # type: ignore[arg-type]  # of the table above
        count += begun(gate, changed, T + version, behind=True)
    assert count == 1


@pytest.mark.parametrize(
    ("happened", "is_idle"),
    [
        (lambda _: None, True),
        (lambda gate: gate.begin(T, behind=False), False),
        (lambda gate: attempt(gate, T, failed=False), True),
        (lambda gate: attempt(gate, T, failed=True), False),  # the breaker counts it
        (lambda gate: setattr(gate, "is_suspect", True), False),
        (lambda gate: asked(gate, replace(subscription(), rate_limit=5)), False),
        (lambda gate: asked(gate, replace(subscription(), catch_up_per_s=5.0)), False),
    ],
)
def test_is_idle_when_nothing_would_be_missed(gate: Gate, happened: Callable[[Gate], object], is_idle: bool) -> None:
    happened(gate)
    assert gate.is_idle is is_idle
