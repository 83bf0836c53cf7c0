"""The way of one delivery, with a real receiver and the real Kafka: what is sent, what is recorded, what comes next."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined] # re-exported without __all__
    AdminClient,
    OffsetSpec,
)
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from processors.delivering import STAGE, Deliverer
from processors.endpoints import Endpoints
from processors.index import IndexFollower, SubscriptionIndex
from processors.intake import Taken
from processors.outcomes import ErrorKind
from processors.retries import jitter_of
from processors.rounds import CurrentRounds
from processors.sending import MASKED, Sender
from processors.skipping import Finished, sending_of
from producers.errors import ProducerClosed
from producers.handover import Handover, LoopProducer
from producers.records import Outgoing, RecordProducer
from schemas.codec import decode, encode
from schemas.headers import FINISHED, delivery_headers, read_finished
from schemas.records import NOWHERE, Attempt, AttemptState, DeadLetter, Delivery, Position, Subscription
from schemas.sealing import new_master_key, sealer_of
from schemas.topics import ATTEMPTS, DEAD_LETTERS, DEFAULT_PARTITIONS, DELIVER, QUARANTINE, SUBSCRIPTIONS, retry_topic
from tests.processors import made
from tests.processors.conftest import SCHEDULE
from tests.processors.receivers import Receiver, Request, Script, Wire, answer, answers, closes, hangs

pytestmark = pytest.mark.kafka

TIERS = [retry_topic(tier) for tier in SCHEDULE.tiers]
OWN_DELIVER = f"{DELIVER}.of-a-test"  # these outcomes must not finish records that other tests' workers read
NOBODY = "http://127.0.0.1:1/"
JITTER = 0.05
CREDENTIAL = "Bearer of-the-receiver"


@dataclass
class Desk:
    """A deliverer with all that it uses, and what it has put on the topics for one subscription."""

    bootstrap: str
    topics: "Topics"
    deliverer: Deliverer
    follower: IndexFollower
    index: SubscriptionIndex
    finished: Finished
    rounds: CurrentRounds

    def subscribe(self, url: str, **more: object) -> Subscription:
        subscription = made.subscription(url, **more)  # type: ignore[arg-type]  # the same parameters
        self.index.put(subscription)
        return subscription

    async def deliver(self, taken: Taken) -> None:
        await self.deliverer.deliver(taken, made.turn())

    async def records(self, topic: str, subscription: Subscription) -> list[Message]:
        found = await asyncio.to_thread(self.topics.records)
        return [each for each in found if each.topic() == topic and each.key() == subscription.id.encode()]

    async def attempts(self, subscription: Subscription) -> list[Attempt]:
        return [decode(Attempt, record.value()) for record in await self.records(ATTEMPTS, subscription)]

    async def retries(self, subscription: Subscription) -> list[tuple[str, Delivery]]:
        return [
            (topic, decode(Delivery, record.value()))
            for topic in TIERS
            for record in await self.records(topic, subscription)
        ]

    async def letters(self, subscription: Subscription) -> list[DeadLetter]:
        return [decode(DeadLetter, record.value()) for record in await self.records(DEAD_LETTERS, subscription)]


class Topics:
    """All that has come to the topics since the tests began, read by a consumer that knows nothing of ours."""

    def __init__(self, bootstrap: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        self._places = [
            TopicPartition(topic, partition)
            for topic in (ATTEMPTS, DEAD_LETTERS, QUARANTINE, *TIERS)
            for partition in range(DEFAULT_PARTITIONS)
        ]
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "fetch.wait.max.ms": 10})
        self._reached = self._ends()
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in self._reached.items()])
        self._found: list[Message] = []

    def _ends(self) -> dict[tuple[str, int], int]:
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # confluent-kafka's
        asked = self._admin.list_offsets(dict.fromkeys(self._places, latest), request_timeout=10)
        return {(place.topic, place.partition): answer.result().offset for place, answer in asked.items()}

    def records(self) -> list[Message]:
        """Return every record that was there when this was called."""
        ends = self._ends()
        while any(self._reached[place] < end for place, end in ends.items()):
            for record in self._consumer.consume(1000, timeout=0.05):
                assert record.error() is None
                self._reached[record.topic() or "", record.partition() or 0] = (record.offset() or 0) + 1
                self._found.append(record)
        return self._found

    def close(self) -> None:
        self._consumer.close()


@pytest.fixture(scope="module")
def written(topics: str) -> Iterator[Topics]:
    reading = Topics(topics)
    yield reading
    reading.close()


@pytest.fixture
async def desk(topics: str, written: Topics, producer: LoopProducer) -> AsyncIterator[Desk]:
    index, finished, rounds = SubscriptionIndex(), Finished(), CurrentRounds()
    config = {"bootstrap.servers": topics}
    follower = IndexFollower(index, config, Handover(asyncio.get_running_loop()), on_unreadable=lambda *_: None)
    async with Sender(most_at_once=100, allow_loopback=True, user_agent="Hookline/test") as sender:
        deliverer = Deliverer(
            follower,
            Endpoints(made.SEALER),
            sender,
            producer,
            finished=finished,
            rounds=rounds,
            schedule=SCHEDULE,
            retry_jitter=JITTER,
            worker="slot-7",
        )
        yield Desk(topics, written, deliverer, follower, index, finished, rounds)
    await follower.stop()


def taken(delivery: Delivery, offset: int = 41, *, value: bytes | None = None) -> Taken:
    return Taken(
        position=Position(topic=OWN_DELIVER, partition=3, offset=offset),
        key=delivery.subscription_id.encode(),
        value=encode(delivery) if value is None else value,
        headers=delivery_headers(delivery),
        timestamp_s=time.time(),
    )


async def test_a_success_is_one_request_and_one_outcome(desk: Desk) -> None:
    async with Receiver(answers(200, "X-Seen: yes", body=b"thank you")) as receiver:
        subscription = desk.subscribe(receiver.url, headers={"Authorization": CREDENTIAL}, version=3)
        owed = replace(made.delivery(subscription, body=b'{"a": 1 }'), subscription_version=2)
        await desk.deliver(taken(owed))
    (request,) = receiver.requests
    assert (request.body, request.headers["authorization"]) == (b'{"a": 1 }', CREDENTIAL)
    (record,) = await desk.records(ATTEMPTS, subscription)
    headers = dict(record.headers() or [])
    finished = headers[FINISHED]
    assert isinstance(finished, bytes)
    assert read_finished(finished) == (OWN_DELIVER, 3, 41, sending_of(owed))
    attempt = decode(Attempt, record.value())
    assert (attempt.state, attempt.error_kind, attempt.status, attempt.attempt) == (AttemptState.SUCCESS, None, 200, 1)
    assert (attempt.delivery_id, attempt.event_id, attempt.round) == (owed.id, owed.event_id, "0")
    assert attempt.source == Position(topic=OWN_DELIVER, partition=3, offset=41)
    assert (attempt.event_position, attempt.subscription_version, attempt.worker) == (owed.event_position, 3, "slot-7")
    assert (attempt.response_body, attempt.response_truncated, attempt.body_bytes) == (b"thank you", False, 9)
    assert attempt.duration_ms > 0
    assert attempt.next_attempt_at is None
    assert attempt.url == f"http://127.0.0.1:{receiver.port}/hooks?***"
    assert await desk.retries(subscription) == []
    assert await desk.letters(subscription) == []


async def test_a_failure_waits_in_the_tier_of_its_wait_and_its_jitter_from_the_end_of_the_attempt(desk: Desk) -> None:
    async with Receiver(answers(503)) as receiver:
        subscription = desk.subscribe(receiver.url)
        owed = made.delivery(subscription, traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01")
        await desk.deliver(taken(owed))
    ((topic, retry),) = await desk.retries(subscription)
    (attempt,) = await desk.attempts(subscription)
    assert topic == TIERS[0]
    assert (attempt.state, attempt.status, attempt.next_attempt_at) == (AttemptState.RETRYING, 503, retry.due_at)
    ended = retry.due_at - SCHEDULE.waits[0] * (1 + jitter_of(owed.id, 1, JITTER))
    assert 0 <= (ended - attempt.started_at) / timedelta(milliseconds=1) <= attempt.duration_ms
    assert retry.history[0].duration_ms == attempt.duration_ms
    assert (retry.history[0].attempt, retry.history[0].error_kind, retry.history[0].status) == (1, "http", 503)
    assert retry == replace(
        owed, attempt=2, due_at=retry.due_at, schedule_version=SCHEDULE.version, history=retry.history
    )
    (record,) = await desk.records(topic, subscription)
    assert (record.headers() or []) == delivery_headers(retry)
    assert await desk.letters(subscription) == []


@pytest.mark.parametrize(("status", "asked_s", "tier"), [(429, 90, 1), (503, 1, 0), (503, 2, 1), (429, 1.0e30, 1)])
async def test_what_the_receiver_asks_for_is_waited_for_exactly(
    desk: Desk, status: int, asked_s: float, tier: int
) -> None:
    async with Receiver(answers(status, f"Retry-After: {asked_s:.0f}")) as receiver:
        subscription = desk.subscribe(receiver.url)
        await desk.deliverer.deliver(taken(made.delivery(subscription)), made.turn())
    ((topic, retry),) = await desk.retries(subscription)
    (attempt,) = await desk.attempts(subscription)
    assert topic == TIERS[tier]
    assert attempt.next_attempt_at == retry.due_at
    ended = retry.due_at - min(timedelta(days=1), timedelta(seconds=min(asked_s, 1e6)))
    assert 0 <= (ended - attempt.started_at) / timedelta(milliseconds=1) <= attempt.duration_ms


async def test_a_receiver_that_asks_again_and_again_gets_no_further_attempts(desk: Desk) -> None:
    async with Receiver(answers(429, "Retry-After: 1")) as receiver:
        subscription = desk.subscribe(receiver.url)
        await desk.deliverer.deliver(taken(made.delivery(subscription)), made.turn())
        for attempt in range(2):
            _, retry = (await desk.retries(subscription))[attempt]
            await desk.deliverer.deliver(taken(retry, 42 + attempt), made.turn())
    assert len(receiver.requests) == SCHEDULE.attempts
    (letter,) = await desk.letters(subscription)
    assert (letter.status, len(letter.delivery.history)) == (429, SCHEDULE.attempts)


async def test_a_delivery_that_always_fails_walks_the_schedule_and_dies_with_its_history(desk: Desk) -> None:
    async with Receiver(closes()) as receiver:
        subscription = desk.subscribe(receiver.url)
        owed = made.delivery(subscription)
        await desk.deliver(taken(owed, 1))
        for offset, tier in enumerate(TIERS, 2):
            (retry,) = [each for topic, each in await desk.retries(subscription) if topic == tier]
            await desk.deliver(taken(retry, offset))
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    attempts = sorted(await desk.attempts(subscription), key=lambda each: each.attempt)
    assert [each.state for each in attempts] == [AttemptState.RETRYING, AttemptState.RETRYING, AttemptState.FAILED]
    assert [each.error_kind for each in attempts] == ["disconnected"] * 3
    (letter,) = await desk.letters(subscription)
    assert [past.attempt for past in letter.delivery.history] == [1, 2, 3]
    assert [past.started_at for past in letter.delivery.history] == [each.started_at for each in attempts]
    assert (letter.delivery.id, letter.delivery.body, letter.delivery.attempt) == (owed.id, owed.body, 3)
    assert (letter.error_kind, letter.status) == ("disconnected", None)
    assert letter.reason == attempts[-1].error
    assert attempts[-1].next_attempt_at is None


async def test_gone_for_good_is_a_dead_letter_at_once(desk: Desk) -> None:
    async with Receiver(answers(410)) as receiver:
        subscription = desk.subscribe(receiver.url)
        await desk.deliver(taken(made.delivery(subscription)))
    (letter,) = await desk.letters(subscription)
    assert (letter.error_kind, letter.status, letter.reason) == ("http", 410, "the receiver answered 410")
    assert [each.state for each in await desk.attempts(subscription)] == [AttemptState.FAILED]
    assert await desk.retries(subscription) == []


async def test_a_deleted_subscription_is_a_dead_letter_without_a_request(desk: Desk) -> None:
    subscription = made.subscription(NOBODY)
    await desk.follower.start()
    await desk.deliver(taken(made.delivery(subscription)))
    (attempt,) = await desk.attempts(subscription)
    assert (attempt.state, attempt.error_kind, attempt.duration_ms) == (AttemptState.FAILED, "deleted", 0)
    assert (attempt.url, attempt.request_headers) == (None, None)
    (letter,) = await desk.letters(subscription)
    assert letter.error_kind == "deleted"
    assert await desk.retries(subscription) == []


async def test_a_disabled_subscription_is_held_without_a_request_a_retry_or_a_dead_letter(desk: Desk) -> None:
    async with Receiver(answers(204)) as receiver:
        subscription = desk.subscribe(receiver.url, enabled=False, disabled_reason="by its owner")
        await desk.deliver(taken(made.delivery(subscription)))
    assert receiver.connections == 0
    (attempt,) = await desk.attempts(subscription)
    assert (attempt.state, attempt.error_kind, attempt.error) == (AttemptState.HELD, "disabled", "by its owner")
    assert (attempt.duration_ms, attempt.next_attempt_at) == (0, None)
    assert await desk.retries(subscription) == []
    assert await desk.letters(subscription) == []


async def test_a_secret_that_does_not_open_here_is_retried_for_the_fault_is_ours(desk: Desk) -> None:
    async with Receiver(answers(204)) as receiver:
        subscription = replace(desk.subscribe(receiver.url), version=2)
        stranger = sealer_of(new_master_key())
        sealed = stranger.seal(b"x" * 24, organization="org_1", row=subscription.id, purpose="subscription-secret")
        desk.index.put(replace(subscription, secrets=(sealed,)))
        await desk.deliver(taken(made.delivery(subscription)))
    assert receiver.connections == 0
    (attempt,) = await desk.attempts(subscription)
    assert (attempt.state, attempt.error_kind) == (AttemptState.RETRYING, ErrorKind.UNSENDABLE.value)
    assert len(await desk.retries(subscription)) == 1


async def test_settings_are_those_of_the_moment_it_is_sent(desk: Desk) -> None:
    async with Receiver(answers(204)) as old, Receiver(answers(204)) as new:
        subscription = desk.subscribe(old.url)
        owed = made.delivery(subscription)
        desk.index.put(made.subscription(new.url, identifier=subscription.id, version=2))
        await desk.deliver(taken(owed))
    assert (old.connections, len(new.requests)) == (0, 1)
    (attempt,) = await desk.attempts(subscription)
    assert attempt.subscription_version == 2


async def test_a_record_that_an_earlier_holder_finished_is_not_even_decoded(desk: Desk) -> None:
    subscription = desk.subscribe(NOBODY)
    desk.finished.replace_records(3, {OWN_DELIVER: {41}})
    await desk.deliver(taken(made.delivery(subscription), 41, value=b"whatever"))
    await desk.deliver(taken(made.delivery(subscription), 41))
    assert await desk.attempts(subscription) == []


async def test_a_sending_that_is_done_is_not_repeated_whatever_record_asks_for_it(desk: Desk) -> None:
    async with Receiver(answers(204)) as receiver:
        subscription = desk.subscribe(receiver.url)
        owed = made.delivery(subscription)
        for offset in (1, 2, 3):  # routed twice, moved twice
            await desk.deliver(taken(owed, offset))
        await desk.deliver(taken(replace(owed, attempt=2), 4))
        await desk.deliver(taken(replace(owed, round="rpl_1"), 5))
    assert len(receiver.requests) == 3
    assert sorted((each.round, each.attempt) for each in await desk.attempts(subscription)) == [
        ("0", 1),
        ("0", 2),
        ("rpl_1", 1),
    ]


class Door:
    """Answers once it is opened."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()

    async def __call__(self, _: Request, wire: Wire) -> None:
        await self.opened.wait()
        await wire.write(answer(204))


async def test_of_twins_at_once_one_is_sent_and_the_others_wait_for_it(desk: Desk) -> None:
    async with Receiver(door := Door()) as receiver:
        subscription = desk.subscribe(receiver.url)
        owed = made.delivery(subscription)
        twins = [asyncio.create_task(desk.deliver(taken(owed, offset))) for offset in range(5)]
        await receiver.until(lambda: len(receiver.requests) == 1)
        assert not any(twin.done() for twin in twins)  # acks must not run ahead of the one that is out
        door.opened.set()
        await asyncio.gather(*twins)
    assert len(receiver.requests) == 1
    assert len(await desk.attempts(subscription)) == 1


async def test_a_twin_takes_over_from_one_that_was_cut_off(desk: Desk) -> None:
    async with Receiver(door := Door()) as receiver:
        subscription = desk.subscribe(receiver.url)
        owed = made.delivery(subscription)
        first, *others = [asyncio.create_task(desk.deliver(taken(owed, offset))) for offset in range(4)]
        await receiver.until(lambda: len(receiver.requests) == 1)
        first.cancel()
        await receiver.until(lambda: len(receiver.requests) == 2)
        door.opened.set()
        await asyncio.gather(*others)
    assert first.cancelled()
    assert len(receiver.requests) == 2
    assert len(await desk.attempts(subscription)) == 1


REPLAY_1, REPLAY_2 = "rpl_019aa5e1c8007000800000000000002a", "rpl_019aa5e1c8007000800000000000002b"


class Turnstile:
    """Answers one request each time that it is turned, and knows how many wait at once."""

    def __init__(self, status: int = 204) -> None:
        self.inside = 0
        self.most = 0
        self._status = status
        self._turns = asyncio.Semaphore(0)

    def turn(self) -> None:
        self._turns.release()

    async def __call__(self, _: Request, wire: Wire) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        await self._turns.acquire()
        self.inside -= 1
        await wire.write(answer(self._status))


def replays_in(receiver: Receiver) -> list[str | None]:
    return [request.headers.get("hookline-replay") for request in receiver.requests]


async def test_two_rounds_of_one_delivery_are_never_out_at_once(desk: Desk) -> None:
    async with Receiver(gate := Turnstile()) as receiver:
        subscription = desk.subscribe(receiver.url)
        owed = made.delivery(subscription)
        rounds = (owed, replace(owed, round=REPLAY_1), replace(owed, round=REPLAY_2))
        tasks = [asyncio.create_task(desk.deliver(taken(each, at))) for at, each in enumerate(rounds)]
        for sent in (1, 2, 3):
            await receiver.until(lambda sent=sent: len(receiver.requests) == sent)  # type: ignore[misc]
            gate.turn()
        await asyncio.gather(*tasks)
    assert gate.most == 1
    assert replays_in(receiver) == [None, REPLAY_1, REPLAY_2]
    assert sorted(each.round for each in await desk.attempts(subscription)) == ["0", REPLAY_1, REPLAY_2]
    assert desk.deliverer._under_way == {}


async def test_a_retry_that_waits_for_an_attempt_is_dropped_when_a_replay_came_meanwhile(desk: Desk) -> None:
    async with Receiver(gate := Turnstile()) as receiver:
        subscription = desk.subscribe(receiver.url)
        owed = made.delivery(subscription)
        records = (replace(owed, attempt=2), replace(owed, attempt=3), replace(owed, round=REPLAY_1))
        tasks = [asyncio.create_task(desk.deliver(taken(each, at))) for at, each in enumerate(records)]
        for sent in (1, 2):
            await receiver.until(lambda sent=sent: len(receiver.requests) == sent)  # type: ignore[misc]
            gate.turn()
        await asyncio.gather(*tasks)
    assert replays_in(receiver) == [None, REPLAY_1]
    assert sorted((each.round, each.attempt) for each in await desk.attempts(subscription)) == [("0", 2), (REPLAY_1, 1)]


async def test_a_replay_takes_its_turn_when_the_attempt_before_it_was_cut_off(desk: Desk) -> None:
    async with Receiver(gate := Turnstile()) as receiver:
        subscription = desk.subscribe(receiver.url)
        owed = made.delivery(subscription)
        first = asyncio.create_task(desk.deliver(taken(owed, 1)))
        await receiver.until(lambda: len(receiver.requests) == 1)
        again = asyncio.create_task(desk.deliver(taken(replace(owed, round=REPLAY_1), 2)))
        await asyncio.sleep(0)
        first.cancel()
        await receiver.until(lambda: len(receiver.requests) == 2)
        gate.turn()
        gate.turn()
        await again
    assert replays_in(receiver) == [None, REPLAY_1]
    assert [each.round for each in await desk.attempts(subscription)] == [REPLAY_1]


@pytest.mark.parametrize("read_from_the_topic", [True, False])
async def test_what_waited_in_an_earlier_round_is_dropped_without_an_outcome(
    desk: Desk, read_from_the_topic: bool
) -> None:
    async with Receiver(answers(204)) as receiver:
        subscription = desk.subscribe(receiver.url)
        owed = made.delivery(subscription)
        if read_from_the_topic:
            desk.rounds.note(owed.id, REPLAY_1, datetime.now(UTC))
        else:
            await desk.deliver(taken(replace(owed, round=REPLAY_1), 1))
        before = skipped("round")
        await desk.deliver(taken(replace(owed, attempt=2), 2))
        assert skipped("round") == before + 1
        own_retry = replace(owed, round=REPLAY_1, attempt=2)
        await desk.deliver(taken(own_retry, 3))
    assert set(replays_in(receiver)) == {REPLAY_1}
    assert {each.round for each in await desk.attempts(subscription)} == {REPLAY_1}


def skipped(why: str) -> float:
    return REGISTRY.get_sample_value("hookline_records_skipped_total", {"why": why}) or 0.0


async def test_a_failed_attempt_of_a_replay_waits_in_its_own_round(desk: Desk) -> None:
    async with Receiver(answers(503)) as receiver:
        subscription = desk.subscribe(receiver.url)
        await desk.deliver(taken(replace(made.delivery(subscription), round=REPLAY_1)))
    ((topic, retry),) = await desk.retries(subscription)
    assert (topic, retry.round, retry.attempt) == (TIERS[0], REPLAY_1, 2)


TRIED = {
    "works": (answers(204), True, {}, AttemptState.SUCCESS, None),
    "while it is disabled": (answers(204), False, {}, AttemptState.SUCCESS, None),
    "fails": (answers(503), True, {}, AttemptState.FAILED, "http"),
    "is gone": (answers(410), True, {}, AttemptState.FAILED, "http"),
    "hangs": (hangs(), False, {"timeout_ms": 200}, AttemptState.FAILED, "timeout"),
}


@pytest.mark.parametrize(("script", "enabled", "more", "state", "kind"), TRIED.values(), ids=TRIED)
async def test_a_test_is_one_attempt_and_leaves_nothing_behind(
    desk: Desk, *, script: Script, enabled: bool, more: dict[str, object], state: AttemptState, kind: str | None
) -> None:
    async with Receiver(script) as receiver:
        subscription = desk.subscribe(receiver.url, enabled=enabled, **more)
        tried = replace(made.delivery(subscription), is_test=True, event_position=NOWHERE)
        await desk.deliver(taken(tried))
    assert len(receiver.requests) == 1
    (attempt,) = await desk.attempts(subscription)
    assert (attempt.state, attempt.error_kind, attempt.is_test, attempt.next_attempt_at) == (state, kind, True, None)
    assert await desk.retries(subscription) == []
    assert await desk.letters(subscription) == []


async def test_a_test_of_a_subscription_that_was_deleted_meanwhile_has_failed(desk: Desk) -> None:
    subscription = made.subscription(NOBODY)
    await desk.follower.start()
    await desk.deliver(taken(replace(made.delivery(subscription), is_test=True, event_position=NOWHERE)))
    (attempt,) = await desk.attempts(subscription)
    assert (attempt.state, attempt.error_kind, attempt.is_test) == (AttemptState.FAILED, "deleted", True)
    assert await desk.letters(subscription) == []


@pytest.mark.parametrize("cut", [0, 1, 11, 40])
async def test_what_nobody_can_read_is_quarantined_byte_for_byte_and_stops_nothing(desk: Desk, cut: int) -> None:
    subscription = desk.subscribe(NOBODY)
    owed = made.delivery(subscription)
    value = encode(owed)[:cut]
    await desk.deliver(taken(owed, 41, value=value))
    (record,) = await desk.records(QUARANTINE, subscription)
    headers = dict(record.headers() or [])
    assert (record.value(), headers["__connect.errors.stage"]) == (value, STAGE.encode())
    assert headers["__connect.errors.offset"] == b"41"
    assert headers["hookline_attempt"] == b"1"
    assert await desk.attempts(subscription) == []


async def test_without_the_brokers_nothing_counts_as_done(desk: Desk) -> None:
    async with Receiver(answers(204)) as receiver:
        subscription = desk.subscribe(receiver.url)
        owed = made.delivery(subscription)
        records = RecordProducer({"bootstrap.servers": desk.bootstrap}, patience_s=10)
        records.close()
        deliverer = desk.deliverer
        deliverer._producer = LoopProducer(records)
        with pytest.raises(ProducerClosed):
            await deliverer.deliver(taken(owed), made.turn())
    assert not desk.finished.has_sending(sending_of(owed))
    assert deliverer._under_way == {}


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(answers(204), id="success"),
        pytest.param(answers(410), id="gone"),
        pytest.param(answers(500), id="failure"),
        pytest.param(hangs(), id="timeout"),
    ],
)
async def test_one_wide_line_an_attempt_and_no_secret_in_a_line_or_a_record(desk: Desk, script: Script) -> None:
    async with Receiver(script) as receiver:
        url = receiver.url.replace("of=us", "token=in-the-query")
        subscription = desk.subscribe(url, headers={"X-Api-Key": CREDENTIAL}, timeout_ms=300)
        owed = made.delivery(subscription, body=b'{"of":"the-body"}')
        with capture_logs() as lines:
            await desk.deliver(taken(owed))
        signature = receiver.requests[0].headers["webhook-signature"].removeprefix("v1,")
    (line,) = [line for line in lines if line["event"] == "delivery.attempted"]
    assert (line["delivery_id"], line["subscription_id"], line["attempt"]) == (owed.id, subscription.id, 1)
    (attempt,) = await desk.attempts(subscription)
    assert (line["attempt_id"], line["state"], line["status"]) == (attempt.id, attempt.state.value, attempt.status)
    assert (attempt.request_headers or {})["X-Api-Key"] == MASKED
    written = [
        bytes(record.value() or b"")
        for topic in (ATTEMPTS, DEAD_LETTERS, *TIERS)
        for record in await desk.records(topic, subscription)
    ]
    for secret in (made.KEY, CREDENTIAL.encode(), signature.encode(), b"in-the-query"):
        assert secret not in b"".join(written)
        assert secret.decode() not in repr(lines)
    assert "the-body" not in repr(lines)


async def test_a_subscription_that_this_worker_has_not_read_yet_is_waited_for(desk: Desk) -> None:
    """Its record comes before the question is answered: the follower asks for the topic's end after the delivery."""
    async with Receiver(answers(204)) as receiver:
        subscription = made.subscription(receiver.url)
        await desk.follower.start()
        records = RecordProducer({"bootstrap.servers": desk.bootstrap}, patience_s=10)
        change = Outgoing(SUBSCRIPTIONS, subscription.id.encode(), encode(subscription), [])
        await LoopProducer(records).send([change])
        await desk.deliver(taken(made.delivery(subscription)))
        records.close()
    assert len(receiver.requests) == 1
