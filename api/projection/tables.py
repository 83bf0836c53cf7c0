"""How far the projection is, and what it knows of each subscription's health."""

from datetime import datetime
from typing import Final

from sqlalchemy import BigInteger, DateTime, Text
from sqlalchemy.orm import Mapped, mapped_column

from api.database import Base

_Moment: Final = DateTime(timezone=True)


class PositionRow(Base):
    """The next offset of one partition; moved on in the transaction that writes what was read, or not at all."""

    __tablename__ = "log_positions"

    topic: Mapped[str] = mapped_column(Text, primary_key=True)
    partition: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    next_offset: Mapped[int] = mapped_column(BigInteger)
    cluster_id: Mapped[str] = mapped_column(Text)
    topic_id: Mapped[str] = mapped_column(Text, comment="another one: the topic was made anew, its offsets too")
    updated_at: Mapped[datetime] = mapped_column(_Moment)


class HealthRow(Base):
    """What decides whether a subscription is disabled: its failures in a row, in the order of the log."""

    __tablename__ = "subscription_health"

    subscription_id: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    organization_id: Mapped[str] = mapped_column(Text)
    failed_attempts: Mapped[int] = mapped_column(BigInteger, comment="in a row")
    failing_since: Mapped[datetime | None] = mapped_column(_Moment, comment="the first of them")
    exhausted: Mapped[int] = mapped_column(BigInteger, comment="deliveries in a row that were given up")
    last_attempt_at: Mapped[datetime | None] = mapped_column(_Moment)
    last_success_at: Mapped[datetime | None] = mapped_column(_Moment)
    last_error: Mapped[str | None] = mapped_column(Text)
