"""Turns: organizations one after the other, and within each its lanes."""

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.lanes.turns import Turns

ORGANIZATIONS = ("a", "b", "c")


@dataclass(eq=False)
class Lane:
    organization: str
    in_turn: bool = field(default=False)


lanes = st.lists(st.sampled_from(ORGANIZATIONS), min_size=1, max_size=12)
steps = st.lists(st.one_of(st.integers(0, 11), st.none()), max_size=80)  # a lane stands there; None: whose turn is it


def test_nobody_stands_there_at_first() -> None:
    turns: Turns[Lane] = Turns()
    assert not turns
    with pytest.raises(KeyError):
        turns.next()


def test_a_burst_of_one_organization_does_not_stand_before_another() -> None:
    turns: Turns[Lane] = Turns()
    burst, other = [Lane("a") for _ in range(100)], Lane("b")
    for lane in [*burst, other]:
        turns.add(lane)
    assert [turns.next() for _ in range(3)] == [burst[0], other, burst[1]]


def test_within_an_organization_whoever_came_first_is_first_and_then_stands_last() -> None:
    turns: Turns[Lane] = Turns()
    first, second, third = lanes = [Lane("a") for _ in range(3)]
    for lane in lanes:
        turns.add(lane)
    taken = []
    for _ in range(6):
        taken.append(turns.next())
        turns.add(taken[-1])
    assert taken == [first, second, third, first, second, third]


def test_whoever_was_sent_away_may_come_again() -> None:
    turns: Turns[Lane] = Turns()
    lane = Lane("a")
    turns.add(lane)
    turns.clear()
    assert not turns
    turns.add(lane)
    assert turns.next() is lane
    assert not turns


@given(lanes, steps)
def test_each_stands_once_and_all_have_their_turn(organizations: list[str], steps: list[int | None]) -> None:
    turns: Turns[Lane] = Turns()
    all_lanes = [Lane(name) for name in organizations]
    standing: set[int] = set()
    for step in steps:
        if step is not None:
            turns.add(all_lanes[step % len(all_lanes)])
            standing.add(step % len(all_lanes))
        elif standing:
            standing.remove(all_lanes.index(turns.next()))
        assert bool(turns) == bool(standing)
        assert {number for number, lane in enumerate(all_lanes) if lane.in_turn} == standing
    assert Counter(id(turns.next()) for _ in standing) == Counter(id(all_lanes[number]) for number in standing)
    assert not turns


@given(lanes, steps)
def test_no_organization_has_two_turns_while_another_waits(organizations: list[str], steps: list[int | None]) -> None:
    turns: Turns[Lane] = Turns()
    all_lanes = [Lane(name) for name in organizations]
    since_its_turn: dict[str, set[str]] = {}  # for each that waits: who has had a turn meanwhile
    for step in steps:
        if step is not None:
            lane = all_lanes[step % len(all_lanes)]
            turns.add(lane)
            since_its_turn.setdefault(lane.organization, set())
        elif turns:
            taken = turns.next().organization
            since_its_turn.pop(taken)
            for name, others in since_its_turn.items():
                assert taken not in others, f"{taken} again, and {name} still waits"
                others.add(taken)
            if any(lane.in_turn and lane.organization == taken for lane in all_lanes):
                since_its_turn[taken] = set()
