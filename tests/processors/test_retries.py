"""What comes after a failed attempt: counted from its end, never earlier than its wait, and an end to it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.retries import Retry, next_retry
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
