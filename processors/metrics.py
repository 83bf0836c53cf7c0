"""What Prometheus can ask a worker or a mover. Labels are few and bounded: no ids, no URLs."""

from collections.abc import Mapping

from prometheus_client import Counter, Gauge, Histogram

EVENTS_ROUTED = Counter("hookline_events_routed", "Events whose deliveries are on the deliver topic.")
FILTERS_EVALUATED = Counter("hookline_filters_evaluated", "Subscriptions' filters asked about an event.", ["result"])
CLOUDEVENTS_CONVERTED = Counter("hookline_cloudevents_converted", "JSON CloudEvents that became events on the log.")
ATTEMPTS_MADE = Counter("hookline_attempts", "Attempts by what they came to.", ["state", "error_kind"])
RECORDS_QUARANTINED = Counter("hookline_records_quarantined", "Records that nobody can read.", ["stage"])
RECORDS_SKIPPED = Counter("hookline_records_skipped", "Delivery records that need not be sent.", ["why"])
ATTEMPT_SECONDS = Histogram(
    "hookline_attempt_duration_seconds",
    "From the start of an attempt to its outcome.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60),
)
END_TO_END_SECONDS = Histogram(
    "hookline_end_to_end_seconds",
    "From an event's creation to the end of a first attempt that succeeded.",
    buckets=(0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5, 10, 60),
)
LATE_SECONDS = Histogram(
    "hookline_retry_late_seconds",
    "How long after it was due a retry began.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600),
)
IN_FLIGHT = Gauge("hookline_in_flight", "Records being worked off now.", ["agent"])
WAITING = Gauge("hookline_waiting_in_memory", "Records read and not begun.", ["agent"])
LAG = Gauge("hookline_lag_records", "Records of a topic that are not acknowledged yet.", ["topic"])
FOLLOWED = Gauge(
    "hookline_followed_offset",
    "How far this worker has taken what it keeps of a topic in memory: the next offset of each partition.",
    ["topic", "partition"],
)
LANES_BEHIND = Gauge("hookline_behind", "Subscriptions and parked keys of this worker that are behind.", ["topic"])
WENT_BEHIND = Counter("hookline_went_behind", "Times that one went behind, by why.", ["topic", "reason"])
RECORDS_SCANNED = Counter("hookline_records_scanned", "Records read again for those that are behind.")
STALLED_SECONDS = Gauge("hookline_stalled_seconds", "Longest time that a partition with records made no progress.")
OVERDUE_SECONDS = Gauge("hookline_mover_overdue_seconds", "How long ago the oldest record not yet moved was due.")
TIER_WAITING = Gauge("hookline_mover_waiting_records", "Records of waiting tiers that a mover holds in memory.")
MOVED = Gauge("hookline_mover_moved_records", "Records moved on since the mover started.")


def note_followed(topic: str, places: Mapping[int, int]) -> None:
    """Show each partition's next offset; all before it was taken (producers/following.py)."""
    for partition, place in places.items():
        FOLLOWED.labels(topic=topic, partition=str(partition)).set(place)
