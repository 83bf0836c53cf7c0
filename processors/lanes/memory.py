"""What waits in memory: how much each lane may have there, and how much all of them have."""

from collections.abc import Callable
from typing import Final

from processors.intake import Taken
from processors.lanes.lane import Lane
from processors.lanes.limits import Limits
from schemas.ids import SubscriptionId
from schemas.records import Subscription

_HELD_RECORDS: Final = 4  # of a lane that may not send: it needs its head only
_KEYS_RECORDS: Final = 32  # of a parked key that goes on: a subscription may have a thousand
_SLACK: Final = 0.5  # of what a lane has room for: with less queued, more is read


class Memory:
    """Counts the bytes of what is queued. Lives on the event loop."""

    def __init__(self, limits: Limits, settings_of: Callable[[SubscriptionId], Subscription | None]) -> None:
        self._limits = limits
        self._settings_of = settings_of
        self.bytes = 0

    def queue(self, lane: Lane, taken: Taken, at: float) -> None:
        """Put a record at the end of a lane."""
        lane.queue_up(taken, at)
        self.bytes += len(taken.value or b"")

    def put_back(self, lane: Lane, taken: Taken, at: float) -> None:
        """Put a record back at the head of a lane."""
        lane.queue_first(taken, at)
        self.bytes += len(taken.value or b"")

    def take_next(self, lane: Lane) -> Taken | None:
        """Take out the record of a lane that may begin next, None when none may."""
        taken = lane.take_next()
        if taken is not None:
            self.bytes -= len(taken.value or b"")
        return taken

    def cut(self, lane: Lane) -> None:
        """Drop what a lane that is behind and may not send has queued, but its head: it is read again."""
        before = lane.queued_bytes
        lane.cut(_HELD_RECORDS)
        self.bytes -= before - lane.queued_bytes

    def is_overfull(self, lane: Lane) -> bool:
        """Return whether a live lane has more queued than one may."""
        return len(lane.queue) > self._limits.lane_records or lane.queued_bytes > self._limits.lane_bytes

    def has_room(self, lane: Lane) -> bool:
        """Return whether a lane that is behind may have another record queued."""
        return (
            len(lane.queue) < self.room(lane)
            and lane.queued_bytes < self._limits.lane_bytes
            and (self.bytes < self._limits.bytes or not lane.queue)
        )

    def wants_more(self, lane: Lane) -> bool:
        """Return whether a lane passed over records for which there is room now."""
        return lane.is_missing and len(lane.queue) <= self.room(lane) * _SLACK

    def room(self, lane: Lane) -> int:
        """Return how many records a lane that is behind may have queued."""
        gate = lane.gate
        waits = lane.not_before is not None or gate.is_suspect
        if waits or gate.holds(self._settings_of(lane.subscription_id)):
            return _HELD_RECORDS
        return self._limits.lane_records if lane.id[1] is None else _KEYS_RECORDS

    def room_bytes(self, lane: Lane) -> int:
        """Return the bytes of another reading of a lane, at least one: its head must come whatever is free."""
        free = self._limits.bytes - self.bytes
        return max(min(self._limits.lane_bytes - lane.queued_bytes, free), 1)
