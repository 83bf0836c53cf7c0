"""What comes after a failed attempt: counted from its end, never earlier than its wait, and an end to it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.retries import MOST_JITTER, Retry, jitter_of, next_retry
from processors.retry_after import LONGEST
from schemas.ids import DeliveryId
from schemas.topics import retry_topic
from schemas.waits import DEFAULT_WAITS, FIVE_RETRIES, LONGEST_WAIT, Schedule, parse_schedule

ENDED = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)

schedules = st.lists(st.timedeltas(timedelta(milliseconds=1), LONGEST_WAIT), min_size=1, max_size=20).map(
    lambda waits: Schedule(tuple(waits))
)


def waits_of(schedule: Schedule) -> list[timedelta]:
    """Walk a schedule as a delivery does that always fails; return the waits between its attempts."""
    waits: list[timedelta] = []
    while (retry := next_retry(ENDED, len(waits) + 1, schedule)) is not None:
        waits.append(retry.due_at - ENDED)
    return waits


@pytest.mark.parametrize(
    ("setting", "waits"),
    [
        (DEFAULT_WAITS, [MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 6 * HOUR, 24 * HOUR]),  # 7 attempts
        (FIVE_RETRIES, [MINUTE, 2 * MINUTE, 4 * MINUTE, 8 * MINUTE, 16 * MINUTE]),
        ("1s", [timedelta(seconds=1)]),
        (",".join(["250ms"] * 20), [timedelta(milliseconds=250)] * 20),
    ],
)
def test_a_delivery_that_always_fails_waits_as_the_setting_says_and_dies(setting: str, waits: list[timedelta]) -> None:
    schedule = parse_schedule(setting)
    assert waits_of(schedule) == waits
    assert schedule.attempts == len(waits) + 1


@pytest.mark.parametrize("failures", [7, 8, 100])  # more than the schedule has, after it became shorter
def test_gives_up_after_the_last_wait(failures: int) -> None:
    assert next_retry(ENDED, failures, parse_schedule(DEFAULT_WAITS)) is None


@given(schedules, st.datetimes(timezones=st.just(UTC), max_value=datetime(9000, 1, 1)), st.data())  # noqa: DTZ001
def test_is_due_the_wait_after_the_end_to_the_microsecond(
    schedule: Schedule, ended: datetime, data: st.DataObject
) -> None:
    failures = data.draw(st.integers(1, len(schedule.waits)))
    wait = schedule.waits[failures - 1]
    assert next_retry(ended, failures, schedule) == Retry(due_at=ended + wait, tier=wait)


@given(schedules)
def test_every_retry_waits_in_a_tier_that_exists(schedule: Schedule) -> None:
    declared = {retry_topic(tier) for tier in schedule.tiers}
    for failures in range(1, len(schedule.waits) + 1):
        retry = next_retry(ENDED, failures, schedule)
        assert retry is not None
        assert retry_topic(retry.tier) in declared


@given(schedules, st.floats(0, MOST_JITTER), st.data())
def test_jitter_makes_no_retry_early_nor_over_5_percent_late_and_keeps_its_tier(
    schedule: Schedule, longer: float, data: st.DataObject
) -> None:
    failures = data.draw(st.integers(1, len(schedule.waits)))
    wait = schedule.waits[failures - 1]
    retry = next_retry(ENDED, failures, schedule, longer=longer)
    assert retry is not None
    assert wait <= retry.due_at - ENDED <= wait * 1.05 + timedelta(microseconds=1)
    assert retry.tier == wait


def test_what_failed_together_comes_back_evenly_spread() -> None:
    drawn = [jitter_of(DeliveryId(f"dlv_{number:032x}"), 1, 0.04) for number in range(10_000)]
    assert all(0 <= each < 0.04 for each in drawn)
    tenths = [sum(tenth <= each / 0.004 < tenth + 1 for each in drawn) for tenth in range(10)]
    assert all(850 < count < 1150 for count in tenths)  # 1,000 each; 5 standard deviations are 150


def test_jitter_is_the_same_for_the_same_attempt_and_another_for_the_next() -> None:
    one = DeliveryId("dlv_1")
    assert jitter_of(one, 1, 0.04) == jitter_of(one, 1, 0.04)
    assert len({jitter_of(one, attempt, 0.04) for attempt in range(1, 8)}) == 7
    assert jitter_of(one, 1, 0.0) == 0.0


@pytest.mark.parametrize(
    ("asked", "tier"),
    [
        (timedelta(seconds=1), MINUTE),  # below the shortest: the mover keeps it until it is due
        (timedelta(seconds=59), MINUTE),
        (MINUTE, MINUTE),
        (timedelta(seconds=299), MINUTE),
        (6 * MINUTE, 5 * MINUTE),
        (LONGEST, 24 * HOUR),
    ],
)
def test_what_the_receiver_asked_for_takes_the_place_of_the_wait_exactly(asked: timedelta, tier: timedelta) -> None:
    schedule = parse_schedule(DEFAULT_WAITS)
    for failures in range(1, 7):
        retry = next_retry(ENDED, failures, schedule, longer=0.05, retry_after=asked)
        assert retry == Retry(ENDED + asked, tier)


def test_what_the_receiver_asked_for_gives_no_further_attempts() -> None:
    assert next_retry(ENDED, 7, parse_schedule(DEFAULT_WAITS), retry_after=MINUTE) is None
