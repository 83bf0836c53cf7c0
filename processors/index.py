"""Which subscriptions want an event, and what each of them wants to be sent: in memory, fed from a compacted topic.

Faust tables are not used here: their recovery can hang (FAUST.md, F12). A plain consumer reads the topic to its end
before routing starts and follows it after that; it belongs to no group, so every worker has every subscription.
"""

import asyncio
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from producers.handover import Handover
from schemas.codec import UnreadableRecord, decode
from schemas.ids import OrganizationId, SubscriptionId
from schemas.patterns import matches
from schemas.records import Subscription
from schemas.topics import SUBSCRIPTIONS

log = structlog.get_logger("processors.index")

MOST_TYPES_REMEMBERED: Final = 1000  # of one organization; the catalogue has fewer, other Kafka clients may not
_BATCH: Final = 1000
_POLL_S: Final = 0.05
_ASK_TIMEOUT_S: Final = 5.0


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


class IndexFollower:
    """Feeds a SubscriptionIndex from `hookline.subscriptions`, in a thread of its own."""

    def __init__(
        self,
        index: SubscriptionIndex,
        client_config: Mapping[str, str],
        handover: Handover,
        *,
        on_unreadable: Callable[[Message, UnreadableRecord], None],
    ) -> None:
        """Prepare; `on_unreadable` hears, on the loop, of records that nobody can read."""
        self._index = index
        self._handover = handover
        self._on_unreadable = on_unreadable
        self._consumer = Consumer(
            {
                **client_config,
                "group.id": f"hookline-index-{uuid.uuid4().hex}",  # never joined, nothing committed
                "enable.auto.commit": False,
                "enable.partition.eof": False,
                "fetch.wait.max.ms": 100,
            }
        )
        self._stopping = threading.Event()
        self._asked: list[asyncio.Future[None]] = []
        self._asked_lock = threading.Lock()
        self._thread = threading.Thread(target=self._follow, name="subscription-index", daemon=True)

    async def start(self) -> None:
        """Start following and return when the index has all that is on the topic now."""
        ready = self.caught_up()
        self._thread.start()
        await ready

    def caught_up(self) -> asyncio.Future[None]:
        """Return a future that is done when the index has everything that was on the topic when this was called."""
        future = asyncio.get_running_loop().create_future()
        with self._asked_lock:
            self._asked.append(future)
        return future

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

    async def stop(self) -> None:
        """Stop following."""
        self._stopping.set()
        if self._thread.ident is None:  # never started, so the thread does not close it
            self._consumer.close()
        else:
            await asyncio.to_thread(self._thread.join)

    def _follow(self) -> None:
        reached = self._assign_all()
        answering: list[tuple[dict[int, int], asyncio.Future[None]]] = []
        while not self._stopping.is_set():
            for message in self._consumer.consume(_BATCH, timeout=_POLL_S):
                if message.error() is not None:
                    log.warning("index.consume_failed", error=str(message.error()))
                    continue
                self._handover.call(lambda message=message: self._apply(message))  # type: ignore[misc]
                reached[message.partition() or 0] = (message.offset() or 0) + 1
            answering += self._new_questions(reached)
            answering = [question for question in answering if not self._answer(*question, reached)]
        self._consumer.close()

    def _assign_all(self) -> dict[int, int]:
        while not self._stopping.is_set():
            try:
                metadata = self._consumer.list_topics(SUBSCRIPTIONS, timeout=_ASK_TIMEOUT_S).topics[SUBSCRIPTIONS]
                if metadata.partitions:
                    places = [TopicPartition(SUBSCRIPTIONS, each, OFFSET_BEGINNING) for each in metadata.partitions]
                    self._consumer.assign(places)
                    return dict.fromkeys(metadata.partitions, 0)
                log.warning("index.no_topic", topic=SUBSCRIPTIONS, do="hookline topics apply")
            except KafkaException as error:
                log.warning("index.kafka_away", error=str(error))
            time.sleep(0.5)
        return {}

    def _new_questions(self, reached: dict[int, int]) -> list[tuple[dict[int, int], asyncio.Future[None]]]:
        with self._asked_lock:
            if not self._asked:
                return []
            asked, self._asked = self._asked, []
        try:
            ends = {each: self._end_of(each) for each in reached}
        except KafkaException as error:
            log.warning("index.kafka_away", error=str(error))
            with self._asked_lock:
                self._asked += asked
            return []
        return [(ends, future) for future in asked]

    def _end_of(self, partition: int) -> int:
        low, high = self._consumer.get_watermark_offsets(
            TopicPartition(SUBSCRIPTIONS, partition), timeout=_ASK_TIMEOUT_S
        )
        return 0 if low == high else high

    def _answer(self, ends: dict[int, int], future: asyncio.Future[None], reached: dict[int, int]) -> bool:
        behind = [each for each, end in ends.items() if reached[each] < end and self._position(each) < end]
        if behind:
            return False
        self._handover.call(lambda: None if future.done() else future.set_result(None))
        return True

    def _position(self, partition: int) -> int:
        # Compaction and transactions leave offsets without records: the position passes them, the last record does not.
        return self._consumer.position([TopicPartition(SUBSCRIPTIONS, partition)])[0].offset

    def _apply(self, message: Message) -> None:
        value = message.value()
        if value is None:
            self._index.remove(SubscriptionId((message.key() or b"").decode(errors="replace")))
            return
        try:
            self._index.put(decode(Subscription, value))
        except UnreadableRecord as error:
            self._on_unreadable(message, error)
