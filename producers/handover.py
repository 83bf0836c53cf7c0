"""From a client's thread to the event loop: calls are collected, so that one wake-up carries many."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence

from producers.errors import ProducingError
from producers.records import Outgoing, RecordProducer


class Handover:
    """Runs functions on `loop`, in order, for threads that are not the loop's.

    A wake-up of the loop costs a system call; at 5,000 reports a second one for each would be felt.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
        self._woken = False

    def call(self, function: Callable[[], None]) -> None:
        """Run `function` on the loop soon. A loop that has closed needs nothing any more."""
        self._calls.append(function)
        with self._lock:
            if self._woken or self._loop.is_closed():
                return
            self._woken = True
        self._loop.call_soon_threadsafe(self._run)

    def _run(self) -> None:
        with self._lock:
            self._woken = False
        for _ in range(len(self._calls)):
            self._calls.popleft()()


class LoopProducer:
    """A RecordProducer for asyncio code: the loop awaits the brokers' reports."""

    def __init__(self, producer: RecordProducer, handover: Handover) -> None:
        self._producer = producer
        self._handover = handover

    async def send(self, records: Sequence[Outgoing]) -> None:
        """Return when the brokers have all of `records`; raises the first ProducingError once all are reported."""
        done = asyncio.get_running_loop().create_future()
        waiting = len(records)
        failed: ProducingError | None = None

        def settle(error: ProducingError | None) -> None:
            nonlocal waiting, failed
            waiting -= 1
            failed = failed or error
            if waiting == 0 and not done.done():
                if failed is None:
                    done.set_result(None)
                else:
                    done.set_exception(failed)

        def report(error: ProducingError | None) -> None:
            self._handover.call(lambda: settle(error))

        for record in records:
            self._producer.produce(record, report)
        if records:
            await done
