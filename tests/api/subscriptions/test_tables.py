"""Filters by event type find whoever would receive it."""

import pytest

from api.subscriptions.tables import patterns_that_take
from schemas.catalogue import catalogue
from schemas.patterns import matches


@pytest.mark.parametrize(
    ("named", "patterns"),
    [
        ("user.created", {"*", "**", "user.created", "user.*", "user.**"}),
        ("user.*", {"*", "**", "user.*", "user.**"}),
        ("user.**", {"*", "**", "user.*", "user.**"}),
        ("a.b.c", {"*", "**", "a.b.c", "a.*", "a.**", "a.b.*", "a.b.**"}),
        ("a.b.*", {"*", "**", "a.b.*", "a.b.**", "a.*", "a.**"}),
        ("*", {"*", "**"}),
        ("**", {"*", "**"}),
    ],
)
def test_patterns_that_take_a_type(named: str, patterns: set[str]) -> None:
    assert set(patterns_that_take(named)) == patterns


@pytest.mark.parametrize("event_type", list(catalogue()))
def test_they_are_exactly_those_that_match(event_type: str) -> None:
    candidates = {
        "*",
        "**",
        *(f"{name.partition('.')[0]}.**" for name in catalogue()),
        *catalogue(),
        *(f"{name.partition('.')[0]}.*" for name in catalogue()),
    }
    matching = {pattern for pattern in candidates if matches(pattern, event_type)}
    assert set(patterns_that_take(event_type)) & candidates == matching
