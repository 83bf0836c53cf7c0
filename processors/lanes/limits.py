"""What the dispatcher of one topic may use."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the dispatcher of one topic may use. `soft_s` is how long a subscription may keep a live place waiting.

    `live` and `behind` bound open requests, `cap` those of one subscription; `lane_records` and `lane_bytes` what one
    has queued, `bytes` what all have; `share_records` and `share_bytes` what of one partition may be unacked;
    `held_for_s` is how long a record may wait before it is given to replay, its topic being about to forget it.
    """

    live: int
    behind: int
    cap: int
    soft_s: float = 2.0
    lane_records: int = 256
    lane_bytes: int = 1024 * 1024
    bytes: int = 64 * 1024 * 1024
    share_records: int = 5000
    share_bytes: int = 16 * 1024 * 1024
    held_for_s: float = 13 * 86_400.0
