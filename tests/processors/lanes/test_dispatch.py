"""Live or behind: nobody waits for somebody else's endpoint, and nothing is lost by it. On the real Kafka."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from processors.lanes import dispatch
from processors.lanes.limits import Limits
from processors.turn import Finish, NotOurs
from schemas.headers import TEST
from schemas.records import Ordering
from tests.machine import SLOW_MACHINE_S
from tests.processors.lanes.yard import LIMITS, Begun, Yard, by_counts, yard_on

pytestmark = pytest.mark.kafka

SEEDS = int(os.environ.get("HOOKLINE_TEST_STORMS", "4"))  # 3 s each; more of them by hand


@pytest.fixture
async def yard(topics: str) -> AsyncIterator[Yard]:
    async with yard_on(topics) as running:
        yield running


def answers(begun: Begun) -> None:
    begun.finish()


async def test_live_records_are_acked_when_all_before_them_are_done(yard: Yard) -> None:
    one, other = yard.subscription(), yard.subscription()
    await yard.send(one, other, other)
    await yard.until(lambda: len(yard.begun) == 3)
    for begun in yard.of(other):
        begun.finish()
    await asyncio.sleep(0)
    assert yard.commit() == 0
    yard.of(one)[0].finish()
    await yard.until(yard.all_acked)
    assert not yard.cursors()


async def test_a_subscription_that_hangs_goes_behind_and_holds_no_ack(yard: Yard) -> None:
    hanging, healthy = yard.subscription(), yard.subscription()
    yard.on_begin = lambda begun: begun.finish() if begun.subscription == healthy else None
    await yard.send(hanging, healthy, hanging, healthy)
    await yard.until(yard.all_acked)
    assert [each.offset for each in yard.of(hanging)] == [0, 2]
    [cursor] = yard.cursors().values()
    assert (cursor.subscription_id, cursor.next, cursor.reason) == (hanging, 0, "slow")


async def test_no_other_waits_for_it(yard: Yard) -> None:
    hanging, healthy = yard.subscription(), yard.subscription()
    yard.on_begin = lambda begun: begun.finish() if begun.subscription == healthy else None
    await yard.send(*[hanging] * 100, healthy)
    await yard.until(lambda: len(yard.of(healthy)) == 1)
    assert len(yard.of(hanging)) <= LIMITS.cap


async def test_what_did_not_fit_is_read_again_in_order_and_each_is_sent_once(yard: Yard) -> None:
    slow = yard.subscription()
    await yard.send(*[slow] * 200)
    await yard.until(yard.all_acked)
    assert len(yard.begun) == LIMITS.cap
    yard.on_begin = answers
    for begun in yard.open():
        begun.finish()
    await yard.until(lambda: len(yard.begun) == 200 and not yard.open())
    assert [each.offset for each in yard.begun] == list(range(200))


async def test_who_has_caught_up_is_live_again(yard: Yard) -> None:
    slow = yard.subscription()
    await yard.send(*[slow] * 50)
    await yard.until(yard.all_acked)
    assert yard.cursors()
    yard.on_begin = answers
    for begun in yard.open():
        begun.finish()
    await yard.until(lambda: len(yard.begun) == 50 and not yard.cursors())
    yard.on_begin = lambda _: None
    await yard.send(slow)
    await yard.until(lambda: len(yard.open()) == 1)
    assert yard.commit() == 50  # held, as a live one is


async def test_a_hanging_one_that_recovers_beside_new_ones(yard: Yard) -> None:
    """The last of the old ones keeps the cursor although new ones are live."""
    one = yard.subscription(most_in_flight=4)
    await yard.send(one, one)
    await yard.until(yard.all_acked)
    hung, other = yard.open()
    other.finish()
    yard.on_begin = answers
    await yard.send(one)
    await yard.until(lambda: len(yard.begun) == 3)
    assert yard.cursors()
    hung.finish()
    await yard.until(lambda: not yard.cursors())


async def test_while_it_is_paused_nothing_is_sent_and_all_comes_after(yard: Yard) -> None:
    paused = yard.subscription(paused=True)
    yard.on_begin = answers
    await yard.send(*[paused] * 30)
    await yard.until(yard.all_acked)
    assert not yard.begun
    [cursor] = yard.cursors().values()
    assert (cursor.next, cursor.reason) == (0, "paused")
    yard.change(paused, paused=False)
    await yard.until(lambda: len(yard.begun) == 30 and not yard.cursors())
    assert [each.offset for each in yard.begun] == list(range(30))


async def test_a_pause_outlasts_a_restart_without_new_records(yard: Yard) -> None:
    paused = yard.subscription(paused=True)
    yard.on_begin = answers
    await yard.send(*[paused] * 30)
    await yard.until(yard.all_acked)
    await yard.until(lambda: bool(yard.cursors()))
    yard.kill()
    await yard.start()
    yard.change(paused, paused=False)
    await yard.until(lambda: len(yard.begun) == 30)
    assert [each.offset for each in yard.begun] == list(range(30))


async def test_it_catches_up_at_the_set_rate(yard: Yard) -> None:
    paused = yard.subscription(paused=True, catch_up_per_s=50.0)
    yard.on_begin = answers
    await yard.send(*[paused] * 60)
    await yard.until(yard.all_acked)
    began = time.monotonic()
    yard.change(paused, paused=False)
    await yard.until(lambda: len(yard.begun) == 60)
    took = time.monotonic() - began
    assert took >= 60 / 50 - 0.25  # 0.2 s may be saved up


async def test_a_test_send_waits_for_nothing(yard: Yard) -> None:
    paused = yard.subscription(paused=True)
    await yard.send(paused)
    await yard.until(yard.all_acked)
    await yard.send(paused, headers=[(TEST, b"1")])
    await yard.until(lambda: len(yard.begun) == 1)
    assert yard.begun[0].offset == 1


async def test_an_open_breaker_lets_one_probe_through_at_a_time(topics: str) -> None:
    async with yard_on(topics, least=5, probe_every_s=0.3) as yard:
        failing = yard.subscription()
        yard.on_begin = lambda begun: begun.finish(Finish.FAILED)
        began = time.monotonic()
        await yard.send(*[failing] * 40)
        await yard.until(lambda: time.monotonic() - began > 1.0)
        probes = (time.monotonic() - began) / 0.3 + 1
        assert 5 <= len(yard.begun) <= 5 + LIMITS.cap + probes  # and what was open when it opened
        [cursor] = yard.cursors().values()
        assert cursor.reason == "open"
        yard.on_begin = answers
        await yard.until(lambda: len(yard.begun) == 40 and not yard.cursors())
        assert [each.offset for each in yard.begun] == list(range(40))


async def test_a_rate_is_kept_and_nothing_is_lost(yard: Yard) -> None:
    limited = yard.subscription(rate_limit=40)
    yard.on_begin = answers
    began = time.monotonic()
    await yard.send(*[limited] * 80)
    await yard.until(lambda: len(yard.begun) == 80)
    took = time.monotonic() - began
    assert 80 / 40 - 0.25 <= took <= 80 / 40 + SLOW_MACHINE_S  # test_pacing.py claims how near it comes


async def test_organizations_take_turns(topics: str) -> None:
    limits = Limits(live=1, behind=64, cap=1, soft_s=30, lane_records=1000)
    async with yard_on(topics, limits) as yard:
        burst = [yard.subscription(organization_id="org_a") for _ in range(20)]
        other = yard.subscription(organization_id="org_b")
        await yard.send(*burst, other)
        await yard.until(lambda: len(yard.begun) == 1)
        yard.on_begin = answers
        yard.open()[0].finish()
        await yard.until(lambda: len(yard.begun) == 21)
        assert [each.subscription for each in yard.begun].index(other) <= 2


async def test_a_partition_that_is_taken_away_is_left_alone(yard: Yard) -> None:
    one = yard.subscription(most_in_flight=1)
    await yard.send(one, one)
    await yard.until(lambda: len(yard.begun) == 1)
    turn = yard.begun[0].turn
    assert turn.is_ours()
    yard.dispatcher.drop()
    assert not turn.is_ours()
    yard.begun[0].finish()
    await asyncio.sleep(0.05)
    assert len(yard.begun) == 1
    assert yard.commit() == 0


class Takings:
    """Taking over, which ends when the test says so."""

    def __init__(self, yard: Yard) -> None:
        self.asked: list[asyncio.Future[None]] = []
        yard.takes_over = self._take

    async def _take(self, _: int) -> None:
        self.asked.append(asyncio.get_running_loop().create_future())
        await self.asked[-1]


async def begun_anew(yard: Yard) -> Takings:
    yard.kill()
    takings = Takings(yard)
    await yard.start()
    await yard.send(yard.subscription(), yard.subscription())
    await yard.until(lambda: len(takings.asked) == 1)
    return takings


async def test_nothing_begins_before_the_partitions_are_taken_over(yard: Yard) -> None:
    takings = await begun_anew(yard)
    assert not yard.begun
    takings.asked[0].set_result(None)
    await yard.until(lambda: len(yard.begun) == 2)
    assert len(takings.asked) == 1


async def test_each_assignment_is_taken_over_and_the_last_one_counts(yard: Yard) -> None:
    takings = await begun_anew(yard)
    yard.reassign()
    await yard.until(lambda: len(takings.asked) == 2)
    takings.asked[0].set_result(None)  # of the assignment that is over
    await asyncio.sleep(0.05)
    assert not yard.begun
    takings.asked[1].set_result(None)
    await yard.until(lambda: len(yard.begun) == 2)


async def test_a_taking_over_that_fails_is_reported_and_nothing_begins(yard: Yard) -> None:
    takings = await begun_anew(yard)
    error = OSError("the cursors cannot be read")
    takings.asked[0].set_exception(error)
    async with asyncio.timeout(30):
        while not yard.failures:  # noqa: ASYNC110 - a list
            await asyncio.sleep(0.01)
    assert (yard.failures, yard.begun, yard.acked) == ([error], [], set())
    yard.failures.clear()


async def test_stopping_while_it_takes_over_begins_nothing(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_SAVED_WITHIN_S", 0.05)
    takings = await begun_anew(yard)
    assert await yard.dispatcher.stop(0.01) == 0
    await asyncio.sleep(0)
    assert takings.asked[0].cancelled()
    assert (yard.begun, yard.failures) == ([], [])


@pytest.mark.parametrize("ordering", [Ordering.STRICT, Ordering.PER_KEY])
async def test_a_failed_ordered_record_is_tried_again_before_its_followers(yard: Yard, ordering: Ordering) -> None:
    one = yard.subscription(ordering=ordering)
    for _ in range(6):
        await yard.send(one, key="k")
    await yard.until(lambda: len(yard.begun) == 1)
    kept_at = time.monotonic()
    await yard.begun[0].keep(in_s=0.2)
    await yard.until(yard.all_acked)
    [cursor] = yard.cursors().values()
    assert (cursor.next, cursor.attempt, cursor.reason) == (0, 2, "parked")
    yard.on_begin = answers
    await yard.until(lambda: len(yard.begun) == 7)
    assert yard.begun[1].at - kept_at >= 0.2
    assert (yard.begun[1].turn.attempt, len(yard.begun[1].turn.history)) == (2, 1)
    assert [each.offset for each in yard.begun] == [0, 0, 1, 2, 3, 4, 5]
    await yard.until(lambda: not yard.cursors())


async def test_other_keys_go_on(yard: Yard) -> None:
    one = yard.subscription(ordering=Ordering.PER_KEY)
    for number in range(12):
        await yard.send(one, key=f"k{number % 3}")
    await yard.until(lambda: len(yard.begun) == 3)
    await yard.begun[0].keep(in_s=30)
    yard.on_begin = answers
    for begun in yard.begun[1:]:
        begun.finish()
    await yard.until(lambda: len(yard.begun) == 9)
    await yard.until(yard.all_acked)
    assert all(each.offset % 3 for each in yard.begun[1:])


async def test_a_parked_key_and_its_attempts_outlast_a_kill(yard: Yard) -> None:
    one = yard.subscription(ordering=Ordering.PER_KEY)
    for _ in range(3):
        await yard.send(one, key="k")
    await yard.until(lambda: len(yard.begun) == 1)
    await yard.begun[0].keep(in_s=0.3)
    await yard.until(yard.all_acked)
    yard.kill()
    yard.begun.clear()
    yard.on_begin = answers
    await yard.start()
    await yard.until(lambda: len(yard.begun) == 3)
    assert [(each.offset, each.turn.attempt) for each in yard.begun] == [(0, 2), (1, 1), (2, 1)]


class Storm:
    """Endpoints that answer, fail and hang by chance, for every ordering; what succeeded, in its order."""

    def __init__(self, yard: Yard, seed: int) -> None:
        self.yard = yard
        self.chance = by_counts(seed)
        self.done: list[int] = []
        self.keeping: set[asyncio.Task[None]] = set()
        orderings = [*[Ordering.NONE] * 4, *[Ordering.PER_KEY] * 2, Ordering.STRICT]
        self.subscriptions = [yard.subscription(ordering=ordering) for ordering in orderings]
        yard.on_begin = self.decide

    def decide(self, begun: Begun) -> None:
        draw = self.chance.random()
        if draw < 0.75:
            self.answer(begun)
        elif draw < 0.9 and begun.turn.is_ordered:
            self.keeping.add(asyncio.create_task(kept(begun)))
        elif draw < 0.93 and not begun.turn.is_ordered:
            self.done.append(begun.offset)
            begun.finish(Finish.FAILED)  # its retry is another record
        # the rest hangs until it is killed or all answer

    def answer(self, begun: Begun) -> None:
        if begun.turn.is_ours():
            self.done.append(begun.offset)
        begun.finish()

    async def blow(self) -> None:
        """Let records come, kill and begin again, pause and resume."""
        for _ in range(self.chance.randrange(25)):
            await self.yard.send(self.chance.choice(self.subscriptions), key=f"k{self.chance.randrange(4)}")
        event = self.chance.random()
        if event < 0.3:
            self.yard.kill()
            await self.yard.start()
        elif event < 0.5:
            one = self.chance.choice(self.subscriptions)
            self.yard.change(one, paused=not self.yard.settings[one].paused)
        await asyncio.sleep(self.chance.random() * 0.3)

    async def calm(self) -> None:
        """Answer everything, and wait until each record was done once."""
        for one in self.subscriptions:
            self.yard.change(one, paused=False)
        self.yard.on_begin = self.answer
        for begun in self.yard.open():
            self.answer(begun)
        await self.yard.until(lambda: len(set(self.done)) == len(self.yard.records), within_s=60)
        await asyncio.gather(*self.keeping, return_exceptions=True)

    def inversions(self) -> list[int]:
        """Return what succeeded for the first time after a later one of its lane."""
        highest: dict[tuple[str, str | None], int] = {}
        late = []
        for offset in dict.fromkeys(self.done):
            subscription, key = self.yard.records[offset]
            ordering = self.yard.settings[subscription].ordering
            lane = (subscription, key if ordering is Ordering.PER_KEY else None)
            if ordering is not Ordering.NONE and highest.get(lane, -1) > offset:
                late.append(offset)
            highest[lane] = max(highest.get(lane, -1), offset)
        return late


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_whatever_happens_nothing_is_lost_and_keys_keep_their_order(topics: str, seed: int) -> None:
    async with yard_on(topics, least=6, probe_every_s=0.05) as yard:
        storm = Storm(yard, seed)
        for _ in range(12):
            await storm.blow()
        await storm.calm()
        assert not storm.inversions()


async def kept(begun: Begun) -> None:
    with suppress(NotOurs):
        await begun.keep(in_s=0.05)
