"""What comes after a failed attempt: another one and when, or the end."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Final

from schemas.ids import DeliveryId
from schemas.waits import Schedule, largest_tier_within

MOST_JITTER: Final = 0.05  # of the wait
_DRAWS: Final = 1 << 64


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again at `due_at`; wait for it in the tier of `tier`."""

    due_at: datetime
    tier: timedelta


def next_retry(
    failed_at: datetime,
    failures: int,
    schedule: Schedule,
    *,
    longer: float = 0.0,
    retry_after: timedelta | None = None,
) -> Retry | None:
    """Return when to try again after `failures` >= 1 failures of this round, or None to give up.

    The wait counts from the end of the failed attempt. `longer`, 0 to MOST_JITTER, is the part of the schedule's wait
    that is added to it, so that what failed together does not come back together (`jitter_of`). What the receiver asked
    for (`retry_after`, up to a day) takes the place of the schedule's wait, shorter or longer, as it stands; it gives
    no further attempts.
    """
    if failures > len(schedule.waits):
        return None
    if retry_after is not None:
        # The mover keeps a record until it is due, also one that is due before its tier's wait is over.
        tier = largest_tier_within(retry_after, schedule.tiers) or schedule.tiers[0]
        return Retry(failed_at + retry_after, tier)
    wait = schedule.waits[failures - 1]
    # Its tier is the wait's own, not the largest one within what remains when the record is written: a millisecond
    # later that would already be a smaller one.
    return Retry(failed_at + wait * (1 + longer), wait)


def jitter_of(delivery_id: DeliveryId, attempt: int, most: float) -> float:
    """Return the part of a wait, 0 up to `most`, that is added after this attempt: always the same for the same one.

    A hash and no random number: of an attempt that was made twice, both retries are spread alike.
    """
    drawn = int.from_bytes(blake2b(f"{delivery_id}|{attempt}".encode(), digest_size=8).digest())
    return most * drawn / _DRAWS
