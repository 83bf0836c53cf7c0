"""Which event types a subscription's pattern takes."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.catalogue import catalogue
from schemas.errors import InvalidInput
from schemas.patterns import LONGEST_PATTERN, checked_pattern, matches, patterns_taking

TYPES = list(catalogue())


@pytest.mark.parametrize(
    ("pattern", "event_type", "taken"),
    [
        ("*", "user.created", True),
        ("user.created", "user.created", True),
        ("user.created", "user.created.again", False),
        ("user.created", "user.create", False),
        ("user.*", "user.created", True),
        ("user.*", "user.created.again", True),  # all that begins with user.
        ("user.*", "user", False),
        ("user.*", "users.created", False),
        ("user.*", "auth.login", False),
        ("a.b.*", "a.b.c", True),
        ("a.b.*", "a.c", False),
        ("**", "user.created", True),  # the same as one star
        ("user.**", "user.created.again", True),
        ("user.**", "user", False),
        ("user.**", "users.created", False),
        ("user.created", "USER.CREATED", False),
    ],
)
def test_takes(pattern: str, event_type: str, taken: bool) -> None:
    assert matches(pattern, event_type) == taken


@pytest.mark.parametrize(
    "pattern", ["*", "**", "user.*", "user.**", "user.created", "hookline.test", "mfa.recovery_codes_generated"]
)
def test_a_pattern_that_can_match_is_kept_as_it_is(pattern: str) -> None:
    assert checked_pattern(pattern, TYPES) == pattern


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "",
            "user",
            "user.*.*",
            "*.created",
            "user.c*",
            "***",
            "user.***",
            "user.",
            ".user",
            "user..created",
            "User.created",
        ),
        *("user.created\n", " user.created", "user.created ", "user.creat", "users.*", "user.created.*", "üser.*"),
        *("user/created", "a." * 100 + "b", "*\n", "user.*\x00", "hookline", "nothing.*"),
    ],
)
def test_a_pattern_that_matches_nothing_is_refused_in_one_line(pattern: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        checked_pattern(pattern, TYPES)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@given(st.sampled_from(TYPES))
def test_every_type_is_taken_by_its_name_its_family_and_the_star(event_type: str) -> None:
    for pattern in (event_type, f"{event_type.partition('.')[0]}.*", f"{event_type.partition('.')[0]}.**", "*", "**"):
        assert matches(checked_pattern(pattern, TYPES), event_type)


@given(st.text())
def test_any_text_is_taken_or_refused_and_raises_nothing_else(pattern: str) -> None:
    try:
        taken = checked_pattern(pattern, TYPES)
    except InvalidInput:
        return
    assert any(matches(taken, event_type) for event_type in TYPES)


SHORT = st.text("ab.*", max_size=8)


@given(pattern=SHORT, event_type=SHORT)
def test_the_patterns_that_take_a_type_are_those_that_match_it(pattern: str, event_type: str) -> None:
    taking = list(patterns_taking(event_type))
    assert (pattern in taking) is matches(pattern, event_type)
    assert len(taking) == len(set(taking))


@pytest.mark.parametrize("event_type", ["a", "a.b", "a.b.c"])
def test_each_pattern_that_could_be_written_for_a_type_is_yielded_when_it_takes_it(event_type: str) -> None:
    some = [part for size in range(1, 8) for part in map("".join, product("abc.*", repeat=size)) if "..." not in part]
    assert {pattern for pattern in some if matches(pattern, event_type)} == {*patterns_taking(event_type)} & {*some}


def test_a_type_of_a_million_dots_is_taken_by_no_more_patterns_than_may_be() -> None:
    assert len(list(patterns_taking("a." * 1_000_000))) <= LONGEST_PATTERN + 2


@pytest.mark.parametrize("pattern", ["organization.*.created", "*.created", "**.created", "user.*.*"])
def test_a_star_before_the_end_is_refused_with_what_says_it(pattern: str) -> None:
    with pytest.raises(InvalidInput, match=r"such as \{.suffix"):
        checked_pattern(pattern, TYPES)
