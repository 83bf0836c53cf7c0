"""What filters and a payload make of past events: counted and shown, nothing is sent. Pure: rows in, findings out."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import orjson

from api.deliveries.tables import EventRow
from api.replays.stored_events import past_event_of
from schemas.catalogue import Catalogue
from schemas.errors import InvalidInput
from schemas.filters import EventContext, FilterFailed, Filters
from schemas.ids import EventId, SubscriptionId, delivery_id_of
from schemas.json_values import Json
from schemas.payloads import Payload, PayloadSource

MOST_EXAMPLES: Final = 10
MOST_ERRORS: Final = 5
LARGEST_SHOWN_BYTES: Final = 64 * 1024  # of one body; a longer one is counted and not shown
_ABOUT_A_SUBSCRIPTION: Final = "subscription."


@dataclass(frozen=True, slots=True)
class Example:
    """An event that matches: its full body, and the one that would be sent."""

    event_id: str
    event_type: str
    created_at: datetime
    before: bytes
    after: bytes


@dataclass(frozen=True, slots=True)
class Failure:
    """An event of which the filters, or the payload, could not say anything."""

    event_id: str
    event_type: str
    error: str


@dataclass(slots=True)
class Judge:
    """Looks at events one by one, for one subscription; `filters` and `payload` are its own or to be tried out."""

    subscription_id: SubscriptionId
    filters: Filters
    payload: Payload
    catalogue: Catalogue
    looked_at: Counter[str] = field(default_factory=Counter)
    matched: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    oldest_at: datetime | None = None
    examples: list[Example] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def look_at(self, row: EventRow) -> None:
        """Count one event of a type that is wanted."""
        self.looked_at[row.type] += 1
        self.oldest_at = row.created_at if self.oldest_at is None else min(self.oldest_at, row.created_at)
        try:
            if self._is_about_itself(row) or not self._takes(row):
                return
            if len(self.examples) < MOST_EXAMPLES:
                self.examples.append(self._example_of(row))
        except (FilterFailed, InvalidInput) as error:
            self.failed += 1
            if len(self.failures) < MOST_ERRORS:
                self.failures.append(Failure(row.id, row.type, str(error)))
            return
        self.matched[row.type] += 1

    def _takes(self, row: EventRow) -> bool:
        if not self.filters.takes and self.filters.broken is None:
            return True
        event_type = self.catalogue.get(row.type, row.organization_id)
        return self.filters.take(EventContext.of(past_event_of(row).event, event_type))

    def _is_about_itself(self, row: EventRow) -> bool:
        """Return whether it tells of this subscription, which is never told (processors/routing.py)."""
        if not row.type.startswith(_ABOUT_A_SUBSCRIPTION):
            return False
        data: Json = orjson.loads(row.body).get("data")
        return isinstance(data, dict) and data.get("subscription_id") == self.subscription_id

    def _example_of(self, row: EventRow) -> Example:
        source = PayloadSource.stored(row.body, self.catalogue.get(row.type, row.organization_id))
        delivery_id = delivery_id_of(EventId(row.id), self.subscription_id)
        after = self.payload.body(source, delivery_id=delivery_id)
        return Example(row.id, row.type, row.created_at, source.full, after)
