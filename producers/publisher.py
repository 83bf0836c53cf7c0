"""The event publisher that services import.

publisher = Publisher("127.0.0.1:9092", source="/billing")
receipt = publisher.publish(type="user.created", organization_id="org_789", data={"id": "user_123"})
receipt.result(timeout=10)    # or: await receipt
"""

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import Future
from types import TracebackType
from typing import Final, Self

from producers.errors import BrokersAway, ProducingError
from producers.records import Outgoing, RecordProducer, ReportThread
from producers.settings import KafkaSettings
from schemas.catalogue import check_not_reserved
from schemas.codec import encode
from schemas.envelope import LARGEST_EVENT_BYTES, new_event
from schemas.errors import InvalidInput
from schemas.headers import event_headers, is_traceparent
from schemas.ids import EventId
from schemas.json_values import Json
from schemas.records import Event
from schemas.topics import EVENTS

PATIENCE_S: Final = 9.0  # under 10 s, so that an HTTP caller in front of it gets an answer


class Receipt:
    """One event on its way. It is published when the brokers have it: `result()` returns its id, or `await` does."""

    __slots__ = ("_future", "event_id")

    def __init__(self, event_id: EventId) -> None:
        self.event_id = event_id
        self._future: Future[EventId] = Future()

    def result(self, timeout: float | None = None) -> EventId:
        """Return the event's id when the brokers have it.

        Raises ProducingError when they did not take it (it may still arrive), BrokersAway after `timeout` seconds.
        """
        try:
            return self._future.result(timeout)
        except TimeoutError:
            raise BrokersAway(f"no broker had the event after {timeout} s; it may still arrive") from None

    def done(self) -> bool:
        """Return whether it is known what became of the event."""
        return self._future.done()

    def __await__(self) -> Generator[None, None, EventId]:
        # Shielded: a caller who stops waiting (asyncio.wait_for) must not cancel what the producer will settle.
        return asyncio.shield(asyncio.wrap_future(self._future)).__await__()

    def settle(self, error: ProducingError | None) -> None:
        """Tell whoever waits; the producer calls this once."""
        if error is None:
            self._future.set_result(self.event_id)
        else:
            self._future.set_exception(error)


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
    ) -> None:
        """Connect in the background: the brokers need not be there yet.

        `source` is CloudEvents' source attribute, a URI reference that names the service. Without `bootstrap_servers`
        and `settings`, `KAFKA_…` of the environment says where Kafka is.
        """
        settings = settings or KafkaSettings()
        if bootstrap_servers is not None:
            settings = settings.model_copy(update={"bootstrap_servers": bootstrap_servers})
        self._producer = RecordProducer(settings.client_config(), patience_s=patience_s)
        self._reports = ReportThread(self._producer)
        self._source = source
        self._largest_bytes = largest_bytes

    def publish(
        self,
        *,
        type: str,  # noqa: A002 - the field's name in CloudEvents, on the topic and in the body
        organization_id: str,
        data: Json,
        key: str | None = None,
        previous: Json = None,
        metadata: Json = None,
        source_id: str | None = None,
        traceparent: str | None = None,
        on_published: Callable[[EventId, ProducingError | None], None] | None = None,
    ) -> Receipt:
        """Check an event, queue it for Kafka and return its receipt.

        Events of one `key` keep their order. `on_published` is called with the event's id and None, or what went wrong,
        from the producer's thread (or from one that publishes while the queue is full); it must not block nor close
        the publisher. Blocks while the queue is full (backpressure), 10 s at most. Raises InvalidInput with a pointer
        when the event does not fit its schema, or only Hookline publishes its type, QueueFull, ProducerClosed.
        `traceparent` is W3C Trace Context's.
        """
        check_not_reserved(type)
        event = new_event(
            type=type,
            organization_id=organization_id,
            data=data,
            key=key,
            previous=previous,
            metadata=metadata,
            source_id=source_id,
            largest_bytes=self._largest_bytes,
        )
        return self.publish_event(event, traceparent=traceparent, on_published=on_published)

    def publish_event(
        self,
        event: Event,
        *,
        traceparent: str | None = None,
        on_published: Callable[[EventId, ProducingError | None], None] | None = None,
    ) -> Receipt:
        """Do the same with an event that `schemas.envelope.new_event` made: once more under its id after a failure."""
        if traceparent is not None and not is_traceparent(traceparent):
            raise InvalidInput("is no traceparent of W3C Trace Context", pointer="/traceparent")
        receipt = Receipt(event.id)

        def report(error: ProducingError | None) -> None:
            receipt.settle(error)
            if on_published is not None:
                on_published(event.id, error)

        self._producer.produce(event_record(event, source=self._source, traceparent=traceparent), report)
        return receipt

    @property
    def records(self) -> RecordProducer:
        """What hands its records to Kafka, for a process that has other records too: one client is enough."""
        return self._producer

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


def event_record(event: Event, *, source: str, traceparent: str | None = None) -> Outgoing:
    """Return the record of an event on `hookline.events`."""
    key = event.id if event.key is None else event.key
    return Outgoing(
        topic=EVENTS,
        key=key.encode(),
        value=encode(event),
        headers=event_headers(event, source=source, traceparent=traceparent),
    )
