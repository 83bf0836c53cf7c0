"""Events to Kafka: awaited, within a deadline, and with a limit to how many may wait at once."""

import asyncio
from collections.abc import Sequence
from typing import Final

from api.metrics import Metrics
from producers.errors import BrokersAway, ProducingError, QueueFull
from producers.handover import LoopProducer
from producers.publisher import event_record
from producers.records import RecordProducer
from producers.settings import KafkaSettings
from schemas.records import Event

SOURCE: Final = "/hookline/api"
PATIENCE_S: Final = 7.0  # for Kafka; librdkafka looks for what is overdue once a second, the answer is due in 10 s
_DEADLINE_S: Final = 9.0  # should the client never report
_AT_ONCE: Final = 100  # of a batch: what waits stays few, and other requests have their turn between two of them
_LAST_WORDS_S: Final = 5.0


class EventPublishing:
    """Publishes for routes: one producer for the process, made at the start, in its loop, and closed at the end.

    Without a limit, requests whose clients have given up would pile up in the producer's queue while Kafka is away.
    Reports come on the loop: a thread that polls for it fights it for the interpreter's lock (producers/records.py).
    """

    def __init__(self, kafka: KafkaSettings, metrics: Metrics, *, most_waiting: int) -> None:
        self._records = RecordProducer(kafka.client_config(), patience_s=PATIENCE_S)
        self._producer = LoopProducer(self._records)
        self._published = metrics.events.labels("published")
        self._failed = metrics.events.labels("failed")
        self._most_waiting = most_waiting
        self._waiting = 0
        self._under_way: set[asyncio.Task[list[ProducingError | None]]] = set()

    @property
    def producer(self) -> LoopProducer:
        """The process's producer, for records that are no events."""
        return self._producer

    async def publish_all(self, events: Sequence[tuple[Event, str | None]]) -> list[ProducingError | None]:
        """Publish events, each with its traceparent; return, for each, None once Kafka has it or why it may not.

        Once an event waited for Kafka in vain, the events behind it are not tried: the caller's answer is due.
        """
        outcomes: list[ProducingError | None] = []
        for start in range(0, len(events), _AT_ONCE):
            outcomes += await self._publish(events[start : start + _AT_ONCE])
            away = next((outcome for outcome in outcomes if isinstance(outcome, BrokersAway)), None)
            if away is not None:
                return outcomes + [away] * (len(events) - len(outcomes))
        return outcomes

    def close(self) -> None:
        """Give what waits a few seconds, then give it up. On the loop: reports settle its futures."""
        self._records.close(_LAST_WORDS_S)

    async def _publish(self, events: Sequence[tuple[Event, str | None]]) -> list[ProducingError | None]:
        taken = events[: max(self._most_waiting - self._waiting, 0)]
        full: list[ProducingError | None] = []
        if len(taken) < len(events):
            self._failed.inc(len(events) - len(taken))
            full = [QueueFull(f"{self._waiting} events wait for Kafka already")] * (len(events) - len(taken))
        if not taken:
            return full
        sending = self.begin(taken)
        # Waited for, not awaited: who hangs up or waits no longer must not stop what is on its way.
        await asyncio.wait({sending}, timeout=_DEADLINE_S)
        if sending.done():
            return sending.result() + full
        silent: ProducingError = BrokersAway("the Kafka client reports nothing; the event may still arrive")
        return [silent] * len(events)

    def begin(self, events: Sequence[tuple[Event, str | None]]) -> asyncio.Task[list[ProducingError | None]]:
        """Hand events to the client in the order of the calls; the task knows what became of them."""
        self._waiting += len(events)
        sending = asyncio.create_task(self._send(events))
        self._under_way.add(sending)
        sending.add_done_callback(self._under_way.discard)
        return sending

    async def _send(self, events: Sequence[tuple[Event, str | None]]) -> list[ProducingError | None]:
        try:
            outcomes = await self._producer.outcomes_of(
                [event_record(event, source=SOURCE, traceparent=traceparent) for event, traceparent in events]
            )
        finally:
            self._waiting -= len(events)
        failed = sum(outcome is not None for outcome in outcomes)
        self._published.inc(len(outcomes) - failed)
        self._failed.inc(failed)
        return outcomes
