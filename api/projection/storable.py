"""Records as PostgreSQL can keep them: what another client wrote must not hold up the log.

Texts lose NUL, which PostgreSQL has no place for; times and durations are clamped to what can be computed with.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from schemas.ids import SubscriptionId
from schemas.records import Attempt, Claim, Cursor, Delivery, Event, FilterErrors

NUL: Final = "\x00"
INSTEAD: Final = "\ufffd"  # Unicode's replacement character
EARLIEST: Final = datetime(1, 1, 2, tzinfo=UTC)  # a day within what datetime holds, for time zones
LATEST: Final = datetime(9998, 12, 31, tzinfo=UTC)
MOST_FAILURES: Final = 1_000_000_000  # of one record, which tells of a second
LONGEST_TEXT: Final = 2000  # characters of an error
LONGEST_MS: Final = 1_000_000_000  # eleven days: an attempt takes a minute


def storable_text(text: str) -> str:
    """Return a text without NUL."""
    return text.replace(NUL, INSTEAD)


def storable_moment(moment: datetime) -> datetime:
    """Return a moment, or the nearest that can be computed with."""
    return min(max(moment, EARLIEST), LATEST)


def storable_event(event: Event) -> Event:
    """Return an event as it can be kept; its data is bytes, and stays as it is."""
    texts = (event.type, event.key or "", event.source_id or "", event.source or "")
    if NUL not in "".join(texts) and _fits(event.created_at):
        return event
    return replace(
        event,
        type=storable_text(event.type),
        key=_optional(event.key),
        source_id=_optional(event.source_id),
        source=_optional(event.source),
        created_at=storable_moment(event.created_at),
    )


def storable_delivery(delivery: Delivery) -> Delivery:
    """Return a delivery as it can be kept."""
    optional = (delivery.key or "") + (delivery.traceparent or "")
    texts = (delivery.event_type, delivery.subscription_id, delivery.round, optional)
    if NUL not in "".join(texts) and _fits(delivery.due_at) and _fits(delivery.event_created_at):
        return delivery
    return replace(
        delivery,
        event_type=storable_text(delivery.event_type),
        subscription_id=SubscriptionId(storable_text(delivery.subscription_id)),
        round=storable_text(delivery.round),
        key=_optional(delivery.key),
        due_at=storable_moment(delivery.due_at),
        event_created_at=storable_moment(delivery.event_created_at),
        traceparent=_optional(delivery.traceparent),
    )


def storable_attempt(attempt: Attempt) -> Attempt:
    """Return an outcome as it can be kept."""
    return attempt if _is_storable(attempt) else _made_storable(attempt)


def storable_cursor(cursor: Cursor) -> Cursor:
    """Return a cursor as it can be kept; topic, subscription and key are taken from its record's key."""
    later = cursor.not_before
    return replace(
        cursor,
        reason=storable_text(cursor.reason),
        since=storable_moment(cursor.since),
        not_before=None if later is None else storable_moment(later),
    )


def storable_claim(claim: Claim) -> Claim:
    """Return a claim as it can be kept."""
    return replace(claim, writer=storable_text(claim.writer), since=storable_moment(claim.since))


def storable_filter_errors(errors: FilterErrors) -> FilterErrors:
    """Return what filters did wrong as it can be kept."""
    return replace(
        errors,
        count=min(max(errors.count, 0), MOST_FAILURES),
        error=storable_text(errors.error)[:LONGEST_TEXT],
        at=storable_moment(errors.at),
    )


def _is_storable(attempt: Attempt) -> bool:
    texts = [attempt.event_type, attempt.subscription_id, attempt.round, attempt.worker]
    texts += filter(None, (attempt.key, attempt.error_kind, attempt.error, attempt.url, attempt.address))
    for headers in (attempt.request_headers, attempt.response_headers):
        if headers:
            texts += headers
            texts += headers.values()
    return (
        NUL not in "".join(texts)
        and NUL not in (attempt.traceparent or "")
        and 0 <= attempt.duration_ms <= LONGEST_MS
        and _fits(attempt.started_at)
        and _fits(attempt.due_at)
        and _fits(attempt.event_created_at)
        and (attempt.next_attempt_at is None or _fits(attempt.next_attempt_at))
    )


def _made_storable(attempt: Attempt) -> Attempt:
    later = attempt.next_attempt_at
    return replace(
        attempt,
        event_type=storable_text(attempt.event_type),
        subscription_id=SubscriptionId(storable_text(attempt.subscription_id)),
        round=storable_text(attempt.round),
        worker=storable_text(attempt.worker),
        key=_optional(attempt.key),
        error_kind=_optional(attempt.error_kind),
        error=_optional(attempt.error),
        url=_optional(attempt.url),
        address=_optional(attempt.address),
        traceparent=_optional(attempt.traceparent),
        request_headers=_headers(attempt.request_headers),
        response_headers=_headers(attempt.response_headers),
        duration_ms=min(max(attempt.duration_ms, 0), LONGEST_MS),
        started_at=storable_moment(attempt.started_at),
        due_at=storable_moment(attempt.due_at),
        event_created_at=storable_moment(attempt.event_created_at),
        next_attempt_at=None if later is None else storable_moment(later),
    )


def _fits(moment: datetime) -> bool:
    return EARLIEST <= moment <= LATEST


def _optional(text: str | None) -> str | None:
    return None if text is None else storable_text(text)


def _headers(headers: Mapping[str, str] | None) -> dict[str, str] | None:
    if headers is None:
        return None
    return {storable_text(name): storable_text(value) for name, value in headers.items()}
