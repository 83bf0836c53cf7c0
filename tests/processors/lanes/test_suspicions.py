"""Ways to lose, to stall and to overtake that were suspected, each with the moment at which it happened."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from processors.lanes import parking
from processors.lanes.limits import Limits
from processors.turn import Finish
from schemas.headers import TEST
from schemas.records import Cursor, Ordering
from tests.processors.lanes.yard import Begun, Yard, yard_on

pytestmark = pytest.mark.kafka


@pytest.fixture
async def yard(topics: str) -> AsyncIterator[Yard]:
    async with yard_on(topics) as running:
        yield running


def answers(begun: Begun) -> None:
    begun.finish()


def tried(yard: Yard) -> list[tuple[int, int]]:
    return [(each.offset, each.turn.attempt) for each in yard.begun]


@pytest.mark.parametrize("to", [Ordering.NONE, Ordering.PER_KEY])
async def test_a_subscription_that_is_no_longer_strict_keeps_what_was_failing(yard: Yard, to: Ordering) -> None:
    """Its attempt had begun in strict order, and ends by another setting."""
    one = yard.subscription(ordering=Ordering.STRICT)
    for _ in range(3):
        await yard.send(one, key="k")
    await yard.until(lambda: len(yard.begun) == 1)
    yard.change(one, ordering=to)
    await asyncio.sleep(0.3)  # longer than a sweep, which offers the lane
    await yard.begun[0].keep(in_s=0.3)
    await yard.until(yard.all_acked)
    yard.kill()
    yard.begun.clear()
    yard.on_begin = answers
    await yard.start()
    await yard.until(lambda: len(yard.begun) >= 3 and not yard.cursors())
    assert tried(yard) == [(0, 2), (1, 1), (2, 1)]


async def test_what_is_open_ends_before_another_order_begins(yard: Yard) -> None:
    one = yard.subscription()
    for _ in range(2):
        await yard.send(one, key="k")
    await yard.until(lambda: len(yard.begun) == 2)
    yard.change(one, ordering=Ordering.PER_KEY)
    await yard.send(one, key="k")
    await asyncio.sleep(0.05)
    assert len(yard.begun) == 2
    yard.begun[0].finish()
    await asyncio.sleep(0.05)
    assert len(yard.begun) == 2
    yard.begun[1].finish()
    await yard.until(lambda: len(yard.begun) == 3)


async def test_one_that_is_strict_now_waits_for_its_parked_keys(yard: Yard) -> None:
    one = yard.subscription(ordering=Ordering.PER_KEY)
    await yard.send(one, key="a")
    await yard.until(lambda: len(yard.begun) == 1)
    await yard.begun[0].keep(in_s=0.5)
    yard.change(one, ordering=Ordering.STRICT)
    yard.on_begin = answers
    await yard.send(one, key="b")
    await yard.until(lambda: len(yard.begun) == 3)
    assert tried(yard) == [(0, 1), (0, 2), (1, 1)]


async def test_a_test_send_leaves_alone_what_waits_for_its_retry(yard: Yard) -> None:
    one = yard.subscription(ordering=Ordering.STRICT)
    await yard.send(one, one)
    await yard.until(lambda: len(yard.begun) == 1)
    kept_at = time.monotonic()
    await yard.begun[0].keep(in_s=0.5)
    yard.on_begin = answers
    await yard.send(one, headers=[(TEST, b"1")])
    await yard.until(lambda: len(yard.begun) == 4)
    assert tried(yard) == [(0, 1), (2, 1), (0, 2), (1, 1)]
    assert not yard.begun[1].turn.is_ordered
    assert yard.begun[2].at - kept_at >= 0.5


async def test_a_test_send_does_not_wait_for_a_long_backlog(yard: Yard) -> None:
    paused = yard.subscription(paused=True)
    await yard.send(*[paused] * 30)
    await yard.until(yard.all_acked)
    yard.on_begin = answers
    await yard.send(paused, headers=[(TEST, b"1")])
    await yard.until(lambda: len(yard.begun) == 1)
    assert yard.begun[0].offset == 30
    await yard.send(paused)
    yard.change(paused, paused=False)
    await yard.until(lambda: len(yard.begun) == 32 and not yard.cursors())
    assert [each.offset for each in yard.begun] == [30, *range(30), 31]


async def test_too_many_parked_keys_do_not_hold_each_other_for_ever(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last attempt of each is given up, so the endpoint's last answer is a failure, and nothing is left to ask."""
    monkeypatch.setattr(parking, "MOST_PARKED", 2)
    one = yard.subscription(ordering=Ordering.PER_KEY)
    for number in range(3):
        await yard.send(one, key=f"k{number}")
    await yard.until(lambda: len(yard.begun) == 3)
    for begun in yard.begun:
        await begun.keep(in_s=0.1)
    await yard.send(one, key="other")
    yard.on_begin = lambda begun: begun.finish(Finish.FAILED if begun.offset < 3 else Finish.SUCCEEDED)
    await yard.until(lambda: len(yard.begun) == 7)
    assert [each.offset for each in yard.begun].count(3) == 1
    await yard.until(lambda: not yard.cursors())


async def test_a_save_of_an_earlier_time_behind_acks_nothing_of_this_one(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the new cursor is with the brokers, the log ends with the null that the lane left behind."""
    one = yard.subscription()
    await yard.send(one, one)
    await yard.until(yard.all_acked)  # slow, so behind
    lane = next(iter(yard.dispatcher._roster.shares[0].behind.values()))
    assert yard._cursors is not None
    real, first, others = yard._cursors.save, asyncio.Event(), asyncio.Event()
    saved: list[Cursor | None] = []

    async def save(partition: int, key: bytes, cursor: Cursor | None) -> bool:
        saved.append(cursor)
        await (first if len(saved) == 1 else others).wait()
        return await real(partition, key, cursor)

    monkeypatch.setattr(yard._cursors, "save", save)
    early = asyncio.create_task(yard.dispatcher._standing.save(lane))
    await asyncio.sleep(0)
    hung, other = yard.open()
    other.finish()
    await yard.until(lambda: lane.is_leaving)
    await yard.send(one)  # live
    await yard.until(lambda: len(yard.open()) == 2)
    hung.finish()
    await yard.until(lambda: len(saved) == 3)  # live: the null; slow again: another cursor
    assert saved[1] is None
    first.set()
    await early
    assert yard.commit() == 2
    others.set()
    await yard.until(yard.all_acked)


async def test_a_subscription_that_is_not_known_here_yet_is_taken_for_an_ordered_one(yard: Yard) -> None:
    one = yard.subscription(ordering=Ordering.STRICT)
    settings = yard.settings.pop(one)
    await yard.send(one, one, one)
    await yard.until(lambda: len(yard.begun) == 1)
    await asyncio.sleep(0.05)
    assert len(yard.begun) == 1
    yard.settings[one] = settings
    yard.on_begin = answers
    yard.open()[0].finish()
    await yard.until(lambda: len(yard.begun) == 3)


async def test_one_that_is_deleted_leaves_no_cursor(topics: str) -> None:
    async with yard_on(topics, least=3, probe_every_s=0.1) as yard:
        one = yard.subscription()
        yard.on_begin = lambda begun: begun.finish(Finish.FAILED)
        await yard.send(*[one] * 12)
        await yard.until(yard.all_acked)
        assert yard.cursors()
        del yard.settings[one]
        yard.on_begin = lambda begun: begun.finish(Finish.NOTHING)
        await yard.until(lambda: not yard.cursors())


async def test_what_is_about_to_be_forgotten_is_given_to_replay_faster_than_it_came(topics: str) -> None:
    limits = Limits(live=64, behind=64, cap=4, soft_s=0.15, lane_records=8, held_for_s=0.6)
    async with yard_on(topics, limits) as yard:
        paused = yard.subscription(paused=True)
        yard.on_begin = lambda begun: begun.finish(Finish.NOTHING)
        await yard.send(*[paused] * 40)
        await yard.until(lambda: len(yard.begun) == 40)
        assert all(each.turn.is_expired for each in yard.begun)


async def test_a_hot_key_does_not_hide_the_others(topics: str) -> None:
    limits = Limits(live=64, behind=64, cap=4, soft_s=30, lane_records=256)
    async with yard_on(topics, limits) as yard:
        one = yard.subscription(ordering=Ordering.PER_KEY)
        for _ in range(100):
            await yard.send(one, key="hot")
        await yard.send(one, key="other")
        await yard.until(lambda: len(yard.begun) == 2, within_s=20)
        assert yard.begun[1].offset == 100


async def test_each_reason_is_the_one_that_holds(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parking, "MOST_PARKED", 0)
    waiting = yard.subscription(ordering=Ordering.PER_KEY)
    await yard.send(waiting, key="a")
    await yard.until(lambda: len(yard.begun) == 1)
    await yard.begun[0].keep(in_s=30)
    await yard.send(waiting, key="b")
    await yard.until(yard.all_acked)
    assert {cursor.key: cursor.reason for cursor in yard.cursors().values()} == {"a": "parked", None: "parked"}


async def test_a_long_strict_queue_is_full_and_not_its_organizations_share(yard: Yard) -> None:
    queued = yard.subscription(ordering=Ordering.STRICT)
    await yard.send(*[queued] * 7)
    for number in range(1, 7):  # each in time, the last ones of the queue not
        await yard.until(lambda number=number: len(yard.begun) == number)  # type: ignore[misc]
        await asyncio.sleep(0.1)
        yard.begun[-1].finish()
    assert {cursor.reason for cursor in yard.cursors().values()} == {"full"}


async def test_a_kept_record_is_not_kept_past_its_partition(yard: Yard) -> None:
    """The partition goes while the cursor is on its way: nothing is built on it, and no place stays taken."""
    one = yard.subscription(ordering=Ordering.PER_KEY)
    await yard.send(one, key="k")
    await yard.until(lambda: len(yard.begun) == 1)
    gate = yard.dispatcher._gates.take(one)
    keeping = asyncio.create_task(yard.begun[0].keep(in_s=0.1))
    await asyncio.sleep(0)
    yard.kill()
    with pytest.raises(BaseException):  # noqa: B017, PT011 - NotOurs, or cut off with the process
        await keeping
    await asyncio.sleep(0.05)
    assert gate.in_flight == 0
    assert yard.dispatcher._memory.bytes == 0
    assert (yard.dispatcher._pools._live, yard.dispatcher._pools._behind) == (0, 0)
    yard.begun.clear()
    yard.on_begin = answers
    await yard.start()
    await yard.until(lambda: len(yard.begun) == 1)


async def test_a_paused_subscription_with_a_parked_key_only(yard: Yard) -> None:
    one = yard.subscription(ordering=Ordering.PER_KEY)
    await yard.send(one, key="k")
    await yard.until(lambda: len(yard.begun) == 1)
    await yard.begun[0].keep(in_s=0.1)
    yard.change(one, paused=True)
    await asyncio.sleep(0.5)
    assert len(yard.begun) == 1
    yard.on_begin = answers
    yard.change(one, paused=False)
    await yard.until(lambda: len(yard.begun) == 2 and not yard.cursors())


async def test_a_key_that_was_parked_by_a_cursor_and_comes_again_live(yard: Yard) -> None:
    """Its followers come from the live end and from the log, and its own lane knows which of them it has."""
    one = yard.subscription(ordering=Ordering.PER_KEY)
    for number in range(20):
        await yard.send(one, key=f"k{number % 2}")
    await yard.until(lambda: len(yard.begun) == 2)
    await yard.begun[0].keep(in_s=0.3)
    yard.kill()
    yard.begun.clear()
    yard.on_begin = answers
    await yard.start()
    for number in range(20):
        await yard.send(one, key=f"k{number % 2}")
    await yard.until(lambda: len(yard.begun) == 40 and not yard.cursors())
    for key in range(2):
        offsets = [each.offset for each in yard.begun if each.offset % 2 == key]
        assert offsets == sorted(set(offsets))


async def test_what_is_given_back_in_the_same_generation_is_begun_by_a_new_process(yard: Yard) -> None:
    """It stood still until the watchdog saw it: no record of this generation was taken any more."""
    yard.dispatcher.drop()
    yard.dispatcher.begin(yard.generation)
    assert [str(error) for error in yard.failures] == [
        f"partitions of {yard.topic} were taken and given back in one generation"
    ]
    yard.failures.clear()
