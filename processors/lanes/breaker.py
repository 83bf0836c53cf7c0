"""Stops calling an endpoint that fails, and tries it now and then: closed, open, half-open. Reads no clock."""

from collections import deque
from dataclasses import dataclass
from typing import Final

_BUCKETS: Final = 6  # of the window: its end moves in these steps


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When a breaker opens, and how often it then probes.

    It opens when at least `least` attempts ended within the last `window_s`, counted from the first failure among them,
    and at least `share` (0–1) of these failed: an hour of successes does not keep it closed once the endpoint is gone.
    """

    share: float = 0.5
    least: int = 100
    window_s: float = 60.0
    probe_every_s: float = 5.0


@dataclass(slots=True)
class _Bucket:
    begins_at: float
    ended: int = 0
    failed: int = 0


class Breaker:
    """One endpoint's. Times are a monotonic clock's seconds."""

    __slots__ = ("_buckets", "_probe_began_at", "_settings", "not_before")

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._buckets: deque[_Bucket] = deque()
        self._probe_began_at = 0.0
        self.not_before: float | None = None  # of the next probe; None while closed

    @property
    def is_open(self) -> bool:
        """Return whether it is open or half-open: one attempt at a time, and not before `not_before`."""
        return self.not_before is not None

    @property
    def is_idle(self) -> bool:
        """Return whether it knows nothing that would be missed."""
        return self.not_before is None and not self._buckets

    def begin(self, now: float) -> None:
        """Note that an attempt begins; while it is open, this is the probe."""
        self._probe_began_at = now

    def end(self, now: float, *, failed: bool) -> None:
        """Note what an attempt came to. One success closes it: the endpoint is there again."""
        if not failed:
            if self.not_before is not None:
                self.not_before = None
                self._buckets.clear()
            else:
                self._forget_old(now)
                if self._buckets:
                    self._count(now, failed=False)
            return
        self._count(now, failed=True)
        if self.not_before is not None or self._is_failing():
            # From the probe's beginning: one that hangs for its whole timeout is followed by the next at once.
            self.not_before = max(now, self._probe_began_at + self._settings.probe_every_s)

    def _count(self, now: float, *, failed: bool) -> None:
        self._forget_old(now)
        buckets, window_s = self._buckets, self._settings.window_s
        if not buckets or buckets[-1].begins_at <= now - window_s / _BUCKETS:
            buckets.append(_Bucket(now))
        buckets[-1].ended += 1
        buckets[-1].failed += failed

    def _forget_old(self, now: float) -> None:
        while self._buckets and self._buckets[0].begins_at <= now - self._settings.window_s:
            self._buckets.popleft()

    def _is_failing(self) -> bool:
        ended = sum(bucket.ended for bucket in self._buckets)
        failed = sum(bucket.failed for bucket in self._buckets)
        return ended >= self._settings.least and failed >= self._settings.share * ended
