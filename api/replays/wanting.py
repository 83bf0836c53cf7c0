"""Which subscriptions want a past event: as they are today, in PostgreSQL, read again every few seconds."""

import time
from collections.abc import Sequence
from typing import Final

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.event_types.own import catalogue_of_secrets
from api.replays.log_reading import PastEvent
from api.replays.shaping import passes
from api.replays.tables import ReplayRow
from api.subscriptions.tables import SubscriptionRow, record_of
from schemas.catalogue import BUILT_IN
from schemas.filters import EventContext
from schemas.ids import OrganizationId
from schemas.patterns import matches, patterns_taking
from schemas.records import Subscription

_READ_AGAIN_AFTER_S: Final = 5.0
ABOUT_A_SUBSCRIPTION: Final = "subscription."  # event types of our own (api/subscriptions/announcing.py)


class Wanting:
    """The subscriptions that a replay of the log may send to, found by what they want."""

    def __init__(self, replay: ReplayRow) -> None:
        """Prepare; `refresh` reads them."""
        self._organization_id = replay.organization_id
        self._subscription_id = replay.subscription_id
        self._event_types = replay.event_types
        self._filters = replay.filters
        self._by_pattern: dict[str, list[Subscription]] = {}
        self._known = BUILT_IN
        self._read_at = -_READ_AGAIN_AFTER_S
        self.is_nobody_left = False
        """Whether the one subscription that was named has been deleted."""

    async def refresh(self, db: AsyncSession) -> None:
        """Read the subscriptions unless that was a moment ago."""
        if time.monotonic() - self._read_at < _READ_AGAIN_AFTER_S:
            return
        wanted = select(SubscriptionRow).where(SubscriptionRow.organization_id == self._organization_id)
        if self._subscription_id is not None:
            wanted = wanted.where(SubscriptionRow.id == self._subscription_id)
        found = [record_of(row) for row in (await db.execute(wanted)).scalars()]
        self.put(found)
        if self._filters is not None or any(each.filters is not None for each in found):
            self._known = await catalogue_of_secrets(db, OrganizationId(self._organization_id))
        self._read_at = time.monotonic()

    def put(self, subscriptions: Sequence[Subscription]) -> None:
        """Take the subscriptions as they are."""
        self._by_pattern = {}
        for subscription in subscriptions:
            for pattern in {*subscription.event_types}:
                self._by_pattern.setdefault(pattern, []).append(subscription)
        self.is_nobody_left = self._subscription_id is not None and not subscriptions

    def wanting(self, past: PastEvent) -> list[Subscription]:
        """Return who gets an event in this replay, by their ids: disabled ones too."""
        types = self._event_types
        if types is not None and not any(matches(pattern, past.event.type) for pattern in types):
            return []
        those = self.wanting_type(past.event.type)
        event = past.event  # another client's may hold what its type marks secret: no filter sees that
        context = EventContext.of(event, self._known.get(event.type, event.organization_id))
        if not (those and passes(context, self._filters)):
            return []
        about = _subject_of(past)
        return [each for each in those if each.id != about and passes(context, each.filters)]

    def wanting_type(self, event_type: str) -> list[Subscription]:
        """Return whose patterns take a type, by their ids."""
        found = {each.id: each for pattern in patterns_taking(event_type) for each in self._by_pattern.get(pattern, ())}
        return [found[each] for each in sorted(found)]


def _subject_of(past: PastEvent) -> str | None:
    """Return which subscription an event of ours is about: it is told nothing of itself, as in routing."""
    if not past.event.type.startswith(ABOUT_A_SUBSCRIPTION):
        return None
    try:
        data = orjson.loads(past.event.data)
    except orjson.JSONDecodeError:
        return None
    subject = data.get("subscription_id") if isinstance(data, dict) else None
    return subject if isinstance(subject, str) else None
