"""Events to Kafka: awaited, within a deadline, and with a limit to how many may wait at once."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Final

from api.metrics import Metrics
from producers.errors import BrokersAway, ProducingError, QueueFull
from producers.publisher import Publisher
from producers.records import RecordProducer
from producers.settings import KafkaSettings
from schemas.ids import EventId
from schemas.records import Event

PATIENCE_S: Final = 7.0  # for Kafka; librdkafka looks for what is overdue once a second, the answer is due in 10 s
_DEADLINE_S: Final = 9.0  # should the client never report
_AT_ONCE: Final = 100  # of a batch: what waits stays few, and other requests have their turn between two of them


class EventPublishing:
    """Publishes for routes: one publisher for the process, made at the start and closed at the end.

    Without a limit, requests whose clients have given up would pile up in the producer's queue while Kafka is away, and
    a full queue blocks the thread of whoever publishes: here, the event loop.
    """

    def __init__(self, kafka: KafkaSettings, metrics: Metrics, *, most_waiting: int) -> None:
        self._publisher = Publisher(settings=kafka, source="/hookline/api", patience_s=PATIENCE_S)
        self._metrics = metrics
        self._most_waiting = most_waiting
        self._waiting = 0
        self._lock = threading.Lock()

    async def publish(self, event: Event, traceparent: str | None) -> EventId:
        """Return the event's id once Kafka has it.

        Raises ProducingError when Kafka does not take it in time: then it may still arrive.
        """
        self._enter()
        try:
            receipt = self._publisher.publish_event(event, traceparent=traceparent, on_published=self._leave)
        except ProducingError:
            self._leave_unpublished()
            self._metrics.events.labels("failed").inc()
            raise
        try:
            return await asyncio.wait_for(receipt, _DEADLINE_S)
        except TimeoutError:
            raise BrokersAway("the Kafka client reports nothing; the event may still arrive") from None

    @property
    def records(self) -> RecordProducer:
        """The process's producer, for records that are no events; its reports come in a thread of their own."""
        return self._publisher.records

    async def publish_all(self, events: Sequence[Event], traceparent: str | None) -> list[EventId | ProducingError]:
        """Return, for each event, its id once Kafka has it, or why Kafka may not have it.

        Once an event waited for Kafka in vain, the events behind it are not tried: the caller's answer is due.
        """
        outcomes: list[EventId | ProducingError] = []
        for start in range(0, len(events), _AT_ONCE):
            tried = events[start : start + _AT_ONCE]
            outcomes += await asyncio.gather(*(self._outcome(event, traceparent) for event in tried))
            away = next((outcome for outcome in outcomes if isinstance(outcome, BrokersAway)), None)
            if away is not None:
                return outcomes + [away] * (len(events) - len(outcomes))
        return outcomes

    def close(self) -> None:
        """Give what waits a few seconds, then give it up."""
        self._publisher.close(timeout_s=5.0)

    async def _outcome(self, event: Event, traceparent: str | None) -> EventId | ProducingError:
        try:
            return await self.publish(event, traceparent)
        except ProducingError as error:
            return error

    def _enter(self) -> None:
        with self._lock:
            if self._waiting >= self._most_waiting:
                self._metrics.events.labels("failed").inc()
                raise QueueFull(f"{self._waiting} events wait for Kafka already")
            self._waiting += 1

    def _leave(self, _: EventId, error: ProducingError | None) -> None:
        self._leave_unpublished()
        self._metrics.events.labels("published" if error is None else "failed").inc()

    def _leave_unpublished(self) -> None:
        with self._lock:
            self._waiting -= 1
