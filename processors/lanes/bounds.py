"""How much of a partition may be unacked: beyond it no more of the partition is fetched."""

from collections.abc import Callable
from typing import Final

from processors.intake import Flow
from processors.lanes.lane import Share
from processors.lanes.limits import Limits

_RESUME_BELOW: Final = 0.5  # of the bounds: with less, a paused partition could run dry before the next poll


class Bounds:
    """Stops and starts partitions. What was fetched already still comes."""

    def __init__(self, limits: Limits, flow: Callable[[], Flow]) -> None:
        self._limits = limits
        self._flow = flow

    def stop_if_full(self, share: Share) -> None:
        """Stop a partition that has as much unacked as it may."""
        limits = self._limits
        if not share.is_paused and (len(share.acks) >= limits.share_records or share.bytes >= limits.share_bytes):
            share.is_paused = True
            self._flow().on_buffer_full(share.tp)

    def start_if_free(self, share: Share) -> None:
        """Start a stopped partition that has room again."""
        if share.is_paused and self._has_room(share):
            share.is_paused = False
            self._flow().on_buffer_drop(share.tp)

    def _has_room(self, share: Share) -> bool:
        most_records, most_bytes = self._limits.share_records, self._limits.share_bytes
        return len(share.acks) <= most_records * _RESUME_BELOW and share.bytes <= most_bytes * _RESUME_BELOW
