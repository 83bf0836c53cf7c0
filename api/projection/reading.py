"""From records on topics to what the log makes of them. Nothing here fails: what nobody can read becomes `Poison`."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import Final, cast

from confluent_kafka import Message

from api.projection.storable import (
    storable_attempt,
    storable_claim,
    storable_cursor,
    storable_delivery,
    storable_event,
    storable_filter_errors,
    storable_moment,
    storable_text,
)
from schemas.catalogue import BUILT_IN, Catalogue
from schemas.codec import decode
from schemas.envelope import check_id, check_organization
from schemas.errors import HooklineError, InvalidInput
from schemas.headers import ATTEMPT, WRITER, Headers, read_writer, traceparent_in
from schemas.ids import append_time_of, filed_at, quarantine_id_of
from schemas.payloads import PayloadSource
from schemas.records import Attempt, Claim, Cursor, Delivery, Event, FilterErrors
from schemas.topics import ATTEMPTS, BEHIND, DELIVER, EVENTS, FILTER_ERRORS, QUARANTINE, REPLAY

STAGE: Final = "projection"
CLAIM_KEY: Final = b"claim"  # of a record on hookline.behind; any other key is a cursor's
_ERRORS: Final = "__connect.errors."
_MOST_TEXT: Final = 2000  # characters of an error's text that the quarantine keeps


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """What is projected. Dead letters tell nothing that their outcome does not."""

    events: str = EVENTS
    deliver: str = DELIVER
    replay: str = REPLAY
    attempts: str = ATTEMPTS
    quarantine: str = QUARANTINE
    behind: str = BEHIND
    filter_errors: str = FILTER_ERRORS

    @property
    def names(self) -> list[str]:
        """All of them."""
        return [
            *(self.events, self.deliver, self.replay, self.attempts, self.quarantine, self.behind),
            self.filter_errors,
        ]

    @property
    def judged_here(self) -> frozenset[str]:
        """Those whose unreadable records nobody but the projection puts into the quarantine."""
        return frozenset({self.attempts, self.behind, self.filter_errors})


@dataclass(frozen=True, slots=True)
class Fetched:
    """A record as Kafka has it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    appended_at: datetime


@dataclass(frozen=True, slots=True)
class EventSeen:
    """An event, under which time it is filed, and its body."""

    event: Event
    at: datetime
    body: bytes
    traceparent: str | None
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class DeliverySeen:
    """A first attempt that is to be made."""

    delivery: Delivery
    partition: int


@dataclass(frozen=True, slots=True)
class AttemptSeen:
    """An outcome, and under which time it is filed."""

    attempt: Attempt
    at: datetime
    partition: int


@dataclass(frozen=True, slots=True)
class QuarantineSeen:
    """A record that nobody could read: where it came from, at which stage, and why."""

    id: str
    at: datetime
    topic: str
    partition: int
    offset: int
    stage: str
    error_class: str
    error: str
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class ClaimSeen:
    """Somebody writes the cursors of a partition from here on."""

    claim: Claim
    partition: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CursorSeen:
    """A subscription, or one `key` of it ("": all), stands at `cursor` (None: it is live), says a writer of cursors."""

    topic: str
    subscription_id: str
    key: str
    cursor: Cursor | None
    epoch: int
    writer: str
    partition: int


@dataclass(frozen=True, slots=True)
class FilterErrorsSeen:
    """How often a subscription's filters failed since it was last said."""

    errors: FilterErrors


@dataclass(frozen=True, slots=True)
class Poison:
    """A record of ours that cannot be read."""

    fetched: Fetched
    error: HooklineError


Seen = (
    EventSeen | DeliverySeen | AttemptSeen | QuarantineSeen | ClaimSeen | CursorSeen | FilterErrorsSeen | Poison | None
)  # None: it changes nothing


def fetched_of(message: Message) -> Fetched:
    """Return a message that is no error; a header without a value has an empty one."""
    headers = cast(list[tuple[str, bytes | None]], message.headers() or [])
    topic, partition, offset = cast(tuple[str, int, int], (message.topic(), message.partition(), message.offset()))
    return Fetched(
        topic=topic,
        partition=partition,
        offset=offset,
        key=message.key(),
        value=message.value(),
        headers=[(name, value or b"") for name, value in headers],
        appended_at=append_time_of(message.timestamp()[1]),
    )


def seen_in(fetched: Fetched, topics: Topics, catalogue: Catalogue = BUILT_IN) -> Seen:
    """Return what a record tells. The catalogue knows which fields of an event are secret."""
    try:
        return _readers(topics, catalogue)[fetched.topic](fetched)
    except HooklineError as error:
        return Poison(fetched, error)


def quarantined_here(fetched: Fetched, error: Exception) -> QuarantineSeen:
    """Return a record that the projection could not read or PostgreSQL would not take, for the quarantine."""
    return QuarantineSeen(
        id=quarantine_id_of(fetched.topic, fetched.partition, fetched.offset, fetched.appended_at),
        at=storable_moment(fetched.appended_at),
        topic=fetched.topic,
        partition=fetched.partition,
        offset=fetched.offset,
        stage=STAGE,
        error_class=type(error).__name__,
        error=storable_text(str(error))[:_MOST_TEXT],
        key=fetched.key,
        value=fetched.value,
        headers=fetched.headers,
    )


@cache
def _readers(topics: Topics, catalogue: Catalogue) -> dict[str, Callable[[Fetched], Seen]]:
    return {
        topics.attempts: _attempt,
        topics.deliver: _delivery,
        topics.events: partial(_event, catalogue),
        topics.replay: _delivery,
        topics.quarantine: _quarantined,
        topics.behind: _behind,
        topics.filter_errors: _filter_errors,
    }


def _event(catalogue: Catalogue, fetched: Fetched) -> EventSeen:
    event = decode(Event, fetched.value)
    check_id(event.id, "evt", "/id")
    check_organization(event.organization_id)
    return EventSeen(
        event=storable_event(event),
        at=filed_at(event.id, fetched.appended_at),
        body=PayloadSource.of(event, catalogue.get(event.type, event.organization_id)).full,
        traceparent=traceparent_in(fetched.headers),
        partition=fetched.partition,
        offset=fetched.offset,
    )


def _delivery(fetched: Fetched) -> DeliverySeen | None:
    """Return a first attempt; later ones, out of the waiting tiers, were told by the outcome before."""
    for name, value in fetched.headers:
        if name == ATTEMPT and value != b"1":
            return None  # without decoding a body for nothing
    delivery = storable_delivery(decode(Delivery, fetched.value))
    if delivery.attempt > 1:
        return None
    check_id(delivery.id, "dlv", "/id")
    check_id(delivery.event_id, "evt", "/event_id")
    check_organization(delivery.organization_id)
    return DeliverySeen(delivery, fetched.partition)


def _attempt(fetched: Fetched) -> AttemptSeen:
    attempt = storable_attempt(decode(Attempt, fetched.value))
    check_id(attempt.id, "att", "/id")
    check_id(attempt.delivery_id, "dlv", "/delivery_id")
    check_id(attempt.event_id, "evt", "/event_id")
    check_organization(attempt.organization_id)
    return AttemptSeen(attempt, filed_at(attempt.id, fetched.appended_at), fetched.partition)


def _behind(fetched: Fetched) -> ClaimSeen | CursorSeen:
    """Return a claim, or a cursor; which one a tombstone takes away stands in the record's key alone."""
    if fetched.key == CLAIM_KEY:
        claim = storable_claim(decode(Claim, fetched.value))
        _check_epoch(claim.epoch)
        return ClaimSeen(claim, fetched.partition)
    topic, subscription_id, key = _cursor_key(fetched.key)
    epoch, writer = _writer(fetched.headers)
    cursor = None if fetched.value is None else storable_cursor(decode(Cursor, fetched.value))
    if cursor is not None:
        check_organization(cursor.organization_id)
    return CursorSeen(
        topic=topic,
        subscription_id=subscription_id,
        key=key,
        cursor=cursor,
        epoch=epoch,
        writer=writer,
        partition=fetched.partition,
    )


def _filter_errors(fetched: Fetched) -> FilterErrorsSeen:
    errors = storable_filter_errors(decode(FilterErrors, fetched.value))
    check_id(errors.subscription_id, "sub", "/subscription_id")
    check_id(errors.event_id, "evt", "/event_id")
    check_organization(errors.organization_id)
    return FilterErrorsSeen(errors)


def _cursor_key(key: bytes | None) -> tuple[str, str, str]:
    """Return topic, subscription and ordering key ("": none) of `topic|subscription` or `topic|subscription|key`."""
    try:
        parts = storable_text((key or b"").decode()).split("|", 2)
    except UnicodeDecodeError:
        parts = []
    if len(parts) < 2:
        raise InvalidInput("must be topic|subscription, or topic|subscription|ordering key", pointer="/key")
    return parts[0], parts[1], parts[2] if len(parts) > 2 else ""


def _writer(headers: Headers) -> tuple[int, str]:
    value = next((value for name, value in headers if name == WRITER), b"")
    try:
        epoch, writer = read_writer(value)
    except ValueError as error:
        raise InvalidInput(f"must have the header {WRITER}, which says epoch|writer", pointer="/headers") from error
    _check_epoch(epoch)
    return epoch, storable_text(writer)


def _check_epoch(epoch: int) -> None:
    if not 0 <= epoch < 1 << 63:
        raise InvalidInput("must be a whole number of 63 bits", pointer="/epoch")


def _quarantined(fetched: Fetched) -> QuarantineSeen:
    """Return what a worker or mover could not read; of another client's record nothing is known but its bytes."""
    why = {name: value.decode("utf-8", "replace") for name, value in fetched.headers if name.startswith(_ERRORS)}
    return QuarantineSeen(
        id=quarantine_id_of(fetched.topic, fetched.partition, fetched.offset, fetched.appended_at),
        at=storable_moment(fetched.appended_at),
        topic=storable_text(why.get(f"{_ERRORS}topic", "")),
        partition=_whole(why.get(f"{_ERRORS}partition"), bits=31),
        offset=_whole(why.get(f"{_ERRORS}offset"), bits=63),
        stage=storable_text(why.get(f"{_ERRORS}stage", "")),
        error_class=storable_text(why.get(f"{_ERRORS}exception.class.name", "")),
        error=storable_text(why.get(f"{_ERRORS}exception.message", "nothing in it says why it is here"))[:_MOST_TEXT],
        key=fetched.key,
        value=fetched.value,
        headers=fetched.headers,
    )


def _whole(text: str | None, *, bits: int) -> int:
    if text is None or not (text.isascii() and text.isdigit() and len(text) < 20):
        return -1
    return int(text) if int(text) < 1 << bits else -1
