"""What a projector can be told, from `HOOKLINE_…` in the environment (and `DATABASE_URL`), or given."""

from datetime import timedelta

from pydantic import Field

from api.projection.disabling import Limits
from api.settings import DatabaseSettings


class ProjectorSettings(DatabaseSettings):
    """How the delivery log is written, how long it is kept, and when a subscription is disabled."""

    projector_group: str = "hookline-projector"
    """The Kafka consumer group of the projectors; their positions are in PostgreSQL, Kafka's copy is for monitoring."""
    projection_batch: int = Field(default=2000, ge=1, le=20_000)
    """Records that are written in one transaction at most."""
    log_retention_days: int = Field(default=90, ge=1, le=3650)
    """Days that events, deliveries, attempts and their counts are kept; what is older cannot be replayed."""
    disable_after_exhausted: int = Field(default=10, ge=1)
    """Deliveries in a row that were given up, after which a subscription is disabled."""
    disable_after_failed: int = Field(default=10, ge=1)
    """Failed attempts in a row, over at least `disable_after_hours`, after which a subscription is disabled."""
    disable_after_hours: float = Field(default=24.0, ge=0)
    """Hours that the failed attempts must span; a success between them starts the count anew."""

    @property
    def limits(self) -> Limits:
        """How much failure disables a subscription."""
        span = timedelta(hours=self.disable_after_hours)
        return Limits(exhausted=self.disable_after_exhausted, failed=self.disable_after_failed, span=span)
