"""Counts by day, written by the projection in the transaction that writes what they count."""

from datetime import date
from typing import Final

from sqlalchemy import ARRAY, BigInteger, Date, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from api.database import Base

EVERY: Final = ""  # subscription_id of the rows that count an organization's deliveries of one partition
_Count: Final = BigInteger


class CountsRow(Base):
    """One day of one subscription, or of all of an organization's in one partition of the log.

    `day` is the delivery's (UTC). `pending` to `held` count deliveries by their state now; `attempts`,
    `failed_attempts` and the durations count HTTP requests of those deliveries. `durations` is a histogram whose
    bounds are in api/stats/durations.py. Test sends do not count.
    """

    __tablename__ = "delivery_counts"
    __table_args__ = (Index("delivery_counts_by_day", "day"),)

    organization_id: Mapped[str] = mapped_column(Text, primary_key=True)
    subscription_id: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    partition: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    pending: Mapped[int] = mapped_column(_Count)
    retrying: Mapped[int] = mapped_column(_Count)
    success: Mapped[int] = mapped_column(_Count)
    failed: Mapped[int] = mapped_column(_Count)
    held: Mapped[int] = mapped_column(_Count)
    attempts: Mapped[int] = mapped_column(_Count)
    failed_attempts: Mapped[int] = mapped_column(_Count)
    duration_ms: Mapped[int] = mapped_column(_Count, comment="of all attempts together")
    durations: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
