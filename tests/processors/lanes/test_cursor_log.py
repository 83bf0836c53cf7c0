"""Cursors on the real Kafka: claimed, written, read back, and defended against who wrote late."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from structlog.testing import capture_logs

from processors.errors import WorkerError
from processors.lanes import cursor_log, cursor_reading
from processors.lanes.cursor_log import CursorLog
from processors.lanes.cursors import CLAIM_KEY
from producers.handover import Handover, LoopProducer
from producers.records import RecordProducer
from schemas.codec import encode
from schemas.headers import WRITER, writer_header
from schemas.ids import SubscriptionId
from schemas.records import Cursor
from schemas.topics import BEHIND, DELIVER, declared_topics
from tests.machine import SLOW_MACHINE_S
from tests.processors.made import ORGANIZATION

pytestmark = pytest.mark.kafka

K = b"hookline.deliver|sub_1"
SETTINGS = next(topic.config for topic in declared_topics([]) if topic.name == BEHIND)


def cursor(offset: int) -> Cursor:
    return Cursor(
        topic=DELIVER,
        subscription_id=SubscriptionId("sub_1"),
        organization_id=ORGANIZATION,
        next=offset,
        reason="full",
        since=datetime(2026, 1, 1, tzinfo=UTC),
    )


class Ends:
    """Why a worker would end."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.heard = asyncio.Event()

    def note(self, error: WorkerError) -> None:
        self.errors.append(str(error))
        self.heard.set()


@dataclass(frozen=True)
class Worker:
    """A log of cursors as a worker has it."""

    log: CursorLog
    ends: Ends


@pytest.fixture
def topic(topics: str) -> str:
    """Return a topic of this test's own, with the settings of `hookline.behind` and 8 partitions."""
    name = f"behind-{uuid.uuid4().hex}"
    admin = AdminClient({"bootstrap.servers": topics})
    admin.create_topics([NewTopic(name, 8, 1, config=SETTINGS)])[name].result(20)
    return name


@pytest.fixture
async def worker(topics: str, topic: str, producer: LoopProducer) -> AsyncIterator[Callable[[], Worker]]:
    """Return what makes workers."""
    workers: list[Worker] = []

    def make() -> Worker:
        handover = Handover(asyncio.get_running_loop())
        config = {"bootstrap.servers": topics}
        ends = Ends()
        log = CursorLog(config, producer, handover, on_superseded=ends.note, topic=topic)
        workers.append(Worker(log, ends))
        return workers[-1]

    yield make
    for each in workers:
        each.log.let_go()


@dataclass(frozen=True)
class Stranger:
    """Writes to the topic whatever it likes, without the log's care."""

    bootstrap: str
    topic: str

    def write(self, key: bytes, value: bytes | None, writer: bytes | None, partition: int = 0) -> None:
        client = Producer({"bootstrap.servers": self.bootstrap})
        headers: list[tuple[str, str | bytes | None]] = [] if writer is None else [(WRITER, writer)]
        client.produce(self.topic, key=key, value=value, headers=headers, partition=partition)
        assert client.flush(30) == 0

    def records(self, partition: int = 0) -> list[tuple[bytes, bytes | None]]:
        """Return keys and values of all that is there, claims aside."""
        client = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "unused", "enable.partition.eof": True})
        client.assign([TopicPartition(self.topic, partition, 0)])
        found = []
        while (message := client.poll(10)) is not None and message.error() is None:
            if message.key() != CLAIM_KEY:
                found.append((message.key() or b"", message.value()))
        client.close()
        return found

    async def has(self, count: int) -> list[tuple[bytes, bytes | None]]:
        """Return all records once there are `count` of them."""
        async with asyncio.timeout(30):
            while len(found := await asyncio.to_thread(self.records)) < count:
                pass
        return found


@pytest.fixture
def stranger(topics: str, topic: str) -> Stranger:
    return Stranger(topics, topic)


def writer_of(worker: Worker, partition: int = 0) -> bytes:
    return writer_header(*worker.log._tenure.writers[partition])[1]


async def test_the_next_owner_finds_what_was_saved(worker: Callable[[], Worker]) -> None:
    first, second = worker(), worker()
    assert await first.log.take_over({0, 1}) == {0: {}, 1: {}}
    assert await first.log.save(0, K, cursor(5))
    await first.log.save(0, b"other", cursor(6))
    await first.log.save(0, K, cursor(7))
    await first.log.save(1, K, cursor(8))
    first.log.let_go()
    assert await second.log.take_over({0, 1}) == {0: {K: cursor(7), b"other": cursor(6)}, 1: {K: cursor(8)}}
    assert not first.ends.errors


async def test_a_lane_that_is_live_again_is_not_found(worker: Callable[[], Worker]) -> None:
    first, second = worker(), worker()
    await first.log.take_over({0})
    await first.log.save(0, K, cursor(5))
    await first.log.save(0, K, None)
    assert await second.log.take_over({0}) == {0: {}}


async def test_takes_over_nothing(worker: Callable[[], Worker]) -> None:
    assert await worker().log.take_over(set()) == {}


async def test_saves_of_a_key_arrive_in_order(worker: Callable[[], Worker], stranger: Stranger) -> None:
    one = worker()
    await one.log.take_over({0})
    await asyncio.gather(*(one.log.save(0, K, cursor(number)) for number in range(50)), one.log.save(0, K, None))
    assert stranger.records() == [*((K, encode(cursor(number))) for number in range(50)), (K, None)]


async def test_whoever_claims_later_supersedes_the_first(worker: Callable[[], Worker], stranger: Stranger) -> None:
    first, second = worker(), worker()
    await first.log.take_over({0, 1})
    await second.log.take_over({1})
    await asyncio.wait_for(first.ends.heard.wait(), 30)
    assert "another worker has claimed partition 1" in first.ends.errors[0]
    assert not await first.log.save(1, K, cursor(5))
    assert not await first.log.save(0, K, cursor(5))  # it ends: nothing of it goes on
    assert stranger.records(0) == stranger.records(1) == []
    assert len(first.ends.errors) == 1
    assert not second.ends.errors


async def test_a_save_behind_another_s_claim_does_not_count(worker: Callable[[], Worker], stranger: Stranger) -> None:
    """The brokers have it, and the next owner ignores it: acks must not be built on it."""
    first, second = worker(), worker()
    await first.log.take_over({0})
    stranger.write(CLAIM_KEY, b"", b"9|somebody")
    assert not await first.log.save(0, K, cursor(5))
    assert first.ends.errors
    assert stranger.records() == [(K, encode(cursor(5)))]
    assert await second.log.take_over({0}) == {0: {}}


@pytest.mark.parametrize("late", [None, cursor(99)])
async def test_what_a_zombie_writes_is_written_over(
    worker: Callable[[], Worker], stranger: Stranger, late: Cursor | None
) -> None:
    first, second, third = worker(), worker(), worker()
    await first.log.take_over({0})
    await first.log.save(0, K, cursor(5))
    zombie = writer_of(first)
    first.log.let_go()
    await second.log.take_over({0})
    value = None if late is None else encode(late)
    with capture_logs() as logs:
        stranger.write(K, value, zombie)
        assert await stranger.has(3) == [(K, encode(cursor(5))), (K, value), (K, encode(cursor(5)))]
    assert [(each["event"], each["partition"]) for each in logs] == [("cursors.written_late", 0)]
    assert not second.ends.errors
    assert await third.log.take_over({0}) == {0: {K: cursor(5)}}


async def test_a_zombie_s_cursor_of_a_lane_that_is_live_is_made_null(
    worker: Callable[[], Worker], stranger: Stranger
) -> None:
    first, second = worker(), worker()
    await first.log.take_over({0})
    zombie = writer_of(first)
    first.log.let_go()
    await second.log.take_over({0})
    await second.log.save(0, K, cursor(5))
    await second.log.save(0, K, None)
    stranger.write(K, encode(cursor(99)), zombie)
    assert (await stranger.has(4))[2:] == [(K, encode(cursor(99))), (K, None)]


@pytest.mark.parametrize("late", [None, encode(cursor(99)), b"garbage"])
async def test_what_a_zombie_wrote_while_nobody_watched_is_written_over_by_the_next(
    worker: Callable[[], Worker], stranger: Stranger, late: bytes | None
) -> None:
    first, second, third = worker(), worker(), worker()
    await first.log.take_over({0})
    await first.log.save(0, K, cursor(5))
    zombie = writer_of(first)
    first.log.let_go()
    await second.log.take_over({0})
    second.log.let_go()
    await asyncio.sleep(0.3)  # its thread ends within 0.1 s
    stranger.write(K, late, zombie)
    assert await third.log.take_over({0}) == {0: {K: cursor(5)}}
    assert stranger.records()[1:] == [(K, late), (K, encode(cursor(5)))]


async def test_a_late_claim_is_claimed_over(worker: Callable[[], Worker], stranger: Stranger, topics: str) -> None:
    """Were it the last, compaction would leave it alone, and the next owner would claim our own epoch again."""
    first, second = worker(), worker()
    await first.log.take_over({0})
    first.log.let_go()
    await second.log.take_over({0})
    stranger.write(CLAIM_KEY, b"", b"1|somebody")
    async with asyncio.timeout(30):
        while await asyncio.to_thread(_last_claim, topics, stranger.topic) != writer_of(second):
            pass
    assert not second.ends.errors


def _last_claim(bootstrap: str, topic: str) -> object:
    client = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.partition.eof": True})
    client.assign([TopicPartition(topic, 0, 0)])
    last: object = None
    while (message := client.poll(10)) is not None and message.error() is None:
        if message.key() == CLAIM_KEY:
            last = dict(message.headers() or [])[WRITER]
    client.close()
    return last


async def test_a_claim_that_came_first_with_a_higher_name_is_claimed_past(
    worker: Callable[[], Worker], stranger: Stranger
) -> None:
    one = worker()
    reached = asyncio.Event()
    send = one.log._producer.send

    async def claims_in_between(*args: object) -> None:
        if not reached.is_set():
            reached.set()
            await asyncio.to_thread(stranger.write, CLAIM_KEY, b"", b"1|~")
        await send(*args)  # type: ignore[arg-type]  # passed on as they came

    one.log._producer = type("Between", (), {"send": staticmethod(claims_in_between)})()
    await one.log.take_over({0})
    assert one.log._tenure.writers[0][0] == 2
    await one.log.save(0, K, cursor(5))


async def test_the_second_of_two_takings_over_of_one_worker_wins(worker: Callable[[], Worker]) -> None:
    """The group is assigned anew while cursors are read: the first must not claim against the second."""
    one, next_one = worker(), worker()
    first = asyncio.ensure_future(one.log.take_over({0, 1}))
    await asyncio.sleep(0.05)  # it reads
    assert await one.log.take_over({1, 2}) == {1: {}, 2: {}}
    await one.log.save(1, K, cursor(5))
    assert await first == {}
    assert not one.ends.errors
    assert not await one.log.save(0, K, cursor(5))
    assert await next_one.log.take_over({0, 1}) == {0: {}, 1: {K: cursor(5)}}


async def test_a_taking_over_that_was_let_go_finds_nothing(worker: Callable[[], Worker]) -> None:
    one = worker()
    taking = asyncio.ensure_future(one.log.take_over({0}))
    await asyncio.sleep(0)
    one.log.let_go()
    assert await taking == {}


async def test_partitions_that_were_taken_from_us_are_not_claimed(worker: Callable[[], Worker]) -> None:
    one, other = worker(), worker()
    await one.log.take_over({0})
    assert await other.log.take_over({0}, is_ours=lambda: False) == {}
    assert await one.log.save(0, K, cursor(5))


async def test_nothing_of_a_partition_that_is_not_ours_is_written(
    worker: Callable[[], Worker], stranger: Stranger
) -> None:
    one = worker()
    assert not await one.log.save(0, K, cursor(5))
    await one.log.take_over({1})
    assert not await one.log.save(0, K, cursor(5))
    one.log.let_go()
    assert not await one.log.save(1, K, cursor(5))
    assert stranger.records(0) == stranger.records(1) == []


async def test_garbage_that_no_worker_wrote_is_ignored(worker: Callable[[], Worker], stranger: Stranger) -> None:
    for writer in (None, b"", b"x", b"|", b"1", b"one|w", b"\xff|w"):
        for key in (K, CLAIM_KEY, b""):
            stranger.write(key, b"garbage", writer)
    one = worker()
    assert await one.log.take_over({0}) == {0: {}}
    await one.log.save(0, K, cursor(5))
    ours = stranger.records()[-3:]
    assert [value for key, value in ours if key == K] == [None, encode(cursor(5))]
    assert (b"", None) in ours  # whichever key came first


async def test_a_cursor_that_counts_and_cannot_be_read_stops_the_worker(
    worker: Callable[[], Worker], stranger: Stranger
) -> None:
    stranger.write(K, b"of a later release", b"1|w")
    with pytest.raises(WorkerError, match="of a later release than this one"):
        await worker().log.take_over({0})


async def test_without_brokers_it_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursor_log, "_READ_WITHIN_S", 1.0)
    monkeypatch.setattr(cursor_reading, "_ASK_TIMEOUT_S", 0.3)
    records = RecordProducer({"bootstrap.servers": "127.0.0.1:1"}, patience_s=1)
    handover = Handover(asyncio.get_running_loop())
    log = CursorLog(
        {"bootstrap.servers": "127.0.0.1:1", "log_level": "2"},
        LoopProducer(records),
        handover,
        on_superseded=Ends().note,
    )
    async with asyncio.timeout(1 + SLOW_MACHINE_S):
        with pytest.raises(WorkerError, match="cannot read"):
            await log.take_over({0, 1})
    records.close(0)


async def test_a_write_that_is_not_read_back_ends_the_worker(
    worker: Callable[[], Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cursor_log, "_READ_BACK_WITHIN_S", 0.3)
    one = worker()
    await one.log.take_over({0})
    watch = one.log._tenure.watch
    assert watch is not None
    watch.stop()
    await asyncio.to_thread(watch._thread.join)
    assert not await one.log.save(0, K, cursor(5))
    assert "not read back" in one.ends.errors[0]


async def test_loads_a_thousand_cursors_of_eight_partitions(worker: Callable[[], Worker]) -> None:
    first, second = worker(), worker()
    await first.log.take_over(range(8))
    cursors = [replace(cursor(number), subscription_id=SubscriptionId(f"sub_{number}")) for number in range(1000)]
    began = time.monotonic()
    await asyncio.gather(*(first.log.save(number % 8, b"k%d" % number, each) for number, each in enumerate(cursors)))
    saved = time.monotonic()
    found = await second.log.take_over(range(8))
    print(f"saved in {saved - began:.3f} s, loaded in {time.monotonic() - saved:.3f} s")
    assert sum(len(each) for each in found.values()) == 1000
    assert found[3][b"k11"] == cursors[11]


async def test_a_save_takes_milliseconds(worker: Callable[[], Worker]) -> None:
    one = worker()
    await one.log.take_over({0})
    took = []
    for number in range(20):
        began = time.monotonic()
        await one.log.save(0, K, cursor(number))
        took.append(time.monotonic() - began)
    assert min(took) < 0.09  # not the 0.1 s that a reader waits for more
