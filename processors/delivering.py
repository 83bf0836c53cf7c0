"""The way of one delivery: looked up, sent, its outcome recorded, its retry or dead letter published.

`Deliverer.deliver` reads top to bottom. What a receiver or a record can cause is an outcome; what raises is our bug or
a lost broker, and the delivery is read again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Final

import structlog

from processors.endpoints import Endpoints
from processors.errors import Unsendable
from processors.index import IndexFollower
from processors.intake import Taken
from processors.metrics import (
    ATTEMPT_SECONDS,
    ATTEMPTS_MADE,
    END_TO_END_SECONDS,
    LATE_SECONDS,
    RECORDS_QUARANTINED,
    RECORDS_SKIPPED,
)
from processors.outcomes import ErrorKind, Outcome
from processors.quarantining import quarantined
from processors.retries import Retry, jitter_of, next_retry
from processors.rounds import CurrentRounds
from processors.sending import Sender
from processors.skipping import Finished, sending_of
from producers.handover import LoopProducer
from producers.records import Outgoing
from schemas.codec import UnreadableRecord, decode, encode
from schemas.headers import delivery_headers, finished_header
from schemas.ids import AttemptId, DeliveryId, new_attempt_id
from schemas.records import (
    FIRST_ROUND,
    NOWHERE,
    Attempt,
    AttemptState,
    DeadLetter,
    Delivery,
    OnExhaustion,
    Ordering,
    PastAttempt,
    Position,
    Subscription,
)
from schemas.topics import ATTEMPTS, DEAD_LETTERS, retry_topic
from schemas.waits import Schedule

log = structlog.get_logger("processors.delivering")

STAGE: Final = "deliver"


_HELD: Final = (ErrorKind.DISABLED, ErrorKind.HELD_TOO_LONG)  # nobody's failure: replayed from the event's position
_WITHOUT_REQUEST: Final = (*_HELD, ErrorKind.DELETED, ErrorKind.UNSENDABLE)
_MOST_HISTORY: Final = 50  # of an ordered delivery that is tried for ever


class NotOurs(Exception):
    """The partition was taken from us in the middle of an attempt: nothing more is recorded of it."""


class Finish(Enum):
    """What became of a delivery record, for whoever decides what is sent next to its endpoint."""

    SUCCEEDED = auto()
    FAILED = auto()  # the receiver's failure: another attempt waits in a tier, or it is given up
    TIMED_OUT = auto()  # the same, and it took all its time
    KEPT = auto()  # the receiver's failure; ordered, so it waits where it is
    NOTHING = auto()  # no request was made: skipped, held, unreadable
    NOT_OURS = auto()  # the partition was taken from us: whoever has it sends it


@dataclass(frozen=True, slots=True)
class Kept:
    """Another attempt of an ordered delivery: its number, when, after what, and whether its attempts are used up."""

    attempt: int
    due_at: datetime
    history: tuple[PastAttempt, ...]
    is_blocked: bool


@dataclass(frozen=True, slots=True)
class Turn:
    """What the lane says of the record that it begins.

    `is_ordered`: a failed attempt waits at its place, which `keep` makes durable, and `attempt` and `history` are known
    there and not in the record. `is_expired`: it waited for so long that its topic is about to forget it.
    """

    is_ours: Callable[[], bool]
    is_ordered: bool
    attempt: int
    history: tuple[PastAttempt, ...]
    is_expired: bool
    keep: Callable[[Kept], Awaitable[None]]


class Deliverer:
    """Delivers one record at a time; as many run at once as the intake lets."""

    def __init__(
        self,
        follower: IndexFollower,
        endpoints: Endpoints,
        sender: Sender,
        producer: LoopProducer,
        *,
        finished: Finished,
        rounds: CurrentRounds,
        schedule: Schedule,
        retry_jitter: float = 0.0,
        worker: str,
    ) -> None:
        self._follower = follower
        self._endpoints = endpoints
        self._sender = sender
        self._producer = producer
        self._finished = finished
        self._rounds = rounds
        self._schedule = schedule
        self._retry_jitter = retry_jitter
        self._worker = worker
        self._under_way: dict[DeliveryId, asyncio.Future[None]] = {}

    async def deliver(self, taken: Taken, turn: Turn) -> Finish:
        """Attempt the delivery in `taken` once and return when what became of it is durable."""
        source = taken.position
        if self._finished.has_record(source.topic, source.partition, source.offset):
            RECORDS_SKIPPED.labels(why="record").inc()
            return Finish.NOTHING
        try:
            delivery = decode(Delivery, taken.value)
        except UnreadableRecord as error:
            await self._quarantine(taken, error)
            return Finish.NOTHING
        if turn.attempt > delivery.attempt:
            delivery = replace(delivery, attempt=turn.attempt, history=turn.history)
        if delivery.round != FIRST_ROUND:
            self._rounds.note(delivery.id, delivery.round, datetime.now(UTC))  # its topic may tell us later
        sending = sending_of(delivery)
        if (why := await self._when_its_turn_comes(delivery, sending)) is not None:
            RECORDS_SKIPPED.labels(why=why).inc()
            return Finish.NOTHING
        done = asyncio.get_running_loop().create_future()
        self._under_way[delivery.id] = done
        try:
            finish = await self._attempt(delivery, source, turn)
            if finish is not Finish.NOT_OURS:
                self._finished.add_sending(sending)
            return finish
        finally:
            del self._under_way[delivery.id]
            done.set_result(None)

    async def _when_its_turn_comes(self, delivery: Delivery, sending: str) -> str | None:
        """Wait while another record of the delivery is under way; return why this one need not be sent, None to send.

        Rounds meet here: a replay of what is being tried, or a retry that is due while a replay is out.
        """
        while (why := self._needless(delivery, sending)) is None:
            other = self._under_way.get(delivery.id)
            if other is None:
                return None
            await asyncio.shield(other)
        return why

    def _needless(self, delivery: Delivery, sending: str) -> str | None:
        if self._finished.has_sending(sending):
            return "sending"
        return "round" if self._rounds.supersedes(delivery) else None

    async def _attempt(self, delivery: Delivery, source: Position, turn: Turn) -> Finish:
        subscription = await self._follower.current(delivery.subscription_id, delivery.subscription_version)
        if not turn.is_ours():  # rechecked right before dialling: another worker may be sending what comes after it
            return Finish.NOT_OURS
        outcome = _held_too_long() if turn.is_expired else await self._outcome_of(delivery, subscription)
        retry = self._retry_of(delivery, outcome)
        kept = _kept(delivery, outcome, retry, subscription, self._schedule) if turn.is_ordered else None
        state = AttemptState.RETRYING if kept is not None else _state_of(outcome, retry)
        attempt_id = new_attempt_id()
        # In this order: were the outcome durable first, a kill between the two would leave a delivery that everybody
        # skips and nobody has.
        if kept is not None:
            retry = Retry(kept.due_at, kept.due_at - outcome.ended_at)
            try:
                await turn.keep(kept)
            except NotOurs:
                return Finish.NOT_OURS
        elif state is AttemptState.RETRYING and retry is not None:
            await self._producer.send([_retry_record(delivery, outcome, retry, self._schedule)])
        elif state is AttemptState.FAILED and not delivery.is_test:
            await self._producer.send([_dead_letter_record(delivery, outcome)])
        record = _attempt_record(
            delivery,
            outcome,
            state=state,
            retry=retry,
            source=source,
            subscription=subscription,
            attempt_id=attempt_id,
            worker=self._worker,
            finishes=kept is None,
        )
        await self._producer.send([record])
        _note(delivery, outcome, state, retry, attempt_id)
        return Finish.KEPT if kept is not None else _finish_of(outcome)

    def _retry_of(self, delivery: Delivery, outcome: Outcome) -> Retry | None:
        if outcome.is_success or outcome.is_final or delivery.is_test:
            return None
        longer = jitter_of(delivery.id, delivery.attempt, self._retry_jitter)
        return next_retry(
            outcome.ended_at, delivery.attempt, self._schedule, longer=longer, retry_after=outcome.retry_after
        )

    async def _outcome_of(self, delivery: Delivery, subscription: Subscription | None) -> Outcome:
        if subscription is None:
            return _without_request(ErrorKind.DELETED, "the subscription was deleted")
        if not subscription.enabled and not delivery.is_test:
            return _without_request(ErrorKind.DISABLED, subscription.disabled_reason or "the subscription is disabled")
        try:
            endpoint = self._endpoints.endpoint_of(subscription)
        except Unsendable as error:
            return _without_request(ErrorKind.UNSENDABLE, str(error))
        return await self._sender.send(delivery, endpoint)

    async def _quarantine(self, taken: Taken, error: UnreadableRecord) -> None:
        record = quarantined(taken.position, taken.key, taken.value, taken.headers, error=error, stage=STAGE)
        await self._producer.send([record])
        RECORDS_QUARANTINED.labels(stage=STAGE).inc()


def _state_of(outcome: Outcome, retry: Retry | None) -> AttemptState:
    if outcome.is_success:
        return AttemptState.SUCCESS
    if outcome.error_kind in _HELD:
        return AttemptState.HELD
    return AttemptState.FAILED if retry is None else AttemptState.RETRYING


def _finish_of(outcome: Outcome) -> Finish:
    if outcome.is_success:
        return Finish.SUCCEEDED
    if outcome.error_kind in _WITHOUT_REQUEST:
        return Finish.NOTHING
    return Finish.TIMED_OUT if outcome.error_kind is ErrorKind.TIMEOUT else Finish.FAILED


def _kept(
    delivery: Delivery, outcome: Outcome, retry: Retry | None, subscription: Subscription | None, schedule: Schedule
) -> Kept | None:
    """Return how a failed ordered delivery waits where it is; None when it is done, given up or held."""
    if outcome.is_success or outcome.is_final or delivery.is_test or outcome.error_kind in _HELD:
        return None
    if subscription is None or subscription.ordering is Ordering.NONE:
        return None  # not known where its turn was given, or changed since
    blocks = subscription.on_exhaustion is OnExhaustion.BLOCK
    if retry is None and not blocks:
        return None
    due_at = outcome.ended_at + schedule.waits[-1] if retry is None else retry.due_at
    return Kept(delivery.attempt + 1, due_at, _with_history(delivery, outcome)[-_MOST_HISTORY:], retry is None)


def _held_too_long() -> Outcome:
    return _without_request(ErrorKind.HELD_TOO_LONG, "it waited until its topic was about to forget it: recover it")


def _without_request(kind: ErrorKind, error: str) -> Outcome:
    now = datetime.now(UTC)
    return Outcome(started_at=now, ended_at=now, error_kind=kind, error=error)


def _with_history(delivery: Delivery, outcome: Outcome) -> tuple[PastAttempt, ...]:
    past = PastAttempt(
        attempt=delivery.attempt,
        started_at=outcome.started_at,
        duration_ms=outcome.duration_ms,
        error_kind=outcome.error_kind,
        status=outcome.status,
    )
    return (*delivery.history, past)


def _retry_record(delivery: Delivery, outcome: Outcome, retry: Retry, schedule: Schedule) -> Outgoing:
    later = replace(
        delivery,
        attempt=delivery.attempt + 1,
        due_at=retry.due_at,
        schedule_version=schedule.version,
        history=_with_history(delivery, outcome),
    )
    topic = retry_topic(retry.tier)
    return Outgoing(topic, delivery.subscription_id.encode(), encode(later), delivery_headers(later))


def _dead_letter_record(delivery: Delivery, outcome: Outcome) -> Outgoing:
    letter = DeadLetter(
        delivery=replace(delivery, history=_with_history(delivery, outcome)),
        reason=outcome.error or "",
        died_at=outcome.ended_at,
        error_kind=outcome.error_kind,
        status=outcome.status,
    )
    return Outgoing(DEAD_LETTERS, delivery.subscription_id.encode(), encode(letter), delivery_headers(delivery))


def _attempt_record(
    delivery: Delivery,
    outcome: Outcome,
    *,
    state: AttemptState,
    retry: Retry | None,
    source: Position,
    subscription: Subscription | None,
    attempt_id: AttemptId,
    worker: str,
    finishes: bool,
) -> Outgoing:
    attempt = Attempt(
        id=attempt_id,
        delivery_id=delivery.id,
        event_id=delivery.event_id,
        event_type=delivery.event_type,
        organization_id=delivery.organization_id,
        subscription_id=delivery.subscription_id,
        subscription_version=delivery.subscription_version if subscription is None else subscription.version,
        round=delivery.round,
        attempt=delivery.attempt,
        state=state,
        source=source,
        event_position=delivery.event_position,
        event_created_at=delivery.event_created_at,
        due_at=delivery.due_at,
        started_at=outcome.started_at,
        duration_ms=outcome.duration_ms,
        error_kind=outcome.error_kind,
        error=outcome.error,
        url=None if subscription is None else _loggable(subscription.url),
        address=outcome.address,
        status=outcome.status,
        request_headers=outcome.request_headers,
        response_headers=outcome.response_headers,
        response_body=outcome.response_body,
        response_truncated=outcome.truncated,
        body_bytes=len(delivery.body),
        next_attempt_at=retry.due_at if state is AttemptState.RETRYING and retry is not None else None,
        schedule_version=delivery.schedule_version,
        key=delivery.key,
        sequence=delivery.sequence,
        transformation_version=delivery.transformation_version,
        worker=worker,
        traceparent=delivery.traceparent,
        is_test=delivery.is_test,
    )
    # The record of one that is kept at its place is not finished by this attempt, only this sending is.
    headers = [finished_header(source if finishes else NOWHERE, sending_of(delivery))]
    return Outgoing(ATTEMPTS, delivery.subscription_id.encode(), encode(attempt), headers)


def _loggable(url: str) -> str:
    """Return a URL without its query, where some receivers want a token."""
    base, separator, _ = url.partition("?")
    return f"{base}?***" if separator else base


def _note(
    delivery: Delivery, outcome: Outcome, state: AttemptState, retry: Retry | None, attempt_id: AttemptId
) -> None:
    """Write the one wide line of the attempt, and count it."""
    ATTEMPTS_MADE.labels(state=state, error_kind=outcome.error_kind or "").inc()
    ATTEMPT_SECONDS.observe((outcome.ended_at - outcome.started_at).total_seconds())
    late = max(outcome.started_at - delivery.due_at, timedelta(0))
    if delivery.attempt > 1:
        LATE_SECONDS.observe(late.total_seconds())
    elif outcome.is_success:
        END_TO_END_SECONDS.observe(max((outcome.ended_at - delivery.event_created_at).total_seconds(), 0.0))
    log.info(
        "delivery.attempted",
        attempt_id=attempt_id,
        delivery_id=delivery.id,
        event_id=delivery.event_id,
        event_type=delivery.event_type,
        organization_id=delivery.organization_id,
        subscription_id=delivery.subscription_id,
        round=delivery.round,
        attempt=delivery.attempt,
        state=state.value,
        error_kind=outcome.error_kind,
        status=outcome.status,
        duration_ms=outcome.duration_ms,
        late_ms=late // timedelta(milliseconds=1),
        next_attempt_at=None if retry is None or state is not AttemptState.RETRYING else retry.due_at.isoformat(),
        address=outcome.address,
    )
