"""Counting in this process's memory, and no more of it than was set aside.

`limits` brings a memory of its own, but it looks through all its keys at every request and holds as many as callers
make up. This one has its sliding window (two counters a key, the older one weighted by how much of it still counts:
https://limits.readthedocs.io/en/stable/strategies.html#sliding-window-counter), and lets the oldest go.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import floor
from typing import Final

from limits.aio.storage import MemoryStorage

MOST_KEYS: Final = 50_000  # about 300 bytes each
_FREED_EACH_TIME: Final = 2  # at most one comes in, so what is over goes faster than it comes


@dataclass(slots=True)
class _Window:
    number: int  # of windows since 1970
    window_s: int
    current: int = 0
    previous: int = 0


class BoundedMemory(MemoryStorage):
    """Holds `most_keys` counters; one more and the one that was asked for longest ago starts anew.

    Nothing in here awaits, so requests that come at once are counted one after the other.
    """

    STORAGE_SCHEME = None  # type: ignore[assignment] # None: it is found under no URL

    def __init__(self, most_keys: int = MOST_KEYS, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._windows: OrderedDict[str, _Window] = OrderedDict()
        self._most_keys = most_keys
        self._clock = clock

    def __len__(self) -> int:
        """Return how many counters there are."""
        return len(self._windows)

    async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Take `amount` of `limit` in `expiry` seconds; False, and nothing is taken, when there is not so much."""
        now = self._clock()
        window = self._window_at(key, expiry, now)
        weighted = window.previous * _rest_s(now, expiry) / expiry + window.current
        is_let_in = floor(weighted) + amount <= limit
        if is_let_in:
            window.current += amount
        self._windows[key] = window
        self._windows.move_to_end(key)
        self._free(now)
        return is_let_in

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Return how much was taken in the window before and for how many seconds it counts, and the same of this."""
        now = self._clock()
        window, rest_s = self._window_at(key, expiry, now), _rest_s(now, expiry)
        return window.previous, rest_s if window.previous else 0.0, window.current, rest_s + expiry

    async def clear_sliding_window(self, key: str, expiry: int) -> None:  # noqa: ARG002 - the library's
        """Forget what was taken."""
        self._windows.pop(key, None)

    async def reset(self) -> int | None:
        """Forget everything."""
        count = len(self._windows)
        self._windows.clear()
        return count

    def _window_at(self, key: str, expiry: int, now: float) -> _Window:
        number = int(now // expiry)
        kept = self._windows.get(key)
        if kept is not None and kept.number == number:
            return kept
        is_next = kept is not None and kept.number == number - 1
        return _Window(number, expiry, previous=kept.current if kept is not None and is_next else 0)

    def _free(self, now: float) -> None:
        for _ in range(_FREED_EACH_TIME):
            window = next(iter(self._windows.values()))
            if len(self._windows) <= self._most_keys and now < (window.number + 2) * window.window_s:
                return
            self._windows.popitem(last=False)
            if not self._windows:
                return


def _rest_s(now: float, window_s: int) -> float:
    return window_s - now % window_s
