"""What Prometheus can ask a projector. Labels are few and bounded."""

from prometheus_client import Counter, Gauge, Histogram

RECORDS = Counter("hookline_projected_records", "Records whose effect is in PostgreSQL.", ["topic"])
UNREADABLE = Counter("hookline_projection_unreadable", "Records that the projection could not read.", ["topic"])
QUARANTINED = Counter("hookline_projection_quarantined", "Records that the projection put into the quarantine.")
REFUSED = Counter("hookline_projection_refused_batches", "Batches refused: another projector had written them.")
DISABLED = Counter("hookline_subscriptions_disabled", "Subscriptions that the projection disabled.", ["reason"])
WARNED = Counter("hookline_subscriptions_warned", "Subscriptions that were half of the way to being disabled.")
RECOVERED = Counter("hookline_subscriptions_recovered", "Subscriptions that took deliveries again.")
BEHIND = Gauge("hookline_subscriptions_behind", "Subscriptions that are behind, by why.", ["reason"])
ZOMBIES = Counter("hookline_cursors_ignored", "Cursors written by somebody whose claim another one had taken.")
BATCH_SECONDS = Histogram(
    "hookline_projection_batch_seconds",
    "From a batch in memory to its commit.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60),
)
LAG_RECORDS = Gauge("hookline_projection_lag_records", "Records of a topic that are not in PostgreSQL.", ["topic"])
LAG_SECONDS = Gauge("hookline_projection_lag_seconds", "Age of the last record written while more wait, else 0.")
