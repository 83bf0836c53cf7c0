"""The retry schedule as the setting writes it."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InvalidInput
from schemas.waits import (
    DEFAULT_WAITS,
    FIVE_RETRIES,
    LONGEST_WAIT,
    Schedule,
    duration_name,
    largest_tier_within,
    parse_duration,
    parse_schedule,
)

MINUTE = timedelta(minutes=1)
waits = st.timedeltas(timedelta(milliseconds=1), LONGEST_WAIT).map(
    lambda wait: max(wait // timedelta(milliseconds=1), 1) * timedelta(milliseconds=1)
)


@pytest.mark.parametrize(
    ("text", "duration", "name"),
    [
        ("1ms", timedelta(milliseconds=1), "1ms"),
        ("1500ms", timedelta(milliseconds=1500), "1500ms"),
        ("1s", timedelta(seconds=1), "1s"),
        ("60s", MINUTE, "1m"),
        ("90s", timedelta(seconds=90), "90s"),
        (" 15m ", 15 * MINUTE, "15m"),
        ("60m", 60 * MINUTE, "1h"),
        ("24h", timedelta(hours=24), "24h"),
        ("1d", timedelta(hours=24), "24h"),
        ("36h", timedelta(hours=36), "36h"),
        ("48h", timedelta(days=2), "2d"),
        ("7d", timedelta(days=7), "7d"),
        ("007d", timedelta(days=7), "7d"),
    ],
)
def test_a_duration_and_the_name_of_its_tier(text: str, duration: timedelta, name: str) -> None:
    assert parse_duration(text) == duration
    assert duration_name(duration) == name


@pytest.mark.parametrize(
    "text",
    [
        *("", "m", "1", "-1m", "1.5m", "1 m", "1M", "1w", "1mm", "0s", "0ms", "8d", "169h", "1m\x00", "9999999999s"),
        *("١m", "１m", "1e3s", "+1m", "999999999d"),
    ],
)
def test_is_no_duration(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_duration(text)


@given(waits)
def test_a_durations_name_is_read_as_that_duration(wait: timedelta) -> None:
    assert parse_duration(duration_name(wait)) == wait


@given(st.text(max_size=30))
def test_any_other_text_is_refused_in_one_line(text: str) -> None:
    try:
        parse_schedule(text)
    except InvalidInput as error:
        refused: str | None = str(error)
    else:
        refused = None
    assert refused is None or "\n" not in refused


def test_the_default_is_seven_attempts_over_31_hours() -> None:
    schedule = parse_schedule(DEFAULT_WAITS)
    assert schedule.attempts == 7
    assert [duration_name(wait) for wait in schedule.waits] == ["1m", "5m", "15m", "1h", "6h", "24h"]
    assert timedelta(hours=31) < sum(schedule.waits, timedelta()) < timedelta(hours=32)


def test_the_preset_doubles_each_wait() -> None:
    schedule = parse_schedule(FIVE_RETRIES)
    assert schedule.waits == (MINUTE, 2 * MINUTE, 4 * MINUTE, 8 * MINUTE, 16 * MINUTE)
    assert schedule.attempts == len(schedule.waits) + 1


@pytest.mark.parametrize("text", ["", " ", ",", "1m,", ",1m", "1m,,5m", "1m;5m", "x", ",".join(["1m"] * 21)])
def test_is_no_schedule(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_schedule(text)


def test_one_to_twenty_waits_make_a_schedule() -> None:
    assert parse_schedule("1s").attempts == 2
    assert parse_schedule(",".join(["1m"] * 20)).attempts == 21


def test_waits_of_one_length_share_a_tier_and_tiers_are_shortest_first() -> None:
    assert parse_schedule("5m, 1m,60s,1h").tiers == (MINUTE, 5 * MINUTE, 60 * MINUTE)


@given(st.lists(waits, min_size=1, max_size=5), st.lists(waits, min_size=1, max_size=5))
def test_the_version_changes_with_the_waits_and_only_with_them(one: list[timedelta], other: list[timedelta]) -> None:
    assert (Schedule(tuple(one)).version == Schedule(tuple(other)).version) == (one == other)
    assert Schedule(tuple(one)).version == Schedule(tuple(one)).version


def test_the_defaults_version_is_on_the_topics_already() -> None:
    assert parse_schedule(DEFAULT_WAITS).version == parse_schedule("60s,300s,15m,60m,6h,1d").version == "268640a5"


@pytest.mark.parametrize(
    ("remaining", "tier"),
    [
        (timedelta(0), None),
        (MINUTE - timedelta(microseconds=1), None),
        (MINUTE, MINUTE),
        (4 * MINUTE, MINUTE),
        (5 * MINUTE, 5 * MINUTE),
        (timedelta(days=30), 60 * MINUTE),
        (-MINUTE, None),
    ],
)
def test_the_largest_tier_that_does_not_exceed_what_remains(remaining: timedelta, tier: timedelta | None) -> None:
    assert largest_tier_within(remaining, (MINUTE, 5 * MINUTE, 60 * MINUTE)) == tier
