"""The breaker: closed, open, half-open, by a clock that the test holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.lanes.breaker import Breaker, BreakerSettings

SETTINGS = BreakerSettings(share=0.5, least=4, window_s=60.0, probe_every_s=5.0)
T = 1000.0


def ended(breaker: Breaker, outcomes: str, *, at: float, every_s: float = 0.0) -> None:
    """Let attempts begin and end at once: `f` fails, `s` succeeds."""
    for number, outcome in enumerate(outcomes):
        now = at + number * every_s
        breaker.begin(now)
        breaker.end(now, failed=outcome == "f")


@pytest.mark.parametrize(
    ("outcomes", "opens"),
    [
        ("", False),
        ("fff", False),  # fewer than the least
        ("ffff", True),
        ("ffss", False),  # the share is looked at when one fails
        ("fsfsf", True),
        ("fssf", True),  # half of them is enough
        ("fsssff", True),
        ("fssssff", False),  # 3 of 7
        ("fsssssf", False),
        ("ssssssssffff", True),  # successes before the first failure say nothing about it
    ],
)
def test_opens_when_enough_have_ended_and_the_share_of_failures_is_reached(outcomes: str, opens: bool) -> None:
    breaker = Breaker(SETTINGS)
    ended(breaker, outcomes, at=T)
    assert breaker.is_open is opens


def test_failures_of_before_the_window_do_not_count() -> None:
    breaker = Breaker(SETTINGS)
    ended(breaker, "fff", at=T)
    ended(breaker, "f", at=T + 60)
    assert not breaker.is_open
    ended(breaker, "fff", at=T + 60)
    assert breaker.is_open


def test_the_window_moves_in_steps_of_a_sixth() -> None:
    breaker = Breaker(SETTINGS)
    ended(breaker, "fff", at=T, every_s=4.9)  # the last 9.8 s after the first: one step
    ended(breaker, "f", at=T + 59.9)
    assert breaker.is_open


def test_the_next_probe_is_counted_from_the_beginning_of_the_last() -> None:
    breaker = Breaker(SETTINGS)
    ended(breaker, "ffff", at=T)
    assert breaker.not_before == T + 5
    breaker.begin(T + 6)
    breaker.end(T + 8, failed=True)
    assert breaker.not_before == T + 11


def test_a_probe_that_hangs_for_longer_than_the_interval_is_followed_at_once() -> None:
    breaker = Breaker(SETTINGS)
    ended(breaker, "ffff", at=T)
    breaker.begin(T + 5)
    breaker.end(T + 20, failed=True)
    assert breaker.not_before == T + 20


def test_one_success_closes_it_and_what_was_before_is_forgotten() -> None:
    breaker = Breaker(SETTINGS)
    ended(breaker, "ffff", at=T)
    ended(breaker, "s", at=T + 5)
    assert not breaker.is_open
    assert breaker.not_before is None
    assert breaker.is_idle
    ended(breaker, "fff", at=T + 5)
    assert not breaker.is_open


def test_is_idle_again_once_its_last_failure_is_out_of_the_window() -> None:
    breaker = Breaker(SETTINGS)
    assert breaker.is_idle
    ended(breaker, "fs", at=T)
    assert not breaker.is_idle
    ended(breaker, "s", at=T + 30)
    ended(breaker, "s", at=T + 60)
    ended(breaker, "s", at=T + 120)
    assert breaker.is_idle


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 30)), max_size=60))
def test_opens_neither_without_cause_nor_too_late(attempts: list[tuple[bool, float]]) -> None:
    """The window's end moves in steps, so what it counts lies between five and six sixths of it."""
    breaker = Breaker(SETTINGS)
    now, all_ended = T, []
    for failed, after_s in attempts:
        now += after_s
        all_ended.append((now, failed))
        breaker.begin(now)
        breaker.end(now, failed=failed)
        failures = sum(failed for at, failed in all_ended if at > now - SETTINGS.window_s)
        if breaker.is_open:
            assert failed
            assert failures >= SETTINGS.share * SETTINGS.least
            return
        recent = [failed for at, failed in all_ended if at > now - SETTINGS.window_s * 5 / 6]
        if failed and len(recent) >= SETTINGS.least:
            assert not all(recent)
