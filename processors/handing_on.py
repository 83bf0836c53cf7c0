"""Faust's consumer, with a shorter way from a fetched record to the agents.

Faust starts two tasks for every record, one to hand it on and one that waits for its flow to stop, and waits for the
first of them: several turns of the loop a record. With hundreds of requests open a turn takes milliseconds, so that
records wait for seconds to be read while the loop is busy sending, however fair the sending is. Handing a record on
waits only while an agent's queue is full, and ours never wait (FAUST.md, F10): so it is awaited, and nothing else.
"""

from collections.abc import AsyncIterator
from typing import Any, Final, cast

from faust.transport.drivers.aiokafka import Consumer, Transport
from faust.types import TP

_A_TURN: Final = 100  # records between two turns of the loop, as Faust has it


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
            if count % _A_TURN == 0:
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
