"""What an earlier holder of a partition finished is skipped: read from real outcome records on the real Kafka."""

import asyncio
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from processors import skipping
from processors.errors import WorkerError
from processors.skipping import Finished, OutcomeTail, sending_of
from schemas.headers import FINISHED, finished_header
from schemas.records import Position
from schemas.topics import DELIVER
from tests.machine import SLOW_MACHINE_S
from tests.processors.made import delivery

PARTITIONS = 3


def test_a_sending_is_one_attempt_of_one_round_of_one_delivery() -> None:
    one = delivery()
    others = [one, replace(one, attempt=2), replace(one, round="rpl_1"), delivery()]
    assert len({sending_of(each) for each in others}) == 4
    assert sending_of(replace(one, body=b"moved twice", traceparent="x")) == sending_of(one)


def test_knows_the_records_of_a_partition_and_no_others() -> None:
    finished = Finished()
    finished.replace_records(1, {DELIVER: {5, 7}})
    assert finished.has_record(DELIVER, 1, 5)
    for topic, partition, offset in ((DELIVER, 1, 6), (DELIVER, 0, 5), ("hookline.replay", 1, 5)):
        assert not finished.has_record(topic, partition, offset)


def test_a_new_assignment_replaces_what_was_known_of_its_partition() -> None:
    finished = Finished()
    finished.replace_records(1, {DELIVER: {5}, "hookline.replay": {9}})
    finished.replace_records(2, {DELIVER: {5}})
    finished.replace_records(1, {DELIVER: {6}})
    assert finished.has_record(DELIVER, 1, 6)
    assert finished.has_record(DELIVER, 2, 5)
    assert not finished.has_record(DELIVER, 1, 5)
    assert not finished.has_record("hookline.replay", 1, 9)


def test_a_bounded_number_of_sendings_is_remembered_and_the_oldest_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skipping, "_MOST_REMEMBERED", 3)
    finished = Finished()
    for number in range(5):
        finished.add_sending(f"s{number}")
        assert len(finished._sendings) <= 3
    assert [finished.has_sending(f"s{number}") for number in range(5)] == [False, False, True, True, True]


def test_a_sending_that_ends_again_counts_as_young(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skipping, "_MOST_REMEMBERED", 2)
    finished = Finished()
    for sending in ("a", "b", "a", "c"):
        finished.add_sending(sending)
    assert finished.has_sending("a")
    assert not finished.has_sending("b")


# On the real Kafka: a topic of each test's own stands in for `hookline.attempts`


class Outcomes:
    def __init__(self, bootstrap: str, name: str) -> None:
        self.config = {"bootstrap.servers": bootstrap}
        self._name = name
        self._producer = Producer(self.config)

    def write(self, partition: int, headers: list[tuple[str, str | bytes | None]] | None, *, age_s: float = 0) -> None:
        self._producer.produce(
            self._name,
            b"an outcome",
            partition=partition,
            headers=headers or [],
            timestamp=int((time.time() - age_s) * 1000),
        )

    def finish(self, partition: int, offset: int, sending: str, *, age_s: float = 0, topic: str = DELIVER) -> None:
        header = finished_header(Position(topic=topic, partition=partition, offset=offset), sending)
        self.write(partition, [(*header,)], age_s=age_s)

    def flush(self) -> None:
        assert self._producer.flush(20) == 0

    async def load(self, *partitions: int, tail: timedelta = timedelta(seconds=75)) -> Finished:
        self.flush()
        finished = Finished()
        await OutcomeTail(self.config, finished, tail=tail).load(partitions)
        return finished


@pytest.fixture
def outcomes(bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outcomes]:
    name = f"test-{uuid.uuid4().hex}"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result(30)
    monkeypatch.setattr(skipping, "ATTEMPTS", name)
    yield Outcomes(bootstrap, name)
    admin.delete_topics([name])[name].result(30)


@pytest.mark.kafka
async def test_the_tail_says_which_records_and_sendings_are_done(outcomes: Outcomes) -> None:
    outcomes.finish(0, 10, "dlv_a/0/1")
    outcomes.finish(0, 12, "dlv_b/0/1")
    outcomes.finish(1, 10, "dlv_c/0/1", topic="hookline.replay")
    finished = await outcomes.load(0, 1)
    assert finished.has_record(DELIVER, 0, 10)
    assert not finished.has_record(DELIVER, 0, 11)
    assert finished.has_record(DELIVER, 0, 12)
    assert finished.has_record("hookline.replay", 1, 10)
    assert all(finished.has_sending(f"dlv_{each}/0/1") for each in "abc")


@pytest.mark.kafka
async def test_each_reading_adds_what_was_finished_since(outcomes: Outcomes) -> None:
    outcomes.finish(0, 1, "dlv_a/0/1")
    outcomes.flush()
    tail = OutcomeTail(outcomes.config, finished := Finished())
    with capture_logs() as lines:
        await tail.load([0])
        assert finished.has_record(DELIVER, 0, 1)
        outcomes.finish(0, 2, "dlv_b/rpl_1/1", topic="hookline.replay")
        outcomes.flush()
        await tail.load([0, 1])
    assert finished.has_record(DELIVER, 0, 1)
    assert finished.has_record("hookline.replay", 0, 2)
    assert [line["partitions"] for line in lines if line["event"] == "skip_set.loaded"] == [1, 2]


@pytest.mark.kafka
async def test_only_the_partitions_that_are_ours_are_read(outcomes: Outcomes) -> None:
    outcomes.finish(0, 1, "a")
    outcomes.finish(2, 2, "b")
    finished = await outcomes.load(2)
    assert not finished.has_record(DELIVER, 0, 1)
    assert finished.has_record(DELIVER, 2, 2)


@pytest.mark.kafka
async def test_what_is_older_than_the_tail_is_not_read(outcomes: Outcomes) -> None:
    outcomes.finish(0, 1, "old", age_s=3600)
    outcomes.flush()
    outcomes.finish(0, 2, "young")
    outcomes.finish(1, 3, "old too", age_s=3600)
    finished = await outcomes.load(0, 1)
    assert (finished.has_sending("old"), finished.has_sending("young")) == (False, True)
    assert not finished.has_record(DELIVER, 1, 3)


@pytest.mark.kafka
async def test_a_topic_whose_leaders_are_being_elected_is_waited_for(
    bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"test-{uuid.uuid4().hex}"
    monkeypatch.setattr(skipping, "ATTEMPTS", name)
    loading = asyncio.create_task(OutcomeTail({"bootstrap.servers": bootstrap}, finished := Finished()).load([0]))
    await asyncio.sleep(0.5)
    assert not loading.done()
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(30)
    await loading
    assert not finished.has_record(DELIVER, 0, 0)
    admin.delete_topics([name])[name].result(30)


@pytest.mark.kafka
async def test_a_tail_that_does_not_end_in_time_ends_the_worker(
    outcomes: Outcomes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(skipping, "_READ_WITHIN_S", 0.0)
    outcomes.finish(0, 1, "a")
    with pytest.raises(WorkerError, match=r"1 partitions of .* were not read within"):
        await outcomes.load(0)


@pytest.mark.kafka
async def test_an_empty_tail_is_read_at_once(outcomes: Outcomes) -> None:
    async with asyncio.timeout(SLOW_MACHINE_S):
        assert not (await outcomes.load(0, 1, 2)).has_record(DELIVER, 0, 0)
        await outcomes.load()


@pytest.mark.kafka
async def test_a_long_tail_is_read_whole(outcomes: Outcomes) -> None:
    for offset in range(30_000):
        outcomes.finish(offset % PARTITIONS, offset, f"dlv_{offset}/0/1")
        if offset % 5000 == 0:
            outcomes.flush()
    finished = await outcomes.load(0, 1, 2)
    assert all(finished.has_record(DELIVER, offset % PARTITIONS, offset) for offset in range(30_000))


@pytest.mark.kafka
async def test_headers_that_are_not_ours_are_passed_over(outcomes: Outcomes) -> None:
    garbage: list[bytes | None] = [
        b"",
        b"no bars",
        b"a|b",
        b"a|x|1|s",
        b"a|1|x|s",
        b"a|1",
        b"\xff\xfe|1|2|s",
        b"a|1|" + b"9" * 5000 + b"|s",  # Python reads no number of so many digits
        None,
    ]
    outcomes.write(0, None)
    for value in garbage:
        outcomes.write(0, [(FINISHED, value)])
    outcomes.write(0, [("other", b"deliver|0|7|x")])
    outcomes.finish(0, 5, "dlv_a|with a bar/0/1")
    finished = await outcomes.load(0)
    assert finished.has_record(DELIVER, 0, 5)
    assert finished.has_sending("dlv_a|with a bar/0/1")
    assert len(finished._sendings) == 1


@pytest.mark.kafka
async def test_a_header_beside_ours_hides_nothing(outcomes: Outcomes) -> None:
    outcomes.write(0, [("traceparent", b"x"), finished_header(Position(topic=DELIVER, partition=0, offset=4), "s")])
    assert (await outcomes.load(0)).has_record(DELIVER, 0, 4)


@pytest.mark.kafka
async def test_offsets_without_records_hold_nothing_up(outcomes: Outcomes) -> None:
    """A transaction leaves a marker behind its records; what was aborted leaves offsets only."""
    writer = Producer({**outcomes.config, "transactional.id": outcomes._name})
    writer.init_transactions(10)
    for offset, ends in enumerate((writer.commit_transaction, writer.abort_transaction)):
        writer.begin_transaction()
        header = finished_header(Position(topic=DELIVER, partition=0, offset=offset), f"s{offset}")
        writer.produce(outcomes._name, b"x", partition=0, headers=[header])
        writer.flush(30)
        ends(10)
    async with asyncio.timeout(30):
        finished = await outcomes.load(0)
    assert finished.has_record(DELIVER, 0, 0)
    assert not finished.has_record(DELIVER, 0, 1)


async def test_a_tail_that_cannot_be_read_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it everything that an earlier holder finished would be sent again."""
    monkeypatch.setattr(skipping, "_READ_WITHIN_S", 0.5)
    monkeypatch.setattr(skipping, "_ASK_TIMEOUT_S", 0.5)
    tail = OutcomeTail({"bootstrap.servers": "127.0.0.1:1", "log_level": "0"}, Finished())
    with pytest.raises(WorkerError, match=r"cannot read the tail of hookline\.attempts"):
        await tail.load([0])


@given(st.text(), st.integers(0, 999), st.integers(0, 2**62), st.text())
def test_any_position_and_sending_is_read_as_it_was_written(
    topic: str, partition: int, offset: int, sending: str
) -> None:
    from schemas.headers import read_finished

    topic = topic.replace("|", "").encode(errors="replace").decode()
    sending = sending.encode(errors="replace").decode()
    _, value = finished_header(Position(topic=topic, partition=partition, offset=offset), sending)
    assert read_finished(value) == (topic, partition, offset, sending)
