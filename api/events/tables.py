"""Which id of a publisher's has become which event: POST /events is idempotent by it for 7 days."""

from datetime import datetime
from typing import Final

from sqlalchemy import DateTime, Index, LargeBinary, Text
from sqlalchemy.orm import Mapped, mapped_column

from api.database import Base

_Moment: Final = DateTime(timezone=True)


class EventClaimRow(Base):
    """An id that a publisher brought: claimed before Kafka has the event, produced after. A repeat resumes it."""

    __tablename__ = "event_claims"
    __table_args__ = (Index("event_claims_created_at", "created_at"),)

    organization_id: Mapped[str] = mapped_column(Text, primary_key=True)
    source_id: Mapped[str] = mapped_column(Text, primary_key=True)
    event_id: Mapped[str] = mapped_column(Text)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary, comment="SHA-256 of what was published under it")
    created_at: Mapped[datetime] = mapped_column(_Moment)
    produced_at: Mapped[datetime | None] = mapped_column(_Moment)
