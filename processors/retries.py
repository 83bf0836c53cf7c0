"""What comes after a failed attempt: another one and when, or the end."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.waits import Schedule


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again at `due_at`; wait for it in the tier of `tier`."""

    due_at: datetime
    tier: timedelta


def next_retry(failed_at: datetime, failures: int, schedule: Schedule) -> Retry | None:
    """Return when to try again after `failures` >= 1 failures of this round, or None to give up.

    The wait counts from the end of the failed attempt. Its tier is the wait's own, not the largest one within what
    remains when the record is written: a millisecond later that would already be a smaller one.
    """
    if failures > len(schedule.waits):
        return None
    wait = schedule.waits[failures - 1]
    return Retry(failed_at + wait, wait)
