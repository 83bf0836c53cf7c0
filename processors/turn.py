"""What a lane says of the delivery record that it begins, and what it hears of it in the end."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from schemas.records import PastAttempt


class NotOurs(Exception):
    """The partition was taken from us in the middle of an attempt: nothing more is recorded of it."""


class Finish(Enum):
    """What became of a delivery record, for whoever decides what is sent next to its endpoint."""

    SUCCEEDED = auto()
    FAILED = auto()  # the receiver's failure: another attempt waits in a tier, or it is given up
    TIMED_OUT = auto()  # the same, and it took all its time
    KEPT = auto()  # the receiver's failure; ordered, so it waits where it is
    NOTHING = auto()  # no request was made: skipped, held, unreadable
    NOT_OURS = auto()  # the partition was taken from us: whoever has it sends it


@dataclass(frozen=True, slots=True)
class Kept:
    """Another attempt of an ordered delivery: its number, when, after what, and whether its attempts are used up."""

    attempt: int
    due_at: datetime
    history: tuple[PastAttempt, ...]
    is_blocked: bool


@dataclass(frozen=True, slots=True)
class Turn:
    """What the lane says of the record that it begins.

    `is_ordered`: a failed attempt waits at its place, which `keep` makes durable, and `attempt` and `history` are known
    there and not in the record. `is_expired`: it waited for so long that its topic is about to forget it.
    """

    is_ours: Callable[[], bool]
    is_ordered: bool
    attempt: int
    history: tuple[PastAttempt, ...]
    is_expired: bool
    keep: Callable[[Kept], Awaitable[None]]
