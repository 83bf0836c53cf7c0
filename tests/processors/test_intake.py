"""What an agent takes is acked in order, per assignment, only when it is done; memory is bounded and nothing waits."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import pytest
from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.intake import Event, Intake, Taken

Place = tuple[str, int]
DELIVER_0: Place = ("deliver", 0)
DELIVER_1: Place = ("deliver", 1)


@dataclass
class Message:
    """What of Faust's message is used."""

    topic: str
    partition: int
    offset: int
    generation_id: int | None
    value: bytes | None = b"value"
    headers: object = None
    key: bytes | None = b"key"
    timestamp: float | None = 1.5


@dataclass
class Acking:
    """Faust's event as its consumer sees it: writes down the acks in their order."""

    message: Message
    acked: list[tuple[Place, int]]

    def ack(self) -> bool:
        self.acked.append(((self.message.topic, self.message.partition), self.message.offset))
        return True


@dataclass
class Valve:
    """Faust's flow control: which partitions are stopped, and how often each was."""

    stopped: set[object] = field(default_factory=set)
    stops: int = 0

    def on_buffer_full(self, tp: TP) -> None:
        assert type(tp) is TP, "Faust asserts it too, and ends its consumer"
        self.stopped.add(tp)
        self.stops += 1

    def on_buffer_drop(self, tp: TP) -> None:
        self.stopped.discard(tp)


class Bench:
    """An intake whose work ends when the test says so."""

    def __init__(
        self,
        *,
        most_at_once: int = 100,
        most_records: int = 1000,
        most_bytes: int = 1 << 20,
        most_bytes_in_all: int | None = None,
        turn_of: Callable[[Taken], Hashable] | None = None,
    ) -> None:
        self.valve = Valve()
        self.acked: list[tuple[Place, int]] = []
        self.failures: list[BaseException] = []
        self.begun: list[Taken] = []
        self._gates: defaultdict[tuple[Place, int], asyncio.Future[None]] = defaultdict(
            asyncio.get_running_loop().create_future
        )
        self.intake = Intake(
            self._work,
            flow=lambda: self.valve,
            most_at_once=most_at_once,
            most_records=most_records,
            most_bytes=most_bytes,
            most_bytes_in_all=most_bytes_in_all,
            turn_of=turn_of,
            on_failure=self.failures.append,
        )

    def event(
        self, offset: int, *, place: Place = DELIVER_0, generation: int | None = 1, value: bytes | None = b"value"
    ) -> Event:
        return Acking(Message(*place, offset, generation, value), self.acked)

    def take(
        self, *offsets: int, place: Place = DELIVER_0, generation: int | None = 1, value: bytes = b"value"
    ) -> None:
        for offset in offsets:
            self.intake.take(self.event(offset, place=place, generation=generation, value=value))

    async def finish(self, *offsets: int, place: Place = DELIVER_0, raising: BaseException | None = None) -> None:
        for offset in offsets:
            await settled()
            gate = self._gates.pop((place, offset))
            gate.set_result(None) if raising is None else gate.set_exception(raising)
            await settled()

    @property
    def working_on(self) -> list[int]:
        """The offsets begun so far, in order."""
        return [taken.position.offset for taken in self.begun]

    async def _work(self, taken: Taken) -> None:
        self.begun.append(taken)
        position = taken.position
        await self._gates[(position.topic, position.partition), position.offset]


async def settled() -> None:
    """Let everything that can go on do so: nothing here waits for time or for a socket."""
    for _ in range(60):
        await asyncio.sleep(0)


def offsets(acked: list[tuple[Place, int]], place: Place = DELIVER_0) -> list[int]:
    return [offset for at, offset in acked if at == place]


async def test_what_finishes_early_is_acked_when_all_before_it_is_done() -> None:
    bench = Bench()
    bench.take(5, 6, 8)  # 7 was compacted away
    await bench.finish(8, 6)
    assert bench.acked == []
    await bench.finish(5)
    assert offsets(bench.acked) == [5, 6, 8]


@given(st.permutations(range(12)), st.lists(st.sampled_from([DELIVER_0, DELIVER_1]), min_size=12, max_size=12))
def test_any_order_of_completions_acks_each_partitions_prefix_in_order(order: list[int], places: list[Place]) -> None:
    async def run() -> None:
        bench = Bench()
        for offset, place in enumerate(places):
            bench.take(offset, place=place)
        done: set[int] = set()
        for offset in order:
            await bench.finish(offset, place=places[offset])
            done.add(offset)
            for place in (DELIVER_0, DELIVER_1):
                own = [each for each in range(12) if places[each] == place]
                held = next((each for each in own if each not in done), 12)
                assert offsets(bench.acked, place) == [each for each in own if each < held]

    asyncio.run(run())


async def test_one_partition_does_not_hold_another() -> None:
    bench = Bench()
    bench.take(0, place=DELIVER_0)
    bench.take(0, 1, place=DELIVER_1)
    await bench.finish(0, 1, place=DELIVER_1)
    assert offsets(bench.acked, DELIVER_1) == [0, 1]
    assert offsets(bench.acked, DELIVER_0) == []


async def test_taking_never_waits_and_only_so_many_are_worked_on_at_once() -> None:
    bench = Bench(most_at_once=3)
    bench.take(*range(10))
    await settled()
    assert (bench.intake.in_flight, bench.intake.waiting) == (3, 7)
    await bench.finish(1)
    assert bench.working_on == [0, 1, 2, 3]
    await bench.finish(0, 2, 3)
    assert bench.working_on == [0, 1, 2, 3, 4, 5, 6]


async def test_partitions_take_turns_so_that_a_slow_endpoints_backlog_holds_up_its_own_only() -> None:
    bench = Bench(most_at_once=1)
    bench.take(*range(100, 104), place=DELIVER_0)
    bench.take(*range(200, 202), place=DELIVER_1)
    for offset, place in ((100, DELIVER_0), (101, DELIVER_0), (200, DELIVER_1), (102, DELIVER_0), (201, DELIVER_1)):
        await bench.finish(offset, place=place)
    assert bench.working_on == [100, 101, 200, 102, 201, 103]  # 101 was first in line before the other one came


async def test_one_of_another_turn_begins_before_the_rest_of_a_burst_that_came_first() -> None:
    bench = Bench(most_at_once=1, turn_of=lambda taken: taken.value)
    bench.take(*range(50), value=b"org_a")
    bench.take(50, value=b"org_b")
    bench.take(51, value=b"org_c")
    await bench.finish(0, 1, 50, 51)
    assert bench.working_on == [0, 1, 50, 51, 2]
    assert offsets(bench.acked) == [0, 1]  # acks stay those of the partition


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from([DELIVER_0, DELIVER_1]), st.sampled_from("abc")), max_size=40), st.data())
def test_turns_keep_the_order_of_what_has_one_turn_over_all_its_partitions(
    records: list[tuple[Place, str]], data: st.DataObject
) -> None:
    async def run() -> None:
        bench = Bench(most_at_once=1, turn_of=lambda taken: taken.value)
        ends = {DELIVER_0: 0, DELIVER_1: 0}
        came: list[tuple[str, Place, int]] = []
        for place, turn in records:
            bench.take(ends[place], place=place, value=turn.encode())
            came.append((turn, place, ends[place]))
            ends[place] += 1
            if data.draw(st.booleans()):
                await _finish_all(bench, at_most=1)
        await _finish_all(bench, at_most=len(records))
        begun = [
            ((each.value or b"").decode(), (each.position.topic, each.position.partition), each.position.offset)
            for each in bench.begun
        ]
        assert sorted(begun) == sorted(came)
        for turn in "abc":
            assert [each for each in begun if each[0] == turn] == [each for each in came if each[0] == turn]
        assert sorted(bench.acked) == sorted((place, offset) for _, place, offset in came)

    asyncio.run(run())


async def _finish_all(bench: Bench, *, at_most: int) -> None:
    """End what is begun, one after the other."""
    await settled()
    for _ in range(at_most):
        if bench.intake.in_flight:
            position = bench.begun[-1].position
            await bench.finish(position.offset, place=(position.topic, position.partition))


async def test_what_is_taken_is_worked_on_as_it_came() -> None:
    bench = Bench()
    values: list[bytes | None] = [b"\x00\xff", b"", None]
    for offset, value in enumerate(values):
        bench.intake.take(bench.event(offset, value=value))
    await settled()
    assert [taken.value for taken in bench.begun] == values
    assert (bench.begun[0].key, bench.begun[0].timestamp_s) == (b"key", 1.5)


async def test_a_record_without_a_timestamp_has_the_first_one_there_is() -> None:
    bench = Bench()
    bench.intake.take(Acking(Message(*DELIVER_0, 0, 1, timestamp=None), bench.acked))
    await settled()
    assert bench.begun[0].timestamp_s == 0.0


@pytest.mark.parametrize(
    ("given_headers", "expected"),
    [
        (None, []),
        ([], []),
        ({}, []),
        ([("a", b"1"), ("a", b"2")], [("a", b"1"), ("a", b"2")]),
        ((("a", None),), [("a", b"")]),  # Kafka's headers may have no value
        ({"a": b"1"}, [("a", b"1")]),
    ],
)
async def test_headers_come_as_a_list_whatever_faust_hands_over(
    given_headers: object, expected: list[tuple[str, bytes]]
) -> None:
    bench = Bench()
    bench.intake.take(Acking(Message(*DELIVER_0, 0, 1, headers=given_headers), bench.acked))
    await settled()
    assert bench.begun[0].headers == expected


async def test_a_new_assignment_drops_what_was_queued_and_takes_it_again() -> None:
    bench = Bench(most_at_once=1)
    bench.take(0, 1, 2)
    await settled()
    bench.take(1, generation=2)  # offset 0 went to somebody else's commit, or ours: the broker says where we go on
    await bench.finish(0)
    assert bench.working_on == [0, 1]
    assert bench.intake.waiting == 0


async def test_a_completion_of_an_earlier_assignment_acks_nothing() -> None:
    bench = Bench()
    bench.take(0)
    await settled()
    bench.take(1, generation=2)
    await bench.finish(0)
    assert bench.acked == []
    await bench.finish(1)
    assert offsets(bench.acked) == [1]


async def test_the_same_record_in_flight_in_two_assignments_is_acked_by_the_later_one() -> None:
    bench = Bench(most_at_once=2)
    bench.take(0)
    await settled()
    bench.take(0, generation=2)
    await settled()
    assert bench.working_on == [0, 0]
    await bench.finish(0)  # one gate serves both
    assert offsets(bench.acked) == [0]


@pytest.mark.parametrize("generation", [None, 0, 7])
async def test_the_first_record_begins_an_assignment_whatever_its_number(generation: int | None) -> None:
    bench = Bench()
    bench.take(0, generation=generation)
    await settled()
    assert bench.working_on == [0]


async def test_a_partition_that_holds_as_many_records_as_it_may_is_stopped_and_started_again() -> None:
    bench = Bench(most_records=4)
    bench.take(0, 1, 2)
    assert bench.valve.stopped == set()
    bench.take(3)
    bench.take(0, place=DELIVER_1)
    assert bench.valve.stopped == {DELIVER_0}
    await bench.finish(0)
    assert bench.valve.stopped == {DELIVER_0}  # with less than half it could run dry before the next poll
    await bench.finish(1)
    assert bench.valve.stopped == set()


async def test_bytes_are_bounded_as_records_are() -> None:
    bench = Bench(most_bytes=100)
    bench.take(0, value=b"x" * 60)
    assert bench.valve.stopped == set()
    bench.take(1, value=b"x" * 40)
    assert bench.valve.stopped == {DELIVER_0}
    await bench.finish(1)
    assert bench.valve.stopped == {DELIVER_0}  # 60 are left
    await bench.finish(0)
    assert bench.valve.stopped == set()


async def test_of_all_bytes_a_partition_has_what_is_free_and_the_others_always_find_some() -> None:
    half, small = b"x" * (5 << 20), b"x"
    bench = Bench(most_bytes=100 << 20, most_bytes_in_all=10 << 20)
    bench.take(0, value=half)
    bench.take(0, value=small, place=DELIVER_1)
    assert bench.valve.stopped == {DELIVER_0}  # it holds half, and half is free
    await bench.finish(0)
    bench.take(1, value=half[:-2])
    assert bench.valve.stopped == set()
    bench.take(0, generation=2, value=half[:-2])  # what an earlier assignment held does not count
    assert bench.valve.stopped == set()


async def test_what_was_fetched_already_still_comes_and_stops_the_partition_again() -> None:
    """Faust's own buffers use the same valve, and open it when they have drained."""
    bench = Bench(most_records=2)
    bench.take(0, 1)
    bench.valve.on_buffer_drop(DELIVER_0)
    bench.take(2)
    assert bench.valve.stopped == {DELIVER_0}
    await settled()
    assert bench.working_on == [0, 1, 2]


async def test_a_new_assignment_starts_with_empty_bounds() -> None:
    bench = Bench(most_records=2)
    bench.take(0, 1)
    bench.valve.on_buffer_drop(DELIVER_0)  # as Faust does when it assigns
    bench.take(0, generation=2)
    assert bench.valve.stopped == set()


async def test_records_that_come_again_after_a_seek_back_are_ignored() -> None:
    bench = Bench()
    bench.take(3, 4, 3, 4, 5)
    await bench.finish(3, 4, 5)
    assert bench.working_on == [3, 4, 5]
    assert offsets(bench.acked) == [3, 4, 5]


async def test_what_work_raises_is_reported_and_neither_it_nor_what_follows_is_acked() -> None:
    """F2: stock Faust acks a message whose handler raises."""
    bench = Bench()
    bench.take(0, 1, 2)
    bench.take(0, place=DELIVER_1)
    await bench.finish(0)
    error = RuntimeError("our bug")
    await bench.finish(1, raising=error)
    await bench.finish(2)
    await bench.finish(0, place=DELIVER_1)
    assert bench.failures == [error]
    assert bench.acked == [(DELIVER_0, 0), (DELIVER_1, 0)]


async def test_a_slot_is_free_again_after_a_failure() -> None:
    bench = Bench(most_at_once=1)
    bench.take(0, 1)
    await bench.finish(0, raising=RuntimeError("our bug"))
    assert bench.working_on == [0, 1]


async def test_stopping_lets_what_runs_end_and_acks_it_and_begins_nothing() -> None:
    bench = Bench(most_at_once=2)
    bench.take(0, 1, 2)
    await settled()
    stopping = asyncio.create_task(bench.intake.stop(60))
    await settled()
    bench.take(3)
    await bench.finish(0, 1)
    assert await stopping == 0
    assert bench.working_on == [0, 1]
    assert offsets(bench.acked) == [0, 1]


async def test_stopping_cuts_off_what_does_not_end_and_says_how_many() -> None:
    bench = Bench()
    bench.take(0, 1)
    await bench.finish(0)
    assert await bench.intake.stop(0.01) == 1
    await settled()
    assert bench.intake.in_flight == 0
    assert offsets(bench.acked) == [0]
    assert bench.failures == []  # to be cut off is no failure: it is read again
