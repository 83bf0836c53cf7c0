"""Events from a request to Kafka: awaited, within a deadline, and with a limit to how many may wait at once."""

import asyncio
import threading
from typing import Final

from api.events.bodies import NewEvent
from api.metrics import Metrics
from producers.errors import BrokersAway, ProducingError, QueueFull
from producers.publisher import Publisher
from producers.records import RecordProducer
from producers.settings import KafkaSettings
from schemas.errors import InvalidInput
from schemas.ids import EventId, OrganizationId

PATIENCE_S: Final = 7.0  # for Kafka; librdkafka looks for what is overdue once a second, the answer is due in 10 s
_DEADLINE_S: Final = 9.0  # should the client never report


class EventPublishing:
    """Publishes for routes: one publisher for the process, made at the start and closed at the end.

    Without a limit, requests whose clients have given up would pile up in the producer's queue while Kafka is away, and
    a full queue blocks the thread of whoever publishes: here, the event loop.
    """

    def __init__(self, kafka: KafkaSettings, metrics: Metrics, *, largest_bytes: int, most_waiting: int) -> None:
        self._publisher = Publisher(
            settings=kafka, source="/hookline/api", patience_s=PATIENCE_S, largest_bytes=largest_bytes
        )
        self._metrics = metrics
        self._most_waiting = most_waiting
        self._waiting = 0
        self._lock = threading.Lock()

    async def publish(self, body: NewEvent, organization_id: OrganizationId, traceparent: str | None) -> EventId:
        """Return the event's id once Kafka has it.

        Raises InvalidInput, with a pointer into the body, and ProducingError when Kafka does not take it in time: then
        it may still arrive.
        """
        self._enter()
        try:
            receipt = self._publisher.publish(
                type=body.type,
                organization_id=organization_id,
                data=body.data,
                key=body.key,
                previous=body.previous,
                metadata=body.metadata,
                source_id=body.id,
                traceparent=traceparent,
                on_published=self._leave,
            )
        except (InvalidInput, ProducingError) as error:
            self._leave_unpublished()
            self._metrics.events.labels("refused" if isinstance(error, InvalidInput) else "failed").inc()
            raise
        try:
            return await asyncio.wait_for(receipt, _DEADLINE_S)
        except TimeoutError:
            raise BrokersAway("the Kafka client reports nothing; the event may still arrive") from None

    @property
    def records(self) -> RecordProducer:
        """The process's producer, for records that are no events; its reports come in a thread of their own."""
        return self._publisher.records

    def close(self) -> None:
        """Give what waits a few seconds, then give it up."""
        self._publisher.close(timeout_s=5.0)

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
