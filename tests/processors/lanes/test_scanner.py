"""Scans on the real Kafka: what is found, how far was looked, and what happens when records or brokers are gone."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator

import pytest
from confluent_kafka import Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from structlog.testing import capture_logs

from processors.lanes import scanner as module
from processors.lanes.lane import LaneId
from processors.lanes.scanner import Scan, Scanner, Want
from producers.handover import Handover
from schemas.headers import ORDERING_KEY
from schemas.records import Position

pytestmark = pytest.mark.kafka

A, B, C = b"sub_a", b"sub_b", b"sub_c"
PLENTY = 1_000_000


class Kafka:
    """A topic of a test's own with one record after the other in partition 1, and scans of it."""

    def __init__(self, bootstrap: str) -> None:
        self.config: dict[str, str] = {"bootstrap.servers": bootstrap}
        self.topic = f"scan-{uuid.uuid4().hex}"
        self.admin = AdminClient({"bootstrap.servers": bootstrap})
        self.admin.create_topics([NewTopic(self.topic, 2, 1)])[self.topic].result(20)
        self.scanner = Scanner(self.config, Handover(asyncio.get_running_loop()))

    def write(self, *records: tuple[bytes, bytes] | tuple[bytes, bytes, str], partition: int = 1) -> None:
        """Append records: subscription and value, and perhaps an ordering key."""
        client = Producer({**self.config, "linger.ms": 20})
        for subscription, value, *keys in records:
            headers: list[tuple[str, str | bytes | None]] = [(ORDERING_KEY, key) for key in keys]
            client.produce(self.topic, key=subscription, value=value, headers=headers, partition=partition)
        assert client.flush(20) == 0

    def forget_before(self, offset: int) -> None:
        """Take the first records away, as retention does."""
        for future in self.admin.delete_records([TopicPartition(self.topic, 1, offset)]).values():
            future.result(20)

    def begin(self, end: int, wants: dict[LaneId, Want], *, partition: int = 1) -> "asyncio.Future[Scan]":
        """Give the scanner a job."""
        done: asyncio.Future[Scan] = asyncio.get_running_loop().create_future()
        self.scanner.scan(Scan(self.topic, partition, end, wants), done.set_result)
        return done

    async def scan(self, end: int, wants: dict[LaneId, Want]) -> None:
        """Do a job, within 15 s."""
        await asyncio.wait_for(self.begin(end, wants), 15)


@pytest.fixture
async def kafka(bootstrap: str) -> AsyncIterator[Kafka]:
    kafka = Kafka(bootstrap)
    kafka.scanner.start()
    yield kafka
    await asyncio.to_thread(kafka.scanner.stop)
    assert not kafka.scanner._thread.is_alive()


def want(position: int = 0, *, records: int = PLENTY, size: int = PLENTY) -> Want:
    return Want(position, records, size)


def offsets(want: Want) -> list[int]:
    return [taken.position.offset for taken in want.found]


async def test_finds_the_lane_s_records_up_to_the_end_and_no_others(kafka: Kafka) -> None:
    kafka.write((A, b"0"), (B, b"1"), (A, b"2", "k"), (C, b"3"), (A, b"4"), (A, b"5"))
    lane = want()
    await kafka.scan(5, {(A, None): lane})
    assert [(taken.position, taken.key, taken.value, taken.headers) for taken in lane.found] == [
        (Position(topic=kafka.topic, partition=1, offset=0), A, b"0", []),
        (Position(topic=kafka.topic, partition=1, offset=2), A, b"2", [(ORDERING_KEY, b"k")]),
        (Position(topic=kafka.topic, partition=1, offset=4), A, b"4", []),
    ]
    assert all(taken.timestamp_s > 1_700_000_000 for taken in lane.found)
    assert lane.covered == 5


async def test_a_lane_without_records_is_covered_to_the_end(kafka: Kafka) -> None:
    kafka.write((A, b"0"), (A, b"1"))
    lane = want()
    await kafka.scan(2, {(B, None): lane})
    assert (offsets(lane), lane.covered) == ([], 2)


@pytest.mark.parametrize(
    ("records", "size", "found", "covered"),
    [
        (2, PLENTY, [0, 2], 3),
        (3, PLENTY, [0, 2, 4], 5),
        (4, PLENTY, [0, 2, 4], 6),  # not full: everything was looked at
        (PLENTY, 1, [0], 1),  # one is always taken, or a large record would stand in its way for ever
        (PLENTY, 10, [0], 1),
        (PLENTY, 11, [0, 2], 3),
        (0, PLENTY, [], 0),
    ],
)
async def test_takes_no_more_than_there_is_room_for(
    kafka: Kafka, records: int, size: int, found: list[int], covered: int
) -> None:
    kafka.write(*((lane, b"x" * 10) for lane in (A, B, A, B, A, B)))
    lane = want(records=records, size=size)
    await kafka.scan(6, {(A, None): lane})
    assert (offsets(lane), lane.covered) == (found, covered)


async def test_several_lanes_at_their_own_positions_in_one_pass(kafka: Kafka) -> None:
    kafka.write(*((lane, b"x") for lane in (A, B, C, A, B, C, A, B, C)))
    first, full, late = want(0), want(1, records=1), want(6)
    await kafka.scan(9, {(A, None): first, (B, None): full, (C, None): late})
    assert [(offsets(lane), lane.covered) for lane in (first, full, late)] == [([0, 3, 6], 9), ([1], 2), ([8], 9)]


async def test_a_lane_beyond_what_was_read_keeps_its_position(kafka: Kafka) -> None:
    kafka.write(*((A, b"x") for _ in range(5)))
    gone = want(0, records=0)
    late = want(400, records=0)
    await kafka.scan(500, {(A, None): gone, (B, None): late})
    assert (gone.covered, late.covered) == (0, 400)


async def test_a_parked_key_s_lane_finds_the_records_of_its_key(kafka: Kafka) -> None:
    kafka.write((A, b"0", "k"), (A, b"1", "l"), (A, b"2"), (B, b"3", "k"), (A, b"4", "k"))
    parked, other = want(), want()
    await kafka.scan(5, {(A, "k"): parked, (A, "m"): other})
    assert (offsets(parked), parked.covered) == ([0, 4], 5)
    assert (offsets(other), other.covered) == ([], 5)


async def test_what_retention_took_is_said_and_passed_over(kafka: Kafka) -> None:
    kafka.write(*((A, b"x") for _ in range(10)))
    kafka.forget_before(4)
    lane = want(1)
    with capture_logs() as logs:
        await kafka.scan(10, {(A, None): lane})
    assert (offsets(lane), lane.covered) == ([4, 5, 6, 7, 8, 9], 10)
    said = [(each["log_level"], each["records"]) for each in logs if each["event"] == "scanner.records_gone"]
    assert said == [("error", 3)]


async def test_when_all_of_it_is_gone_the_lane_goes_on_behind_it(kafka: Kafka) -> None:
    kafka.write(*((A, b"x") for _ in range(10)))
    kafka.forget_before(8)
    lane = want(1)
    await kafka.scan(5, {(A, None): lane})
    assert offsets(lane) == []
    assert lane.covered >= 5


async def test_many_records_are_found_in_several_passes_and_none_twice(kafka: Kafka) -> None:
    count = 3000
    await asyncio.to_thread(kafka.write, *((A if number % 3 else B, b"x" * 200) for number in range(count)))
    found, position, passes = [], 0, 0
    while position < count:
        lane = want(position, records=700)
        await kafka.scan(count, {(A, None): lane})
        assert lane.covered > position
        found += offsets(lane)
        position, passes = lane.covered, passes + 1
    assert found == [number for number in range(count) if number % 3]
    assert passes == 3


async def test_jobs_are_done_one_after_the_other(kafka: Kafka) -> None:
    kafka.write((A, b"0"), (B, b"1"))
    kafka.write((A, b"other"), partition=0)
    lanes = [want() for _ in range(6)]
    order: list[int] = []
    jobs = []
    for number, lane in enumerate(lanes):
        job = kafka.begin(2 - number % 2, {(A, None): lane}, partition=1 - number % 2)
        job.add_done_callback(lambda _, number=number: order.append(number))  # type: ignore[misc]  # its default
        jobs.append(job)
    await asyncio.wait_for(asyncio.gather(*jobs), 20)
    assert order == list(range(6))
    assert [lane.found[0].value for lane in lanes] == [b"0", b"other"] * 3
    assert [len(lane.found) for lane in lanes] == [1] * 6


async def test_a_job_that_cannot_be_done_comes_back_and_the_next_is_done(kafka: Kafka) -> None:
    kafka.write((A, b"0"))
    lane = want()
    with capture_logs() as logs:
        assert (await asyncio.wait_for(kafka.begin(1, {}), 15)).wants == {}  # nothing is wanted: a caller's bug
        await asyncio.wait_for(kafka.begin(1, {(A, None): want(7)}, partition=9), 15)  # no such partition
        await kafka.scan(1, {(A, None): lane})
    assert offsets(lane) == [0]
    assert {"scanner.failed", "scanner.kafka_away"} <= {each["event"] for each in logs}


async def test_a_client_that_stands_still_is_replaced(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SILENCE_S", 0.3)
    monkeypatch.setattr(module, "_LONGEST_PASS_S", 0.1)  # the silence outlasts a pass
    kafka.write((A, b"0"))
    lane = want()
    with capture_logs() as logs:
        await kafka.scan(2, {(A, None): lane})  # there is no second record, whatever the caller thinks
        assert kafka.scanner._consumer is None
        kafka.write((A, b"1"))
        again = want(lane.covered)
        await kafka.scan(2, {(A, None): again})
    assert [each["event"] for each in logs if each["event"] == "scanner.silent"] == ["scanner.silent"]
    assert (offsets(lane), lane.covered, offsets(again)) == ([0], 1, [1])


async def test_no_pass_waits_for_a_client_whose_queue_was_full(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds 4 MB, which a pass that takes its time lets fill up; librdkafka then fetches nothing for a second."""
    count, offer = 12_000, module._offer
    kafka.write(*[(A, b"x" * 1300)] * count)

    def slow(message: Message, lanes: dict[bytes, dict[str | None, Want]]) -> None:
        if message.offset() == lane.position:
            time.sleep(0.3)
        offer(message, lanes)

    monkeypatch.setattr(module, "_offer", slow)
    lane = want(records=128)
    took: list[float] = []
    for _ in range(12):
        began = time.monotonic()
        await kafka.scan(count, {(A, None): lane})
        took.append(time.monotonic() - began)
        lane = want(lane.covered, records=128)
    assert lane.position == 12 * 128
    assert sorted(took)[-4] < 0.9  # it would be every other pass; the machine stands still for one or two, perhaps


async def test_stops_in_the_middle_of_a_scan(kafka: Kafka) -> None:
    kafka.write((A, b"0"))
    kafka.begin(100, {(A, None): want()}).add_done_callback(lambda _: None)  # handed back if it had begun
    left = kafka.begin(100, {(A, None): want()})
    await asyncio.wait_for(asyncio.to_thread(kafka.scanner.stop), 5)
    assert not kafka.scanner._thread.is_alive()
    assert not left.done()


async def test_without_brokers_jobs_come_back_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ASK_TIMEOUT_S", 0.3)
    away = Scanner({"bootstrap.servers": "127.0.0.1:1", "log_level": "2"}, Handover(asyncio.get_running_loop()))
    away.start()
    done: asyncio.Future[Scan] = asyncio.get_running_loop().create_future()
    lane = want(5)
    away.scan(Scan("any", 0, 10, {(A, None): lane}), done.set_result)
    await asyncio.wait_for(done, 30)
    assert (offsets(lane), lane.covered) == ([], 5)
    monkeypatch.undo()
    await asyncio.to_thread(away.stop)
