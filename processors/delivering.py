"""The way of one delivery: looked up, sent, its outcome recorded, its retry or dead letter published.

`Deliverer.deliver` reads top to bottom. What a receiver or a record can cause is an outcome; what raises is our bug or
a lost broker, and the delivery is read again.
"""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
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
from processors.retries import Retry, next_retry
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
    Attempt,
    AttemptState,
    DeadLetter,
    Delivery,
    PastAttempt,
    Position,
    Subscription,
)
from schemas.topics import ATTEMPTS, DEAD_LETTERS, retry_topic
from schemas.waits import Schedule

log = structlog.get_logger("processors.delivering")

STAGE: Final = "deliver"


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
        worker: str,
    ) -> None:
        self._follower = follower
        self._endpoints = endpoints
        self._sender = sender
        self._producer = producer
        self._finished = finished
        self._rounds = rounds
        self._schedule = schedule
        self._worker = worker
        self._under_way: dict[DeliveryId, asyncio.Future[None]] = {}

    async def deliver(self, taken: Taken) -> None:
        """Attempt the delivery in `taken` once and return when what became of it is durable."""
        source = taken.position
        if self._finished.has_record(source.topic, source.partition, source.offset):
            RECORDS_SKIPPED.labels(why="record").inc()
            return
        try:
            delivery = decode(Delivery, taken.value)
        except UnreadableRecord as error:
            await self._quarantine(taken, error)
            return
        if delivery.round != FIRST_ROUND:
            self._rounds.note(delivery.id, delivery.round, datetime.now(UTC))  # its topic may tell us later
        sending = sending_of(delivery)
        if (why := await self._when_its_turn_comes(delivery, sending)) is not None:
            RECORDS_SKIPPED.labels(why=why).inc()
            return
        done = asyncio.get_running_loop().create_future()
        self._under_way[delivery.id] = done
        try:
            await self._attempt(delivery, source)
            self._finished.add_sending(sending)
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

    async def _attempt(self, delivery: Delivery, source: Position) -> None:
        subscription = await self._follower.current(delivery.subscription_id, delivery.subscription_version)
        outcome = await self._outcome_of(delivery, subscription)
        is_last = outcome.is_final or delivery.is_test
        retry = None if is_last else next_retry(outcome.ended_at, delivery.attempt, self._schedule)
        state = _state_of(outcome, retry)
        attempt_id = new_attempt_id()
        # In this order: were the outcome durable first, a kill between the two would leave a delivery that everybody
        # skips and nobody has.
        if state is AttemptState.RETRYING and retry is not None:
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
        )
        await self._producer.send([record])
        _note(delivery, outcome, state, retry, attempt_id)

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
    if outcome.error_kind is ErrorKind.DISABLED:
        return AttemptState.HELD  # nobody's failure: it can be replayed from the event's position
    return AttemptState.FAILED if retry is None else AttemptState.RETRYING


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
    headers = [finished_header(source, sending_of(delivery))]
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
