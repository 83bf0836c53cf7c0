"""A shorter way through Faust for records that wait, from its consumer to the agents.

Faust's consumer starts two tasks for every record, one to hand it on and one that waits for its flow to stop, and waits
for the first of them; its streams let the loop turn once before every record. With hundreds of requests open a turn
takes milliseconds: an agent took 300 records a second while 8,000 waited in its queue (bench.bursts), however fair the
sending is. So a record is handed on without tasks, and an agent that is given one takes more of what waits with it.
Both wait for nothing, as our agents do not (FAUST.md, F10).
"""

from collections.abc import AsyncIterator, Callable
from typing import Any, Final, cast

from faust.transport.drivers.aiokafka import Consumer, Transport
from faust.types import TP

_HANDED_ON_A_TURN: Final = 100  # records between two turns of the loop, as Faust has it
_TAKEN_A_TURN: Final = 50  # 1 ms of the loop


class StraightConsumer(Consumer):
    """Faust's consumer for agents that never wait."""

    async def _drain_messages(self, fetcher: Any) -> None:
        """Hand on what is fetched until the fetcher or the consumer stops."""
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):  # noqa: SLF001 - Faust's own loop asks it too
                await self.sleep(0)
                if not self.should_stop:
                    await self._hand_on(cast("AsyncIterator[tuple[TP, Any]]", self.getmany(timeout=1.0)))
        except self.consumer_stopped_errors:
            if not self.transport.app.should_stop:
                raise

    async def _hand_on(self, records: AsyncIterator[tuple[TP, Any]]) -> None:
        count = 0
        async for tp, message in records:
            count += 1
            if count % _HANDED_ON_A_TURN == 0:
                await self.sleep(0)
            offset = message.offset
            read = self._read_offset[tp]
            if read is not None and offset < read:
                continue  # Faust seeks back to what is committed when its flow was stopped
            if read and offset - read > 1 and self.app.topics.acks_enabled_for(message.topic):
                await self._add_gap(tp, read + 1, offset)
            await self.callback(message)
            self._read_offset[tp] = offset


class StraightTransport(Transport):
    """Faust's transport, with that consumer."""

    Consumer = StraightConsumer


def take_what_waits(app: Any, queue: Any, take: Callable[[Any], None]) -> None:
    """Take what waits in a stream's queue, as far as a turn of the loop may take, the way that a stream does it.

    `take` gets Faust's events. What was fetched before the assignment changed is left out: it comes again.
    """
    for _ in range(_TAKEN_A_TURN):
        if queue.empty():
            return
        event = queue.get_nowait()
        message = event.message
        if not app.flow_control.is_active() or message.generation_id != app.consumer_generation_id:
            continue
        if not message.tracked:
            message.tracked = True
            app.consumer.track_message(message)
        take(event)
