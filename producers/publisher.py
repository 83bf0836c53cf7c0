"""The event publisher that services import.

publisher = Publisher("127.0.0.1:9092", source="/billing")
receipt = publisher.publish(type="user.created", organization_id="org_789", data={"id": "user_123"})
receipt.result(timeout=10)    # or: await receipt
"""

from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, Unpack

from producers.errors import ProducingError
from producers.making import EventFields, EventMaking, event_record
from producers.receipts import Receipt
from producers.records import Outgoing, RecordProducer, Report, ReportThread
from producers.settings import KafkaSettings
from schemas.catalogue import BUILT_IN, Catalogue
from schemas.envelope import LARGEST_EVENT_BYTES
from schemas.ids import EventId
from schemas.records import Event

__all__ = ["PATIENCE_S", "Publisher", "Receipt", "event_record", "kafka_config"]

PATIENCE_S: Final = 9.0  # under 10 s, so that an HTTP caller in front of it gets an answer


class Publisher:
    """Publishes events: checks them, removes sensitive fields, hands them to Kafka. Safe to share between threads."""

    def __init__(
        self,
        bootstrap_servers: str | None = None,
        *,
        source: str = "/hookline",
        settings: KafkaSettings | None = None,
        patience_s: float = PATIENCE_S,
        largest_bytes: int = LARGEST_EVENT_BYTES,
        catalogue: Catalogue = BUILT_IN,
    ) -> None:
        """Connect in the background: the brokers need not be there yet.

        `source` is CloudEvents' source attribute, a URI reference that names the service. Without `bootstrap_servers`
        and `settings`, `KAFKA_…` of the environment says where Kafka is. `catalogue` knows the event types that
        organizations defined; without it there are the built-in ones.
        """
        self._producer = RecordProducer(kafka_config(bootstrap_servers, settings), patience_s=patience_s)
        self._reports = ReportThread(self._producer)
        self._making = EventMaking(source=source, largest_bytes=largest_bytes, catalogue=catalogue)

    def publish(
        self,
        *,
        on_published: Callable[[EventId, ProducingError | None], None] | None = None,
        **event: Unpack[EventFields],
    ) -> Receipt:
        """Check an event, queue it for Kafka and return its receipt; what it is made of, `EventFields` says.

        `on_published` is called with the event's id and None, or what went wrong, from the producer's thread, or from
        one that publishes; it must not block nor close the publisher. Blocks while the queue
        is full (backpressure), 10 s at most. Raises InvalidInput with a pointer when the event does not fit its schema,
        or only Hookline publishes its type, QueueFull, ProducerClosed.
        """
        event_id, record = self._making.made(**event)
        return self._queued(event_id, record, on_published)

    def publish_event(
        self,
        event: Event,
        *,
        traceparent: str | None = None,
        on_published: Callable[[EventId, ProducingError | None], None] | None = None,
    ) -> Receipt:
        """Do the same with an event that `schemas.envelope.new_event` made: once more under its id after a failure."""
        return self._queued(event.id, self._making.record_of(event, traceparent), on_published)

    @property
    def records(self) -> RecordProducer:
        """What hands its records to Kafka, for a process that has other records too: one client is enough."""
        return self._producer

    def _queued(
        self,
        event_id: EventId,
        record: Outgoing,
        on_published: Callable[[EventId, ProducingError | None], None] | None,
    ) -> Receipt:
        receipt = Receipt(event_id)
        self._producer.produce(record, receipt.settle if on_published is None else _both(receipt, on_published))
        self._reports.published()
        return receipt

    def flush(self, timeout_s: float = 30.0) -> int:
        """Wait until the brokers have every event, `timeout_s` at most; return how many they do not have yet."""
        return self._producer.flush(timeout_s)

    def close(self, timeout_s: float = 10.0) -> int:
        """Flush and stop; return how many events were given up, whose receipts say so."""
        given_up = self._producer.close(timeout_s)
        self._reports.stop()
        return given_up

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def kafka_config(bootstrap_servers: str | None, settings: KafkaSettings | None) -> dict[str, str]:
    """Return the client's configuration of these settings, or of the environment's, with other servers if named."""
    settings = settings or KafkaSettings()
    if bootstrap_servers is not None:
        settings = settings.model_copy(update={"bootstrap_servers": bootstrap_servers})
    return settings.client_config()


def _both(receipt: Receipt, on_published: Callable[[EventId, ProducingError | None], None]) -> Report:
    def report(error: ProducingError | None) -> None:
        receipt.settle(error)
        on_published(receipt.event_id, error)

    return report
