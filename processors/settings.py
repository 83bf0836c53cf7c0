"""What a worker and a mover can be told, from `HOOKLINE_…` in the environment."""

from datetime import timedelta
from pathlib import Path
from typing import Final

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from processors.retries import MOST_JITTER
from producers.parsed_settings import Ports, RetryWaits
from producers.secret_settings import given_sealer
from schemas.sealing import Sealer
from schemas.urls import PORTS
from schemas.waits import DEFAULT_WAITS, parse_schedule

LONGEST_TIMEOUT: Final = timedelta(seconds=60)  # what a subscription may ask for


class WorkerSettings(BaseSettings):
    """How deliveries are routed, sent and retried."""

    model_config = SettingsConfigDict(env_prefix="HOOKLINE_", extra="ignore", arbitrary_types_allowed=True)

    retry_waits: RetryWaits = parse_schedule(DEFAULT_WAITS)
    """The waits between attempts, 1 to 20 durations between commas; one attempt more than waits. The preset
    `1m,2m,4m,8m,16m` makes 5 retries over half an hour."""
    retry_jitter: float = Field(default=0.04, ge=0.0, le=MOST_JITTER)
    """Up to which part of it a wait may be made longer, so that what failed together is not tried again together; 0
    turns it off."""
    master_keys: SecretStr | None = None
    """The keys that open sealed secrets, `id:base64` between commas, the sealing one first."""
    master_keys_file: Path | None = None
    """A file that holds `master_keys`, when the environment must not."""
    development: bool = False
    """Allow endpoints on this machine, plain http and every port. Never on in production."""
    ports: Ports = PORTS
    """Ports that are dialled, whatever an older subscription's URL says."""
    worker_slot: str = Field(default="0", pattern=r"^[A-Za-z0-9_-]{1,40}$")
    """This process's place among the workers (a StatefulSet's ordinal): kept over restarts, taken by one at a time."""
    worker_group: str = "hookline-worker"
    """The Kafka consumer group of the workers."""
    mover_group: str = "hookline-mover"
    """The Kafka consumer group of the movers."""
    most_in_flight: int = Field(default=512, ge=1, le=100_000)
    """Requests that one worker has open at once to endpoints that are live; as long as `soft_limit_s` at most each."""
    most_behind: int = Field(default=1024, ge=1, le=100_000)
    """Requests that it has open beside them to endpoints that are behind: slow, failing, or catching up."""
    most_replaying: int = Field(default=50, ge=1, le=100_000)
    """Requests of replays that it has open beside them, live, and as many behind."""
    most_per_subscription: int = Field(default=16, ge=1, le=1000)
    """Requests open at once to one subscription, unless it has a bound of its own."""
    soft_limit_s: float = Field(default=2.0, gt=0.0, le=60.0)
    """How long a subscription may take a live place, or leave a delivery waiting, before it is behind."""
    breaker_failure_share: float = Field(default=0.5, gt=0.0, le=1.0)
    """The share of a subscription's attempts of the last minute that must fail for its breaker to open."""
    breaker_least_attempts: int = Field(default=100, ge=1)
    """How many attempts of the last minute that takes at least."""
    breaker_probe_every_s: float = Field(default=5.0, gt=0.0, le=3600.0)
    """How often an endpoint whose breaker is open is tried, by one delivery."""
    most_queued_bytes: int = Field(default=64 * 1024 * 1024, ge=1024)
    """Bytes of deliveries that wait in a worker's memory; what does not fit is read again when its turn comes."""
    most_held_records: int = Field(default=5000, ge=10)
    """Records of one partition that may be unacknowledged before a worker stops reading that partition."""
    most_held_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    """The same in bytes of their values."""
    most_held_events: int = Field(default=50_000, ge=10)
    """Events of one partition that a worker keeps in memory before it stops reading it: what lets organizations take
    turns. An event behind more of another organization's waits for its place among them."""
    most_held_event_bytes: int = Field(default=128 * 1024 * 1024, ge=1024)
    """The same in bytes, of all partitions together; one alone may have half. Beside them, an event costs 2 KB."""
    session_timeout_s: float = Field(default=6.0, ge=6.0, le=60.0)
    """How long a killed worker's partitions stand still when it does not come back."""
    stop_within_s: float = Field(default=25.0, ge=0.0, le=300.0)
    """How long a stopping worker lets open requests end."""
    stalled_after_s: float = Field(default=180.0, ge=5.0)
    """A worker whose partitions have records and make no progress for this long ends itself."""
    metrics_host: str = "127.0.0.1"
    """Where Prometheus finds `/metrics` of a worker or mover."""
    metrics_port: int | None = None
    """Its port; none is opened without one, and 0 picks a free one, which the log names."""
    partitions: int = Field(default=8, ge=1, le=1000)
    """Partitions of every topic, fixed when they are created (`hookline topics apply`)."""
    replication_factor: int = Field(default=1, ge=1, le=7)
    """Copies of every partition; production wants 3."""
    events_retention_days: int = Field(default=14, ge=1, le=3650)
    """How long events, deliveries, outcomes, dead letters and quarantined records stay on their topics."""

    def sealer(self) -> Sealer:
        """Return what opens secrets; raises UnfitSettings when the master key is missing or unfit."""
        return given_sealer(self.master_keys, self.master_keys_file)
