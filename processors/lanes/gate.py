"""Whether an attempt to one endpoint may begin now: its in-flight cap, breaker, rate and pause. Reads no clock.

A gate is a subscription's, whatever topic its deliveries come from. All of a subscription's records are one worker's,
so this is local state.
"""

from dataclasses import dataclass
from enum import StrEnum

from processors.lanes.breaker import Breaker, BreakerSettings
from processors.lanes.pacing import Pace
from schemas.records import Subscription


class Reason(StrEnum):
    """Why a subscription is behind: the words of `Cursor.reason`."""

    FULL = "full"  # more came than it takes in time
    SLOW = "slow"  # an attempt is older than the soft limit
    OPEN = "open"  # its breaker is open
    RATE = "rate"  # its rate limit
    PAUSED = "paused"
    PARKED = "parked"  # an ordered delivery waits for its retry
    BLOCKED = "blocked"  # the same, and its attempts are used up
    SHARE = "share"  # its organization has its share of the worker


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing begins now. `until` is when to ask again, None when something else will happen first.

    `holds` says that it will take long: a live subscription goes behind at once.
    """

    reason: Reason
    until: float | None = None
    holds: bool = False


_CAP = Refusal(Reason.FULL)
_PAUSED = Refusal(Reason.PAUSED, holds=True)


class Gate:
    """One subscription's. Times are a monotonic clock's seconds."""

    __slots__ = (
        *("_breaker", "_catch_up", "_limits", "_pace", "_version"),
        *("in_flight", "is_suspect", "lanes", "last_failed"),
    )

    def __init__(self, breaker: BreakerSettings) -> None:
        self._breaker = Breaker(breaker)
        self._pace: Pace | None = None
        self._catch_up: Pace | None = None
        self._version = -1
        self._limits: tuple[int | None, int, float | None] = (None, 1, None)
        self.in_flight = 0
        self.lanes = 0  # that go through it
        self.is_suspect = False  # one at a time until the first success
        self.last_failed = False

    def refusal(self, settings: Subscription | None, now: float, *, most: int, behind: bool) -> Refusal | None:
        """Return why no attempt may begin now, None when one may.

        `settings` None is a subscription that is gone or not known here yet. `most` is the workers' own in-flight cap.
        """
        self._read(settings)
        if settings is not None and settings.paused:
            return _PAUSED
        if self._breaker.not_before is not None and self._breaker.not_before > now:
            return Refusal(Reason.OPEN, self._breaker.not_before, holds=True)
        if self.in_flight >= self.cap(settings, most):
            return _CAP
        at = self._next_at(now, behind=behind)
        return None if at <= now else Refusal(Reason.RATE, at)

    def cap(self, settings: Subscription | None, most: int) -> int:
        """Return how many attempts may be open at once."""
        if self.is_suspect or self._breaker.is_open:
            return 1
        return most if settings is None or settings.most_in_flight == 0 else settings.most_in_flight

    def holds(self, settings: Subscription | None) -> bool:
        """Return whether nothing but probes begins for the time being."""
        return self._breaker.is_open or (settings is not None and settings.paused)

    def begin(self, now: float, *, behind: bool) -> None:
        """Note that an attempt begins."""
        self.in_flight += 1
        self._breaker.begin(now)
        if self._pace is not None:
            self._pace.take(now)
        if self._catch_up is not None and behind:
            self._catch_up.take(now)

    def end(self, now: float, *, failed: bool | None) -> None:
        """Note what an attempt came to; None: nothing was asked of the endpoint."""
        self.in_flight -= 1
        if failed is None:
            return
        self.last_failed = failed
        if not failed:
            self.is_suspect = False
        self._breaker.end(now, failed=failed)

    @property
    def is_idle(self) -> bool:
        """Return whether nothing would be missed were it forgotten."""
        is_paced = self._pace is not None or self._catch_up is not None
        return self.in_flight == 0 and not self.is_suspect and not is_paced and self._breaker.is_idle

    def _next_at(self, now: float, *, behind: bool) -> float:
        at = now if self._pace is None else self._pace.next_at
        return at if self._catch_up is None or not behind else max(at, self._catch_up.next_at)

    def _read(self, settings: Subscription | None) -> None:
        if settings is None or settings.version == self._version:
            return
        self._version = settings.version
        limits = settings.rate_limit, settings.rate_period_s, settings.catch_up_per_s
        if limits == self._limits:
            return  # a new pace would forget what it let pass: one more with every change of the URL
        self._limits = limits
        limit = settings.rate_limit
        self._pace = None if limit is None else Pace(limit, settings.rate_period_s)
        self._catch_up = None if settings.catch_up_per_s is None else Pace(settings.catch_up_per_s)
