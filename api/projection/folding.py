"""How records change what the log says of a delivery, its counts and its replay. Pure: no database, no clock.

All records of a delivery have one key, so they come from partitions of one number; within a topic they come in order,
between topics they do not. Whatever the interleaving, the end is the same: a row stands in the latest round that any
record named, and within a round where its last outcome left it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final

from api.deliveries.tables import DeliveryState
from api.replays.tables import ItemState
from api.stats.durations import BUCKETS, bucket_of
from api.stats.tables import EVERY
from schemas.ids import DeliveryId, made_at
from schemas.records import FIRST_ROUND, Attempt, AttemptState, Delivery

COUNTED_STATES: Final = tuple(state for state in DeliveryState if state is not DeliveryState.SENDING)
_MILLISECOND: Final = timedelta(milliseconds=1)
_ENDS: Final = {
    AttemptState.SUCCESS: ItemState.SUCCEEDED,
    AttemptState.FAILED: ItemState.FAILED,
    AttemptState.HELD: ItemState.HELD,
}


@dataclass(frozen=True, slots=True)
class Known:
    """What must be known of a row to fold a record into it."""

    round: str
    state: str
    attempts: int
    last_attempt_at: datetime | None = None

    @property
    def rank(self) -> int:
        """Which attempt of the round the row tells of; one that was held counts, though it was not made."""
        return self.attempts + (self.state == DeliveryState.HELD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing(Known):
    """All that records change in a row."""

    due_at: datetime
    status: int | None = None
    error_kind: str | None = None
    error: str | None = None
    duration_ms: int | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """A row that is new or changed: what any of its records tells of the delivery, and where it stands."""

    origin: Delivery | Attempt
    standing: Standing


@dataclass(slots=True)
class Tally:
    """What one batch adds to a row of `delivery_counts`; states may be taken from."""

    states: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTED_STATES, 0))
    attempts: int = 0
    failed_attempts: int = 0
    duration_ms: int = 0
    durations: list[int] = field(default_factory=lambda: [0] * BUCKETS)

    def add(self, other: "Tally") -> None:
        """Add another's."""
        for state, count in other.states.items():
            self.states[state] += count
        self.attempts += other.attempts
        self.failed_attempts += other.failed_attempts
        self.duration_ms += other.duration_ms
        for place, count in enumerate(other.durations):
            self.durations[place] += count


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Which row of `delivery_counts`."""

    organization_id: str
    subscription_id: str
    day: date
    partition: int


@dataclass(frozen=True, slots=True)
class ItemEnd:
    """How one delivery of a replay ended."""

    state: ItemState
    finished_at: datetime


def was_sent(attempt: Attempt) -> bool:
    """Return whether the receiver was called: held and deleted subscriptions, and our own faults, take no time."""
    return attempt.duration_ms > 0 and attempt.state is not AttemptState.HELD


def after_delivery(known: Known | None, delivery: Delivery) -> Standing | None:
    """Return where a delivery stands when a record says that it is to be sent, None when that changes nothing.

    Only a round that is new to the row begins; what an outcome of the same round said was read out of order.
    """
    if known is not None and delivery.round <= known.round:
        return None
    return Standing(round=delivery.round, state=DeliveryState.PENDING, attempts=0, due_at=delivery.due_at)


def after_attempt(known: Known | None, attempt: Attempt) -> Standing | None:
    """Return where a delivery stands after an outcome, None when that changes nothing.

    Outcomes of earlier rounds do not, nor of earlier attempts: a sending that a kill made twice has two. What the
    receiver has taken stays taken.
    """
    before = known if known is not None and known.round == attempt.round else None
    if known is not None and before is None and attempt.round < known.round:
        return None
    if before is not None and (before.state == DeliveryState.SUCCESS or attempt.attempt < before.rank):
        return None
    held = attempt.state is AttemptState.HELD
    retrying = attempt.state is AttemptState.RETRYING and attempt.next_attempt_at is not None
    return Standing(
        round=attempt.round,
        state=attempt.state.value,
        attempts=max(attempt.attempt - held, 0),
        status=attempt.status,
        error_kind=attempt.error_kind,
        error=attempt.error,
        duration_ms=attempt.duration_ms if was_sent(attempt) else None,
        due_at=attempt.next_attempt_at if retrying and attempt.next_attempt_at else attempt.due_at,
        last_attempt_at=attempt.started_at if was_sent(attempt) else None if before is None else before.last_attempt_at,
        finished_at=None if attempt.state is AttemptState.RETRYING else ended_at(attempt),
    )


def ended_at(attempt: Attempt) -> datetime:
    """Return when an attempt was over."""
    return attempt.started_at + attempt.duration_ms * _MILLISECOND


class Fold:
    """A batch of records in the order of each topic, folded into the rows that they change."""

    def __init__(self, known: Mapping[DeliveryId, Known]) -> None:
        """Begin with what the database has of the deliveries that the records are about."""
        self._known: dict[DeliveryId, Known] = dict(known)
        self.new: dict[DeliveryId, Changed] = {}
        self.changed: dict[DeliveryId, Changed] = {}
        self.tallies: dict[Place, Tally] = {}
        self.items: dict[tuple[str, DeliveryId], ItemEnd] = {}

    def deliver(self, delivery: Delivery, partition: int) -> None:
        """Fold a record of the deliver or the replay topic, of a first attempt."""
        standing = after_delivery(self._known.get(delivery.id), delivery)
        if standing is not None:
            self._set(delivery.id, delivery, standing, partition)

    def attempt(self, attempt: Attempt, partition: int) -> None:
        """Fold an outcome."""
        identifier = attempt.delivery_id
        standing = after_attempt(self._known.get(identifier), attempt)
        if standing is not None:
            self._set(identifier, attempt, standing, partition)
        if attempt.state in _ENDS and attempt.round != FIRST_ROUND:
            self._end_item(attempt)
        if was_sent(attempt) and not attempt.is_test:
            tally = self._tally(identifier, attempt, partition)
            tally.attempts += 1
            tally.failed_attempts += attempt.state is not AttemptState.SUCCESS
            tally.duration_ms += attempt.duration_ms
            tally.durations[bucket_of(attempt.duration_ms)] += 1

    def counts(self) -> dict[Place, Tally]:
        """Return what to add to `delivery_counts`: a row for each subscription, and one for all of an organization."""
        counts = dict(self.tallies)
        for place, tally in self.tallies.items():
            every = Place(place.organization_id, EVERY, place.day, place.partition)
            counts.setdefault(every, Tally()).add(tally)
        return counts

    def _set(self, identifier: DeliveryId, origin: Delivery | Attempt, standing: Standing, partition: int) -> None:
        before = self._known.get(identifier)
        if before is None:
            self.new[identifier] = Changed(origin, standing)
        elif identifier in self.new:
            self.new[identifier] = Changed(self.new[identifier].origin, standing)
        else:
            self.changed[identifier] = Changed(origin, standing)
        self._known[identifier] = standing
        if not origin.is_test and (before is None or before.state != standing.state):
            tally = self._tally(identifier, origin, partition)
            tally.states[standing.state] += 1
            if before is not None:
                tally.states[before.state] -= 1

    def _end_item(self, attempt: Attempt) -> None:
        item = (attempt.round, attempt.delivery_id)
        if item not in self.items or self.items[item].state is not ItemState.SUCCEEDED:
            self.items[item] = ItemEnd(_ENDS[attempt.state], ended_at(attempt))

    def _tally(self, identifier: DeliveryId, origin: Delivery | Attempt, partition: int) -> Tally:
        day = made_at(identifier).date()
        place = Place(origin.organization_id, origin.subscription_id, day, partition)
        tally = self.tallies.get(place)
        if tally is None:
            tally = self.tallies[place] = Tally()
        return tally
