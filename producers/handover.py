"""From a client's thread to the event loop: calls are collected, so that one wake-up carries many."""

import asyncio
import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from producers.errors import ProducingError, QueueFull
from producers.records import Outgoing, RecordProducer, Report

_QUEUE_WITHIN_S: Final = 10.0  # as long as RecordProducer.produce waits for room in its queue
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
        with suppress(RuntimeError):  # it may close between the question and the call
            self._loop.call_soon_threadsafe(self._run)

    def _run(self) -> None:
        with self._lock:
            self._woken = False
        for _ in range(len(self._calls)):
            try:
                self._calls.popleft()()
            except Exception as error:  # noqa: BLE001 - the loop's handler sees it; the calls behind it must still run
                self._loop.call_exception_handler({"message": "a call that was handed over failed", "exception": error})


class LoopProducer:
    """A RecordProducer for asyncio code, served by the loop that awaits its reports. Make it in that loop."""

    def __init__(self, producer: RecordProducer) -> None:
        self._producer = producer
        self._loop = asyncio.get_running_loop()
        self._serving = False
        self._line = asyncio.Lock()
        self._in_line = 0

    async def send(self, records: Sequence[Outgoing]) -> None:
        """Return when the brokers have all of `records`; raises the first ProducingError once all are reported.

        They are queued in the order of the calls, all before the first wait of this one unless the queue is full. While
        it is full this waits without holding up the loop, 10 s at most a record (QueueFull), and who comes later waits
        behind it: ordered deliveries are as ordered as their records here.
        """
        failed: list[ProducingError] = []

        def reported(_: int, error: ProducingError | None) -> None:
            if error is not None:
                failed.append(error)

        await self._send(records, reported)
        if failed:
            raise failed[0]

    async def outcomes_of(self, records: Sequence[Outgoing]) -> list[ProducingError | None]:
        """Do the same and return, for each record, None or why the brokers may not have it."""
        outcomes: list[ProducingError | None] = [None] * len(records)
        await self._send(records, outcomes.__setitem__)
        return outcomes

    async def _send(self, records: Sequence[Outgoing], report: Callable[[int, ProducingError | None], None]) -> None:
        """Return when all are reported; `report` hears of each by its place."""
        if not records:
            return
        done = self._loop.create_future()
        waiting = len(records)

        def reported(index: int, error: ProducingError | None) -> None:
            nonlocal waiting
            waiting -= 1
            report(index, error)
            if waiting == 0 and not done.done():
                done.set_result(None)

        try:
            for index, record in enumerate(records):
                await self._queue(record, partial(reported, index))
            self._start_serving()
            await done
        finally:
            done.cancel()  # of a caller who was cancelled: nobody is left to hear the reports

    async def _queue(self, record: Outgoing, report: Report) -> None:
        if not self._in_line and self._is_settled(record, report):
            return
        deadline = self._loop.time() + _QUEUE_WITHIN_S
        self._in_line += 1  # the lock alone is free for a moment between one who waited and the next
        try:
            async with self._line:
                while not self._is_settled(record, report, deadline=deadline):
                    self._start_serving()
                    await asyncio.sleep(_SERVE_EVERY_S)
        finally:
            self._in_line -= 1

    def _is_settled(self, record: Outgoing, report: Report, *, deadline: float = math.inf) -> bool:
        """Queue a record or report why not; return False while there is no room for it."""
        try:
            self._producer.produce(record, report, wait_s=0)
        except QueueFull as error:
            if self._loop.time() < deadline:
                return False
            report(error)
        except ProducingError as error:
            report(error)  # as the brokers' own refusals: the records before it are still on their way
        return True

    def _start_serving(self) -> None:
        if not self._serving:
            self._serving = True
            self._loop.call_later(_SERVE_EVERY_S, self._serve)

    def _serve(self) -> None:
        self._serving = False
        try:
            self._producer.serve(0)
        finally:  # what the client raises is for the loop's handler, and no reason to stop asking
            if self._producer.unreported:
                self._start_serving()
