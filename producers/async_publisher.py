"""The event publisher for asyncio services: the loop itself hears of the brokers' reports, no thread does.

async with AsyncPublisher("127.0.0.1:9092", source="/billing") as publisher:
    event_id = await publisher.publish(type="user.created", organization_id="org_789", data={"id": "user_123"})
"""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self, Unpack

from producers.errors import ProducerClosed
from producers.handover import LoopProducer
from producers.making import EventFields, EventMaking
from producers.publisher import PATIENCE_S, kafka_config
from producers.records import RecordProducer
from producers.settings import KafkaSettings
from schemas.catalogue import BUILT_IN, Catalogue
from schemas.envelope import LARGEST_EVENT_BYTES
from schemas.ids import EventId

_LOOK_EVERY_S: Final = 0.005


class AsyncPublisher:
    """Publishes events from one event loop: checks them, removes sensitive fields, hands them to Kafka.

    `Publisher` beside a loop works too, its receipts can be awaited; an event then costs a third more CPU
    (bench/publisher.py: 107 and 80 µs on a busy machine), for its thread and the loop take turns at each report.
    """

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
        """Take what `Publisher` takes; the client is made when the block is entered, in the loop that is running."""
        self._config = kafka_config(bootstrap_servers, settings)
        self._patience_s = patience_s
        self._making = EventMaking(source=source, largest_bytes=largest_bytes, catalogue=catalogue)
        self._producer: RecordProducer | None = None
        self._loop_producer: LoopProducer | None = None

    async def __aenter__(self) -> Self:
        self._producer = RecordProducer(self._config, patience_s=self._patience_s)
        self._loop_producer = LoopProducer(self._producer)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def publish(self, **event: Unpack[EventFields]) -> EventId:
        """Return the event's id when the brokers have it; what it is made of, `EventFields` says.

        Events are queued in the order of the calls, before the first wait. Raises InvalidInput with a pointer when the
        event does not fit its schema, ProducingError when the brokers did not take it: it may still arrive.
        """
        event_id, record = self._making.made(**event)
        await self._open().send([record])
        return event_id

    async def publish_all(self, events: Sequence[EventFields]) -> list[EventId]:
        """Return the ids of all events when the brokers have them; when one does not fit, none is sent.

        For many events at once: a future for all instead of one each. Raises as `publish`, the first ProducingError
        once all are reported.
        """
        made = [self._making.made(**event) for event in events]
        await self._open().send([record for _, record in made])
        return [event_id for event_id, _ in made]

    async def close(self, timeout_s: float = 10.0) -> int:
        """Wait until the brokers have every event, and stop; return how many were given up, whose callers are told."""
        producer, self._loop_producer = self._producer, None
        if producer is None:
            return 0
        deadline = asyncio.get_running_loop().time() + timeout_s
        while producer.unreported and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - a count
            await asyncio.sleep(_LOOK_EVERY_S)  # LoopProducer serves the reports meanwhile
        return producer.close(0)

    def _open(self) -> LoopProducer:
        if self._loop_producer is None:
            raise ProducerClosed("this publisher is not open: publish within `async with`")
        return self._loop_producer
