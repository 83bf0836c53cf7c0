"""What is asked at once is asked together: of whom, in which order, and what one's error does to the others."""

import asyncio
from collections.abc import Sequence

import pytest

from api.database import DatabaseAway
from api.events.gathering import Gathering
from schemas.ids import OrganizationId

ONE, OTHER = OrganizationId("org_one"), OrganizationId("org_other")


class Asked:
    """Notes what was asked together; each question waits until it is `let` through."""

    def __init__(self) -> None:
        self.together: list[tuple[OrganizationId, list[int]]] = []
        self.refused: set[int] = set()
        self.let = asyncio.Semaphore(0)
        self.asked = asyncio.Semaphore(0)
        self.is_away = False

    async def __call__(self, organization_id: OrganizationId, given: Sequence[int]) -> set[int]:
        self.together.append((organization_id, [*given]))
        self.asked.release()
        await self.let.acquire()
        if self.is_away:
            raise DatabaseAway
        if self.refused & {*given}:
            raise ValueError("refused")
        return {*given}


async def test_who_comes_meanwhile_goes_together_in_the_next() -> None:
    asked = Asked()
    gathering = Gathering(asked)
    first = asyncio.create_task(gathering.ask(ONE, [1]))
    await asked.asked.acquire()
    rest = [asyncio.create_task(gathering.ask(ONE, [number])) for number in (2, 3, 4)]
    await asyncio.sleep(0)
    asked.let.release()
    assert await first == {1}
    asked.let.release()
    assert await asyncio.gather(*rest) == [{2, 3, 4}] * 3
    assert asked.together == [(ONE, [1]), (ONE, [2, 3, 4])]
    asked.let.release()
    assert await gathering.ask(ONE, [5]) == {5}


async def test_no_organization_waits_for_another() -> None:
    asked = Asked()
    gathering = Gathering(asked)
    waiting = [asyncio.create_task(gathering.ask(organization, [1])) for organization in (ONE, OTHER)]
    await asked.asked.acquire()
    await asked.asked.acquire()
    assert sorted(asked.together) == [(ONE, [1]), (OTHER, [1])]
    asked.let.release()
    asked.let.release()
    assert await asyncio.gather(*waiting) == [{1}, {1}]


async def test_no_transaction_holds_more_than_two_of_the_largest_batches() -> None:
    asked = Asked()
    gathering = Gathering(asked)
    tasks = [asyncio.create_task(gathering.ask(ONE, range(start, start + 400))) for start in range(0, 2000, 400)]
    for _ in range(4):
        asked.let.release()
    await asyncio.gather(*tasks)
    assert [len(given) for _, given in asked.together] == [800, 800, 400]


async def test_what_is_refused_of_one_fails_that_one() -> None:
    asked = Asked()
    asked.refused = {3}
    gathering = Gathering(asked)
    tasks = [asyncio.create_task(gathering.ask(ONE, [number])) for number in (1, 2, 3, 4)]
    for _ in range(6):
        asked.let.release()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [set, set, ValueError, set]


async def test_away_is_said_to_all_and_asked_once() -> None:
    asked = Asked()
    asked.is_away = True
    gathering = Gathering(asked)
    tasks = [asyncio.create_task(gathering.ask(ONE, [number])) for number in (1, 2, 3)]
    asked.let.release()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [DatabaseAway] * 3
    assert len(asked.together) == 1


@pytest.mark.parametrize("who", [0, 1])
async def test_who_hangs_up_stops_nobody_else_and_is_not_asked_for(who: int) -> None:
    asked = Asked()
    gathering = Gathering(asked)
    tasks = [asyncio.create_task(gathering.ask(ONE, [0]))]
    await asked.asked.acquire()
    tasks += [asyncio.create_task(gathering.ask(ONE, [number])) for number in (1, 2)]
    await asyncio.sleep(0)
    tasks.pop(who).cancel()
    asked.let.release()
    asked.let.release()
    await asyncio.gather(*tasks)
    assert asked.together == [(ONE, [0]), (ONE, [2] if who else [1, 2])]
