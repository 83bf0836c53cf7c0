"""What a process holds in memory, watched from outside."""

import threading
from types import TracebackType
from typing import Final, Self

import psutil

_LOOK_EVERY_S: Final = 0.05
MB: Final = 1024 * 1024


def resident_mb(pid: int) -> float:
    """Return what a process holds in memory now, in MB."""
    return float(psutil.Process(pid).memory_info().rss) / MB


class Peak:
    """Watches a process while it is entered; `mb` is the most that it held."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)
        self.mb = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopping.wait(_LOOK_EVERY_S):
            try:
                self.mb = max(self.mb, self._process.memory_info().rss / MB)
            except psutil.NoSuchProcess:
                return
