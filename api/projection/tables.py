"""How far the projection is, and what it knows of each subscription: its health, and where it stands when behind."""

from datetime import datetime
from typing import Final

from sqlalchemy import BigInteger, DateTime, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from api.database import Base

_Moment: Final = DateTime(timezone=True)
_Id: Final = Text(collation="C")


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

    subscription_id: Mapped[str] = mapped_column(_Id, primary_key=True)
    organization_id: Mapped[str] = mapped_column(Text)
    failed_attempts: Mapped[int] = mapped_column(BigInteger, comment="in a row")
    failing_since: Mapped[datetime | None] = mapped_column(_Moment, comment="the first of them")
    exhausted: Mapped[int] = mapped_column(BigInteger, comment="deliveries in a row that were given up")
    last_attempt_at: Mapped[datetime | None] = mapped_column(_Moment)
    last_success_at: Mapped[datetime | None] = mapped_column(_Moment)
    last_error: Mapped[str | None] = mapped_column(Text)
    warned_at: Mapped[datetime | None] = mapped_column(_Moment, comment="void when it was enabled later")
    troubled_since: Mapped[datetime | None] = mapped_column(
        _Moment, comment="warned or disabled, and without a success since"
    )


class CursorRow(Base):
    """Where a subscription stands that is behind, or one key of it, as `hookline.behind` has it.

    It may outlive its subscription, or come after it is gone: whoever shows it asks for the subscription.
    """

    __tablename__ = "cursors"
    __table_args__ = (Index("cursors_of_partition", "partition", "reason", postgresql_where=text("key = ''")),)

    subscription_id: Mapped[str] = mapped_column(_Id, primary_key=True)
    topic: Mapped[str] = mapped_column(Text, primary_key=True, comment="whose deliveries wait")
    key: Mapped[str] = mapped_column(
        Text, primary_key=True, comment="of an ordered delivery that waits for its retry; empty: the subscription's own"
    )
    organization_id: Mapped[str] = mapped_column(Text)
    partition: Mapped[int]
    next: Mapped[int] = mapped_column(BigInteger, comment="the offset that is not finished")
    reason: Mapped[str] = mapped_column(Text)
    since: Mapped[datetime] = mapped_column(_Moment)
    not_before: Mapped[datetime | None] = mapped_column(_Moment)
    attempt: Mapped[int]
    epoch: Mapped[int] = mapped_column(BigInteger)
    writer: Mapped[str] = mapped_column(Text)


class FilterErrorsRow(Base):
    """How often a subscription's filters failed, as one version of it had them."""

    __tablename__ = "filter_errors"

    subscription_id: Mapped[str] = mapped_column(_Id, primary_key=True)
    subscription_version: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, autoincrement=False, comment="whose filters failed"
    )
    organization_id: Mapped[str] = mapped_column(Text)
    count: Mapped[int] = mapped_column(BigInteger)
    last_error: Mapped[str] = mapped_column(Text)
    last_event_id: Mapped[str] = mapped_column(Text)
    last_at: Mapped[datetime] = mapped_column(_Moment)


class ClaimRow(Base):
    """Who writes the cursors of a partition: what others write is ignored."""

    __tablename__ = "cursor_claims"

    partition: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epoch: Mapped[int] = mapped_column(BigInteger)
    writer: Mapped[str] = mapped_column(Text)
    since: Mapped[datetime] = mapped_column(_Moment)
