"""From a client's thread to the event loop: calls are collected, so that one wake-up carries many."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from producers.errors import ProducingError
from producers.records import Outgoing, RecordProducer

_SERVE_EVERY_S: Final = 0.002  # nobody's delivery waits for a report, only its ack does


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
    """A RecordProducer for asyncio code, served by the loop that awaits its reports. Make it in that loop."""

    def __init__(self, producer: RecordProducer) -> None:
        self._producer = producer
        self._loop = asyncio.get_running_loop()
        self._serving = False

    async def send(self, records: Sequence[Outgoing]) -> None:
        """Return when the brokers have all of `records`; raises the first ProducingError once all are reported."""
        if not records:
            return
        done = self._loop.create_future()
        waiting = len(records)
        failed: ProducingError | None = None

        def report(error: ProducingError | None) -> None:
            nonlocal waiting, failed
            waiting -= 1
            failed = failed or error
            if waiting == 0 and not done.done():
                if failed is None:
                    done.set_result(None)
                else:
                    done.set_exception(failed)

        for record in records:
            self._producer.produce(record, report)
        if not self._serving:
            self._serving = True
            self._loop.call_later(_SERVE_EVERY_S, self._serve)
        await done

    def _serve(self) -> None:
        self._producer.serve(0)
        if self._producer.unreported:
            self._loop.call_later(_SERVE_EVERY_S, self._serve)
        else:
            self._serving = False
