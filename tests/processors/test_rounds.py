"""What a later round takes over from, how long that is remembered, and where it is read."""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka import Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from hypothesis import given
from hypothesis import strategies as st

from processors import rounds as rounds_module
from processors.rounds import REMEMBERED_FOR, CurrentRounds, rounds_follower
from producers.handover import Handover
from schemas.codec import UnreadableRecord, encode
from schemas.ids import DeliveryId, ReplayId, new_replay_id
from schemas.records import FIRST_ROUND, CurrentRound, Delivery
from tests.processors.made import delivery

EARLIER, LATER = ReplayId("rpl_" + "0" * 32), ReplayId("rpl_" + "0" * 31 + "1")  # fixed: they name tests
OWED = delivery()


def now() -> datetime:
    return datetime.now(UTC)


def of(owed: Delivery, round_: str, *, since: datetime | None = None) -> CurrentRound:
    return CurrentRound(delivery_id=owed.id, subscription_id=owed.subscription_id, round=round_, since=since or now())


def retry(round_: str, attempt: int = 2) -> Delivery:
    return replace(OWED, round=round_, attempt=attempt)


@pytest.mark.parametrize(
    ("known", "record", "superseded"),
    [
        (None, retry(FIRST_ROUND), False),
        (EARLIER, retry(FIRST_ROUND), True),
        (EARLIER, retry(FIRST_ROUND, 7), True),
        (EARLIER, retry(EARLIER), False),
        (LATER, retry(EARLIER), True),
        (EARLIER, retry(LATER), False),  # its topic is behind
        (LATER, retry(FIRST_ROUND, 1), False),  # it waited nowhere
        (LATER, retry(EARLIER, 1), False),
        (LATER, replace(delivery(), attempt=2), False),  # another delivery
    ],
)
def test_a_later_round_takes_over_from_what_waited_in_an_earlier_one(
    known: str | None, record: Delivery, superseded: bool
) -> None:
    rounds = CurrentRounds()
    if known is not None:
        rounds.note(OWED.id, known, now())
    assert rounds.supersedes(record) is superseded


@given(st.lists(st.sampled_from([FIRST_ROUND, EARLIER, LATER]), min_size=1))
def test_the_latest_round_counts_in_whatever_order_they_come(given_rounds: list[str]) -> None:
    rounds = CurrentRounds()
    for each in given_rounds:
        rounds.note(OWED.id, each, now())
    latest = max(given_rounds)
    assert [rounds.supersedes(retry(each)) for each in (FIRST_ROUND, EARLIER, LATER)] == [
        each < latest for each in (FIRST_ROUND, EARLIER, LATER)
    ]


def test_the_topics_records_are_taken_and_what_is_none_is_refused() -> None:
    rounds = CurrentRounds()
    rounds.take(OWED.id.encode(), encode(of(OWED, EARLIER)))
    assert rounds.supersedes(retry(FIRST_ROUND))
    rounds.take(OWED.id.encode(), None)
    with pytest.raises(UnreadableRecord):
        rounds.take(OWED.id.encode(), b"not Avro")
    assert len(rounds) == 1


@pytest.mark.parametrize(("short_of_it", "remembered"), [(timedelta(minutes=1), True), (-timedelta(minutes=1), False)])
def test_a_round_is_forgotten_when_nothing_can_wait_for_it_any_more(short_of_it: timedelta, remembered: bool) -> None:
    rounds = CurrentRounds()
    rounds.note(OWED.id, EARLIER, now() - REMEMBERED_FOR + short_of_it)
    assert (rounds.supersedes(retry(FIRST_ROUND)), len(rounds)) == (remembered, int(remembered))


def test_a_bounded_number_is_remembered_and_the_oldest_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds_module, "MOST_REMEMBERED", 10)
    rounds, began = CurrentRounds(), now() - timedelta(days=1)
    owed = [delivery() for _ in range(50)]
    order = random.Random(4).sample(range(50), 50)  # the topic's partitions come in any order
    for number in order:
        rounds.note(owed[number].id, EARLIER, began + timedelta(minutes=number))
        assert len(rounds) <= 10
    assert [rounds.supersedes(replace(each, attempt=2)) for each in owed] == [False] * 40 + [True] * 10


def test_one_delivery_that_is_sent_again_and_again_takes_no_more_than_its_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rounds_module, "MOST_REMEMBERED", 10)
    rounds = CurrentRounds()
    for _ in range(50):
        rounds.note(OWED.id, new_replay_id(), now())
    assert rounds.supersedes(retry(LATER))
    assert len(rounds._by_age) <= 10


def test_a_clock_that_is_ahead_is_not_remembered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = CurrentRounds()
    rounds.note(OWED.id, EARLIER, datetime(2999, 1, 1, tzinfo=UTC))
    monkeypatch.setattr(rounds_module, "REMEMBERED_FOR", timedelta(0))
    rounds.note(DeliveryId("dlv_other"), EARLIER, now() - timedelta(seconds=1))
    assert len(rounds) == 0


@pytest.fixture
def topic(bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """Return the broker and a topic of the test's own that stands in for `hookline.rounds`."""
    name = f"test-{new_replay_id()}"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(name, 2, 1, config={"cleanup.policy": "compact,delete"})])[name].result(30)
    monkeypatch.setattr(rounds_module, "ROUNDS", name)
    yield bootstrap, name
    admin.delete_topics([name])[name].result(30)


@pytest.mark.kafka
async def test_the_topic_is_read_to_its_end_and_followed(topic: tuple[str, str]) -> None:
    bootstrap, name = topic
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
    rounds, unreadable = CurrentRounds(), list[bytes | str | None]()

    def note(message: Message, _: UnreadableRecord) -> None:
        unreadable.append(message.key())

    def write(key: str, value: bytes) -> None:
        producer.produce(name, value, key=key.encode())
        assert producer.flush(30) == 0

    write("bad", b"\x00 not Avro")
    write(OWED.id, encode(of(OWED, EARLIER)))
    handover = Handover(asyncio.get_running_loop())
    follower = rounds_follower(rounds, {"bootstrap.servers": bootstrap}, handover, on_unreadable=note)
    try:
        async with asyncio.timeout(30):
            await follower.start()
            assert (rounds.supersedes(retry(FIRST_ROUND)), rounds.supersedes(retry(EARLIER))) == (True, False)
            write(OWED.id, encode(of(OWED, LATER)))
            await follower.caught_up()
            assert rounds.supersedes(retry(EARLIER))
    finally:
        await follower.stop()
    assert unreadable == [b"bad"]
