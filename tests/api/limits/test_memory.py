"""Counting in memory: exact under parallel requests, and bounded whatever callers make up."""

import asyncio
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.limits.defaults import Limit
from api.limits.memory import BoundedMemory
from api.limits.standing import Taken


class Clock:
    def __init__(self, now: float = 6_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


async def test_of_two_hundred_at_once_exactly_the_limit_passes() -> None:
    memory = BoundedMemory()
    taken = await asyncio.gather(*(memory.acquire_sliding_window_entry("k", 100, 3600) for _ in range(200)))
    assert sum(taken) == 100


@given(st.lists(st.tuples(st.floats(0, 40), st.integers(1, 6)), max_size=60))
def test_no_window_of_any_place_lets_through_much_more_than_the_limit(asked: list[tuple[float, int]]) -> None:
    """The counter assumes that what was taken in the window before was spread evenly: at most twice, normally once."""

    async def play() -> list[tuple[float, int]]:
        clock, let_in = Clock(), []
        memory = BoundedMemory(clock=clock)
        for wait_s, cost in asked:
            clock.now += wait_s
            if await memory.acquire_sliding_window_entry("k", 10, 60, cost):
                let_in.append((clock.now, cost))
        return let_in

    let_in = asyncio.run(play())
    for at, _ in let_in:
        assert sum(cost for when, cost in let_in if at - 60 < when <= at) < 20
        fixed = floor(at / 60)
        assert sum(cost for when, cost in let_in if floor(when / 60) == fixed) <= 10


async def test_more_than_was_left_takes_nothing() -> None:
    memory = BoundedMemory(clock=Clock())
    assert await memory.acquire_sliding_window_entry("k", 10, 60, 8)
    assert not await memory.acquire_sliding_window_entry("k", 10, 60, 3)
    assert not await memory.acquire_sliding_window_entry("k", 10, 60, 11)
    assert await memory.acquire_sliding_window_entry("k", 10, 60, 2)


async def test_what_callers_make_up_does_not_fill_the_memory() -> None:
    memory = BoundedMemory(most_keys=1000, clock=Clock())
    for number in range(5000):
        await memory.acquire_sliding_window_entry(f"made-up-{number}", 10, 60)
        await memory.get_sliding_window(f"asked-{number}", 60)
        assert len(memory) <= 1000


async def test_a_caller_that_goes_on_is_not_pushed_out_by_those_made_up() -> None:
    memory = BoundedMemory(most_keys=100, clock=Clock())
    let_in = 0
    for number in range(2000):
        await memory.acquire_sliding_window_entry(f"made-up-{number}", 10, 60)
        let_in += await memory.acquire_sliding_window_entry("guessing", 10, 60)
    assert let_in == 10


async def test_what_is_over_is_freed() -> None:
    clock = Clock()
    memory = BoundedMemory(clock=clock)
    for number in range(100):
        await memory.acquire_sliding_window_entry(f"k{number}", 10, 60)
    clock.now += 121
    for _ in range(60):
        await memory.acquire_sliding_window_entry("now", 10, 60)
    assert len(memory) == 1


@given(
    st.integers(1, 50),
    st.sampled_from([1, 60]),
    st.lists(st.tuples(st.floats(0, 90), st.integers(1, 20)), min_size=1, max_size=30),
    st.integers(1, 50),
)
def test_after_the_wait_that_is_told_it_is_let_in_and_not_a_second_before(
    most: int, window_s: int, asked: list[tuple[float, int]], cost: int
) -> None:
    async def play() -> None:
        clock = Clock()
        memory = BoundedMemory(clock=clock)
        for wait_s, taken in asked:
            clock.now += wait_s * window_s / 60
            await memory.acquire_sliding_window_entry("k", most, window_s, taken)
        now = Taken(*await memory.get_sliding_window("k", window_s))
        if now.left_of(Limit(most, window_s)) >= cost or cost > most:
            return
        wait_s = now.seconds_until(cost, Limit(most, window_s))
        assert 1 <= wait_s <= 2 * window_s + 1
        began = clock.now
        clock.now = began + wait_s - 1.01
        assert wait_s == 1 or not await memory.acquire_sliding_window_entry("k", most, window_s, cost)
        clock.now = began + wait_s + 1e-6
        assert await memory.acquire_sliding_window_entry("k", most, window_s, cost)

    asyncio.run(play())


@pytest.mark.parametrize(("cost", "most"), [(11, 10), (1, 0)])
def test_what_never_fits_waits_a_window(cost: int, most: int) -> None:
    assert Taken(0, 0.0, 0, 90.0).seconds_until(cost, Limit(most, 60)) == 60
