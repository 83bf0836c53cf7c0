"""Which subscriptions want an event, and what each of them wants to be sent: in memory, fed from a compacted topic."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from confluent_kafka import Message

from processors.metrics import note_followed
from producers.following import TopicFollower
from producers.handover import Handover
from schemas.codec import UnreadableRecord, decode
from schemas.filters import Filters, filters_of
from schemas.ids import OrganizationId, SubscriptionId
from schemas.patterns import patterns_taking
from schemas.records import Subscription
from schemas.topics import SUBSCRIPTIONS

_NOBODY: Final[Mapping[SubscriptionId, Subscription]] = {}


class SubscriptionIndex:
    """Every subscription, found by what it wants and by its id. Lives on the event loop; not for threads.

    Nothing is remembered per event type: what an event costs follows from how many match, and a change of one
    subscription costs the next event nothing (measured: docs/performance.md).
    """

    def __init__(self) -> None:
        self._by_id: dict[SubscriptionId, Subscription] = {}
        self._by_pattern: dict[tuple[OrganizationId, str], dict[SubscriptionId, Subscription]] = {}
        self._filters: dict[SubscriptionId, Filters] = {}  # of those that have any, compiled

    def __len__(self) -> int:
        return len(self._by_id)

    def put(self, subscription: Subscription) -> None:
        """Take a subscription's state, unless a newer version is here already."""
        known = self._by_id.get(subscription.id)
        if known is not None and known.version > subscription.version:
            return
        self.remove(subscription.id)
        self._by_id[subscription.id] = subscription
        if subscription.filters is not None:
            self._filters[subscription.id] = filters_of(subscription.filters)
        for pattern in subscription.event_types:
            way = subscription.organization_id, pattern
            self._by_pattern.setdefault(way, {})[subscription.id] = subscription

    def remove(self, subscription_id: SubscriptionId) -> None:
        """Forget a deleted subscription."""
        known = self._by_id.pop(subscription_id, None)
        if known is None:
            return
        self._filters.pop(subscription_id, None)
        for pattern in {*known.event_types}:
            way = known.organization_id, pattern
            those = self._by_pattern[way]
            del those[subscription_id]
            if not those:
                del self._by_pattern[way]

    def take(self, key: bytes, value: bytes | None) -> None:
        """Take a record of the topic: a state, or without a value a deletion. Raises UnreadableRecord."""
        if value is None:
            self.remove(SubscriptionId(key.decode(errors="replace")))
        else:
            self.put(decode(Subscription, value))

    def wanting(self, organization_id: OrganizationId, event_type: str) -> Sequence[Subscription]:
        """Return the organization's subscriptions, disabled ones too, that want events of this type, by their ids."""
        found: dict[SubscriptionId, Subscription] = {}
        for pattern in patterns_taking(event_type):
            found.update(self._by_pattern.get((organization_id, pattern), _NOBODY))
        return [found[each] for each in sorted(found)]

    def filters_of(self, subscription_id: SubscriptionId) -> Filters | None:
        """Return a subscription's filters, None when it takes every event of its types.

        Filters that this worker cannot make anything of, of a newer release say, fail with every event.
        """
        return self._filters.get(subscription_id)

    def settings_of(self, subscription_id: SubscriptionId) -> Subscription | None:
        """Return a subscription as it is now; None when it is deleted, or newer than what was read."""
        return self._by_id.get(subscription_id)


class IndexFollower(TopicFollower):
    """Feeds a SubscriptionIndex from `hookline.subscriptions`."""

    def __init__(
        self,
        index: SubscriptionIndex,
        client_config: Mapping[str, str],
        handover: Handover,
        *,
        on_unreadable: Callable[[Message, UnreadableRecord], None],
    ) -> None:
        """Prepare; `on_unreadable` hears, on the loop, of records that nobody can read."""
        super().__init__(
            SUBSCRIPTIONS,
            client_config,
            handover,
            take=index.take,
            on_unreadable=on_unreadable,
            on_followed=note_followed,
        )
        self._index = index

    async def current(self, subscription_id: SubscriptionId, version: int) -> Subscription | None:
        """Return a subscription at `version` or later; None when it is deleted.

        A delivery may name a version that another worker read and this one has not yet: then wait until all that is
        on the topic was read. After that, what is not here does not exist.
        """
        known = self._index.settings_of(subscription_id)
        if known is None or known.version < version:
            await self.caught_up()
            known = self._index.settings_of(subscription_id)
        return known
