"""What the API counts, for Prometheus; one registry an app, so that two apps in one process do not meet."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, PlatformCollector, ProcessCollector

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The API's metrics. Labels are route templates and catalogue names, never what a caller made up."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.request_seconds = Histogram(
            "hookline_api_request_seconds",
            "Time from a request's headers to the end of its answer.",
            ("method", "route", "status"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.events = Counter(
            "hookline_api_events",
            "Events that POST /events handed to Kafka, by what came of it (published, failed, refused).",
            ("outcome",),
            registry=self.registry,
        )
        self.limits_without_redis = Counter(
            "hookline_api_limits_without_redis",
            "What was counted against rate limits by this process alone, because Redis was away.",
            registry=self.registry,
        )
        for outcome in ("published", "failed", "refused"):
            self.events.labels(outcome)
