"""Which subscriptions want an event, and what each of them wants to be sent: in memory, fed from a compacted topic."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from confluent_kafka import Message

from processors.following import TopicFollower
from producers.handover import Handover
from schemas.codec import UnreadableRecord, decode
from schemas.ids import OrganizationId, SubscriptionId
from schemas.patterns import matches
from schemas.records import Subscription
from schemas.topics import SUBSCRIPTIONS

MOST_TYPES_REMEMBERED: Final = 1000  # of one organization; the catalogue has fewer, other Kafka clients may not


class SubscriptionIndex:
    """Every subscription, found by what it wants and by its id. Lives on the event loop; not for threads."""

    def __init__(self) -> None:
        self._by_id: dict[SubscriptionId, Subscription] = {}
        self._of_organization: dict[OrganizationId, set[SubscriptionId]] = {}
        # Per organization and event type, so that an event costs what it matches and not what there is.
        self._wanting: defaultdict[OrganizationId, dict[str, tuple[Subscription, ...]]] = defaultdict(dict)

    def __len__(self) -> int:
        return len(self._by_id)

    def put(self, subscription: Subscription) -> None:
        """Take a subscription's state, unless a newer version is here already."""
        known = self._by_id.get(subscription.id)
        if known is not None and known.version > subscription.version:
            return
        self._by_id[subscription.id] = subscription
        self._of_organization.setdefault(subscription.organization_id, set()).add(subscription.id)
        self._wanting.pop(subscription.organization_id, None)

    def remove(self, subscription_id: SubscriptionId) -> None:
        """Forget a deleted subscription."""
        known = self._by_id.pop(subscription_id, None)
        if known is not None:
            own = self._of_organization[known.organization_id]
            own.remove(subscription_id)
            if not own:
                del self._of_organization[known.organization_id]
            self._wanting.pop(known.organization_id, None)

    def take(self, key: bytes, value: bytes | None) -> None:
        """Take a record of the topic: a state, or without a value a deletion. Raises UnreadableRecord."""
        if value is None:
            self.remove(SubscriptionId(key.decode(errors="replace")))
        else:
            self.put(decode(Subscription, value))

    def wanting(self, organization_id: OrganizationId, event_type: str) -> Sequence[Subscription]:
        """Return the organization's subscriptions, disabled ones too, that want events of this type, by their ids."""
        own = self._of_organization.get(organization_id)
        if own is None:
            return ()
        remembered = self._wanting[organization_id]
        found = remembered.get(event_type)
        if found is None:
            found = tuple(self._by_id[each] for each in sorted(own) if _wants(self._by_id[each], event_type))
            if len(remembered) >= MOST_TYPES_REMEMBERED:
                remembered.clear()
            remembered[event_type] = found
        return found

    def settings_of(self, subscription_id: SubscriptionId) -> Subscription | None:
        """Return a subscription as it is now; None when it is deleted, or newer than what was read."""
        return self._by_id.get(subscription_id)


def _wants(subscription: Subscription, event_type: str) -> bool:
    return any(matches(pattern, event_type) for pattern in subscription.event_types)


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
        super().__init__(SUBSCRIPTIONS, client_config, handover, take=index.take, on_unreadable=on_unreadable)
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
