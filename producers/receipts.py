"""What a publisher gives for an event that is on its way."""

import asyncio
import threading
from collections.abc import Generator
from concurrent.futures import Future
from typing import Final

from producers.errors import BrokersAway, ProducingError
from schemas.ids import EventId

_UNKNOWN: Final = ProducingError("it is not known yet what became of the event")  # never raised: a mark
_waiting: Final = threading.Lock()  # for whoever makes a receipt's future


class Receipt:
    """One event on its way. It is published when the brokers have it: `result()` returns its id, or `await` does.

    A future is made only for those who wait before the end is known: making one takes longer than all else here.
    """

    __slots__ = ("_future", "_outcome", "event_id")

    def __init__(self, event_id: EventId) -> None:
        self.event_id = event_id
        self._outcome: ProducingError | None = _UNKNOWN
        self._future: Future[EventId] | None = None

    def result(self, timeout: float | None = None) -> EventId:
        """Return the event's id when the brokers have it.

        Raises ProducingError when they did not take it (it may still arrive), BrokersAway after `timeout` seconds.
        """
        if self._outcome is None:
            return self.event_id
        try:
            return self._awaited().result(timeout)
        except TimeoutError:
            raise BrokersAway(f"no broker had the event after {timeout} s; it may still arrive") from None

    def done(self) -> bool:
        """Return whether it is known what became of the event."""
        return self._outcome is not _UNKNOWN

    def __await__(self) -> Generator[None, None, EventId]:
        # Shielded: a caller who stops waiting (asyncio.wait_for) must not cancel what the producer will settle.
        return asyncio.shield(asyncio.wrap_future(self._awaited())).__await__()

    def settle(self, error: ProducingError | None) -> None:
        """Tell whoever waits; the producer calls this once."""
        self._outcome = error
        if self._future is not None:  # read after the outcome was written, as `_awaited` does it the other way round
            with _waiting:
                self._tell(self._future)

    def _awaited(self) -> Future[EventId]:
        with _waiting:
            if self._future is None:
                self._future = Future()
            if self._outcome is not _UNKNOWN:
                self._tell(self._future)
            return self._future

    def _tell(self, future: Future[EventId]) -> None:
        """Settle a future, unless somebody did; `_waiting` is held."""
        if future.done():
            return
        if self._outcome is None:
            future.set_result(self.event_id)
        else:
            future.set_exception(self._outcome)
