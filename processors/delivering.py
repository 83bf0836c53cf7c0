"""The way of one delivery: looked up, sent, its outcome recorded, its retry or dead letter published.

`Deliverer.deliver` reads top to bottom. What a receiver or a record can cause is an outcome; what raises is our bug or
a lost broker, and the delivery is read again.
"""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from processors.endpoints import Endpoints
from processors.errors import Unsendable
from processors.index import IndexFollower
from processors.intake import Taken
from processors.metrics import (
    RECORDS_QUARANTINED,
    RECORDS_SKIPPED,
)
from processors.outcomes import ErrorKind, Outcome
from processors.quarantining import quarantined
from processors.recording import attempt_record, dead_letter_record, note_attempt, retry_record, with_history
from processors.retries import Retry, jitter_of, next_retry
from processors.rounds import CurrentRounds
from processors.sending import Sender
from processors.skipping import Finished, sending_of
from processors.turn import Finish, Kept, NotOurs, Turn
from producers.handover import LoopProducer
from schemas.codec import UnreadableRecord, decode
from schemas.ids import DeliveryId, new_attempt_id
from schemas.records import (
    FIRST_ROUND,
    AttemptState,
    Delivery,
    OnExhaustion,
    Ordering,
    Position,
    Subscription,
)
from schemas.waits import Schedule

STAGE: Final = "deliver"


_HELD: Final = (ErrorKind.DISABLED, ErrorKind.HELD_TOO_LONG)  # nobody's failure: replayed from the event's position
_WITHOUT_REQUEST: Final = (*_HELD, ErrorKind.DELETED, ErrorKind.UNSENDABLE)
_MOST_HISTORY: Final = 50  # of an ordered delivery that is tried for ever


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
            await self._producer.send([retry_record(delivery, outcome, retry, self._schedule)])
        elif state is AttemptState.FAILED and not delivery.is_test:
            await self._producer.send([dead_letter_record(delivery, outcome)])
        record = attempt_record(
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
        note_attempt(delivery, outcome, state, retry, attempt_id)
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
    return Kept(delivery.attempt + 1, due_at, with_history(delivery, outcome)[-_MOST_HISTORY:], retry is None)


def _held_too_long() -> Outcome:
    return _without_request(ErrorKind.HELD_TOO_LONG, "it waited until its topic was about to forget it: recover it")


def _without_request(kind: ErrorKind, error: str) -> Outcome:
    now = datetime.now(UTC)
    return Outcome(started_at=now, ended_at=now, error_kind=kind, error=error)
