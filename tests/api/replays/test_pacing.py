"""Batches are small and evenly spaced; a pause is not made up for."""

import pytest

from api.replays.pacing import Pace


def sent_within(pace: Pace, seconds: float, *, a_batch_takes_s: float) -> int:
    """Return how many deliveries go in so many seconds."""
    now, sent = 0.0, 0
    while now < seconds:
        wait_s = pace.wait_s(now)
        if wait_s:
            now += wait_s
            continue
        batch = pace.batch(now)
        now, sent = now + a_batch_takes_s, sent + batch
        pace.note(batch, now=now)
    return sent


@pytest.mark.parametrize(("rate", "batch"), [(1000.0, 250), (100.0, 25), (20.0, 5), (1.0, 1), (0.01, 1), (1e-300, 1)])
def test_a_batch_is_what_goes_in_a_quarter_of_a_second(rate: float, batch: int) -> None:
    assert Pace(rate, now=0.0).batch(0.0) == batch


@pytest.mark.parametrize("takes_s", [0.0, 0.01, 0.1, 0.2])
@pytest.mark.parametrize("rate", [1000.0, 333.0, 100.0, 4.5, 0.5])
def test_the_rate_is_kept_whatever_a_batch_takes(rate: float, takes_s: float) -> None:
    sent = sent_within(Pace(rate, now=0.0), 100.0, a_batch_takes_s=takes_s)
    assert sent == pytest.approx(rate * 100, rel=0.02, abs=1)


def test_a_long_pause_leads_to_no_burst() -> None:
    pace = Pace(100.0, now=0.0)
    pace.note(5, now=0.0)
    sent = 0
    while pace.wait_s(60.0) == 0.0:  # Kafka was away for a minute
        sent += pace.batch(60.0)
        pace.note(pace.batch(60.0), now=60.0)
    assert sent <= 100 * 0.8


def test_a_rate_of_one_in_a_year_sets_no_timer_for_a_year() -> None:
    pace = Pace(1e-300, now=0.0)
    pace.note(1, now=0.0)
    assert pace.wait_s(0.0) == 60.0


def test_what_is_not_sent_costs_no_time() -> None:
    pace = Pace(1.0, now=0.0)
    pace.note(0, now=0.0)
    assert pace.wait_s(0.0) == 0.0


def test_a_batch_is_spread_within_its_time_and_not_while_many_replays_need_connections() -> None:
    pace = Pace(100.0, now=0.0)
    assert pace.spread_s(25, replays=1) == pytest.approx(0.15)
    assert pace.spread_s(5, replays=1) == pytest.approx(0.03)
    assert pace.spread_s(75, replays=1) == pytest.approx(0.15)  # what is caught up takes no longer
    assert pace.spread_s(25, replays=5) == 0.0
