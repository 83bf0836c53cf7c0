"""Replays and what each of them sends."""

from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import ARRAY, BigInteger, DateTime, Index, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api.database import Base

_Id: Final = Text(collation="C")
_Moment: Final = DateTime(timezone=True)
NOTIFIED: Final = "hookline_replays"  # the channel on which the runner hears of a new or cancelled one


class ReplaySource(StrEnum):
    """What a replay goes through: deliveries that have ended, or the log of events, whoever got them."""

    DELIVERIES = "deliveries"
    LOG = "log"


class ReplayState(StrEnum):
    """Where a replay stands: `finishing` has sent all and waits for outcomes."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHING = "finishing"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class ItemState(StrEnum):
    """Where one delivery of a replay stands: `queued` and `sent` are under way, the others are how it ended."""

    QUEUED = "queued"
    SENT = "sent"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    HELD = "held"  # the subscription was disabled meanwhile
    SKIPPED = "skipped"  # not sent: `detail` says why
    CANCELLED = "cancelled"


class Transformation(StrEnum):
    """How a replay's bodies look: as those of each delivery did at first, or as its subscription has them now."""

    ORIGINAL = "original"
    CURRENT = "current"


class ReplayRow(Base):
    """A set of deliveries that is sent again; one delivery's retry is a replay too (`is_retry`)."""

    __tablename__ = "replays"
    __table_args__ = (
        Index("replays_of_organization", "organization_id", "id"),
        Index(
            "jobs_of_organization", "organization_id", "created_at", "id", postgresql_where=text("is_retry IS false")
        ),
        Index("replays_unfinished", "state", "id", postgresql_where=text("finished_at IS NULL")),
    )

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    organization_id: Mapped[str] = mapped_column(Text)
    is_retry: Mapped[bool]
    state: Mapped[str] = mapped_column(Text)
    subscription_id: Mapped[str | None] = mapped_column(_Id)
    event_types: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    delivery_state: Mapped[str | None] = mapped_column(Text)
    since: Mapped[datetime | None] = mapped_column(_Moment)
    until: Mapped[datetime | None] = mapped_column(_Moment)
    rate_per_s: Mapped[float]
    payload: Mapped[str] = mapped_column(
        Text,
        server_default=Transformation.ORIGINAL.value,
        comment="original: as each delivery was sent; current: as its subscription has it now",
    )
    total: Mapped[int]
    sent: Mapped[int] = mapped_column(comment="this and the next five: items, as the runner counted them last")
    succeeded: Mapped[int]
    failed: Mapped[int]
    held: Mapped[int]
    skipped: Mapped[int]
    cancelled: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(_Moment)
    started_at: Mapped[datetime | None] = mapped_column(_Moment)
    finished_at: Mapped[datetime | None] = mapped_column(
        _Moment, comment="all has ended; a cancelled one may wait for what was sent"
    )
    source: Mapped[str] = mapped_column(
        Text, default=ReplaySource.DELIVERIES.value, server_default="deliveries", comment="deliveries or log"
    )
    offsets: Mapped[dict[str, dict[str, int]] | None] = mapped_column(
        JSONB(none_as_null=True), comment="as they were asked for"
    )
    filters: Mapped[str | None] = mapped_column(Text, comment="JSON, as schemas/filters writes it")
    positions: Mapped[dict[str, list[int]] | None] = mapped_column(
        JSONB(none_as_null=True), comment="of hookline.events, by partition (api/replays/positions.py)"
    )
    log_read: Mapped[int | None] = mapped_column(BigInteger, comment="offsets that it is past, of log_total")
    log_total: Mapped[int | None] = mapped_column(BigInteger)
    paused_at: Mapped[datetime | None] = mapped_column(_Moment)
    error: Mapped[str | None] = mapped_column(Text, comment="why it ended before its end")


class ReplayItemRow(Base):
    """One delivery of a replay. Of the items under way, a delivery has at most one: it is never sent twice at once."""

    __tablename__ = "replay_items"
    __table_args__ = (
        Index("replay_items_by_state", "replay_id", "state", "delivery_id"),
        Index(
            "replay_items_under_way",
            "delivery_id",
            unique=True,
            postgresql_where=text("state IN ('queued', 'sent')"),
        ),
    )

    replay_id: Mapped[str] = mapped_column(_Id, primary_key=True)
    delivery_id: Mapped[str] = mapped_column(_Id, primary_key=True)
    subscription_id: Mapped[str] = mapped_column(_Id)
    event_id: Mapped[str] = mapped_column(_Id)
    state: Mapped[str] = mapped_column(Text)
    detail: Mapped[str | None] = mapped_column(Text)
    sent_at: Mapped[datetime | None] = mapped_column(_Moment)
    finished_at: Mapped[datetime | None] = mapped_column(_Moment)
