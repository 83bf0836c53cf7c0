"""The records that an attempt leads to, and the line and the numbers that it leaves."""

from dataclasses import replace
from datetime import timedelta
from functools import cache

import structlog
from prometheus_client import Counter

from processors.metrics import ATTEMPT_SECONDS, ATTEMPTS_MADE, END_TO_END_SECONDS, LATE_SECONDS
from processors.outcomes import ErrorKind, Outcome
from processors.retries import Retry
from processors.skipping import sending_of
from producers.records import Outgoing
from schemas.codec import encode
from schemas.headers import delivery_headers, finished_header
from schemas.ids import AttemptId
from schemas.records import (
    NOWHERE,
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


def with_history(delivery: Delivery, outcome: Outcome) -> tuple[PastAttempt, ...]:
    """Return what was tried of this round, this attempt included."""
    past = PastAttempt(
        attempt=delivery.attempt,
        started_at=outcome.started_at,
        duration_ms=outcome.duration_ms,
        error_kind=outcome.error_kind,
        status=outcome.status,
    )
    return (*delivery.history, past)


def retry_record(delivery: Delivery, outcome: Outcome, retry: Retry, schedule: Schedule) -> Outgoing:
    """Return the delivery as it waits for its next attempt, for the tier of `retry`."""
    later = replace(
        delivery,
        attempt=delivery.attempt + 1,
        due_at=retry.due_at,
        schedule_version=schedule.version,
        history=with_history(delivery, outcome),
    )
    topic = retry_topic(retry.tier)
    return Outgoing(topic, delivery.subscription_id.encode(), encode(later), delivery_headers(later))


def dead_letter_record(delivery: Delivery, outcome: Outcome) -> Outgoing:
    """Return the dead letter of a delivery that is given up after this attempt."""
    letter = DeadLetter(
        delivery=replace(delivery, history=with_history(delivery, outcome)),
        reason=outcome.error or "",
        died_at=outcome.ended_at,
        error_kind=outcome.error_kind,
        status=outcome.status,
    )
    return Outgoing(DEAD_LETTERS, delivery.subscription_id.encode(), encode(letter), delivery_headers(delivery))


def attempt_record(
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
    """Return the outcome record of an attempt; `finishes`: its delivery record need not be looked at any more."""
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


def note_attempt(
    delivery: Delivery, outcome: Outcome, state: AttemptState, retry: Retry | None, attempt_id: AttemptId
) -> None:
    """Write the one wide line of the attempt, and count it."""
    _attempts_of(state, outcome.error_kind).inc()
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


@cache
def _attempts_of(state: AttemptState, error_kind: ErrorKind | None) -> Counter:
    return ATTEMPTS_MADE.labels(state=state, error_kind=error_kind or "")  # looked up by its labels it costs 2 µs
