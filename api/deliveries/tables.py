"""The tables of the delivery log, partitioned by day on `at`, the time under which a row is filed (schemas/ids.py).

The days' tables are in the schema `days` (api/projection/days.py makes and drops them), so that what is listed beside
them stays readable. Ids are compared by their bytes (COLLATE "C"): that is the order of their time. Only the projection
writes here, and POST …/test, whose event is on no topic.
"""

from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import ARRAY, BigInteger, DateTime, Index, LargeBinary, Text, literal_column, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api.database import Base

_BY_DAY: Final = {"postgresql_partition_by": "RANGE (at)"}
_Id: Final = Text(collation="C")
_Moment: Final = DateTime(timezone=True)


# What comes after the order is there for filters put together: PostgreSQL judges it in the index and reads only rows
# that are shown. Without it, a subscription that never got one type was looked through row by row, 70,000 of them in
# 0.5 s; with it in 10 ms. It costs room (the indexes are 1.6 times as large), and when rows are written no time that
# could be measured.
_IN_ORDER: Final = ("organization_id", "at", "id")
_CAME_TO: Final = ("state", "status", "error_kind")


def _in_order_of(first: str, *judged: str) -> tuple[str, ...]:
    return ("organization_id", first, "at", "id", *judged)


# Every four digits in a row of an event's id, from the fifth on (api/deliveries/event_ids.py). There is no pg_trgm
# everywhere, and for hexadecimal digits none is needed. Measured: 25 µs and 0.5 KB an event.
_FOURS: Final = ", ".join(f"substr(id, {start}, 4)" for start in range(9, 34))
EVENT_DIGITS: Final = literal_column(f"ARRAY[{_FOURS}]", ARRAY(Text))


class DeliveryState(StrEnum):
    """Where a delivery stands in its current round. `sending` is derived: due, and not yet reported."""

    PENDING = "pending"
    SENDING = "sending"
    RETRYING = "retrying"
    SUCCESS = "success"
    FAILED = "failed"
    HELD = "held"


class EventRow(Base):
    """An event and the bytes of its body, once, however many subscriptions it went to."""

    __tablename__ = "events"
    __table_args__ = (
        Index("events_of_organization", "organization_id", "at", "id"),
        Index("events_by_type", "organization_id", "type", "at", "id"),
        Index("events_by_digits", text(f"(ARRAY[{_FOURS}])"), postgresql_using="gin"),
        Index("events_by_source_id", "organization_id", "source_id", postgresql_where=text("source_id IS NOT NULL")),
        Index("events_by_place", "organization_id", "partition", "offset", "at", "type"),  # for replays of the log
        _BY_DAY,
    )

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    at: Mapped[datetime] = mapped_column(_Moment, primary_key=True)
    organization_id: Mapped[str] = mapped_column(Text)
    type: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(_Moment, comment="as the publisher says")
    key: Mapped[str | None] = mapped_column(Text)
    source_id: Mapped[str | None] = mapped_column(Text)
    source: Mapped[str | None] = mapped_column(Text, comment="CloudEvents' attribute; null: its publisher did not say")
    body: Mapped[bytes] = mapped_column(LargeBinary, comment="what every subscriber receives")
    traceparent: Mapped[str | None] = mapped_column(Text)
    partition: Mapped[int] = mapped_column(comment="of hookline.events; -1: on no topic, a test")
    offset: Mapped[int] = mapped_column("offset", BigInteger)


class DeliveryRow(Base):
    """One event owed to one subscription, as its current round stands."""

    __tablename__ = "deliveries"
    __table_args__ = (
        Index("deliveries_of_organization", *_IN_ORDER),
        Index("deliveries_by_subscription", *_in_order_of("subscription_id", "event_type", *_CAME_TO)),
        Index("deliveries_by_event_type", *_in_order_of("event_type", "state", "status")),
        Index(
            "deliveries_by_state",
            *_in_order_of("state", "subscription_id", "event_type", "status", "error_kind"),
            postgresql_where=text("state <> 'success'"),
        ),
        Index("deliveries_by_status", *_in_order_of("status", "event_type", "state")),
        Index(
            "deliveries_by_error_kind",
            *_in_order_of("error_kind", "subscription_id", "event_type", "state", "status"),
            postgresql_where=text("error_kind IS NOT NULL"),
        ),
        Index("deliveries_of_event", "event_id", "at"),
        Index(
            "deliveries_waiting",
            *("subscription_id", "state", "round", "at", "id"),
            postgresql_where=text("state IN ('pending', 'retrying', 'held')"),
        ),
        _BY_DAY,
    )

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    at: Mapped[datetime] = mapped_column(_Moment, primary_key=True, comment="the event's")
    organization_id: Mapped[str] = mapped_column(Text)
    subscription_id: Mapped[str] = mapped_column(_Id)
    event_id: Mapped[str] = mapped_column(_Id)
    event_type: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, comment="pending, retrying, success, failed or held")
    round: Mapped[str] = mapped_column(_Id, comment="0, or the id of the replay that sends it now")
    attempts: Mapped[int] = mapped_column(comment="made in this round")
    status: Mapped[int | None] = mapped_column(comment="of the last answer")
    error_kind: Mapped[str | None] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)
    duration_ms: Mapped[int | None] = mapped_column(BigInteger, comment="of the last attempt")
    created_at: Mapped[datetime] = mapped_column(_Moment, comment="when the event happened")
    due_at: Mapped[datetime] = mapped_column(
        _Moment, comment="when the attempt that comes next is due, or the last was"
    )
    last_attempt_at: Mapped[datetime | None] = mapped_column(_Moment)
    finished_at: Mapped[datetime | None] = mapped_column(_Moment, comment="success, failed or held in this round")
    is_test: Mapped[bool]
    key: Mapped[str | None] = mapped_column(Text)
    sequence: Mapped[int] = mapped_column(BigInteger)
    transformation_version: Mapped[int]
    event_partition: Mapped[int]
    event_offset: Mapped[int] = mapped_column(BigInteger)
    traceparent: Mapped[str | None] = mapped_column(Text)


class AttemptRow(Base):
    """One HTTP request, or a `held` outcome that made none. Signature and secret headers came masked."""

    __tablename__ = "attempts"
    __table_args__ = (Index("attempts_of_delivery", "delivery_id", "at"), _BY_DAY)

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    at: Mapped[datetime] = mapped_column(_Moment, primary_key=True)
    organization_id: Mapped[str] = mapped_column(
        Text, server_default="", comment="the delivery's; empty: of a delivery that the log did not have"
    )
    delivery_id: Mapped[str] = mapped_column(_Id)
    round: Mapped[str] = mapped_column(_Id)
    attempt: Mapped[int] = mapped_column(comment="from 1 within the round; 0: held when it was routed")
    state: Mapped[str] = mapped_column(Text, comment="success, retrying, failed or held")
    status: Mapped[int | None]
    error_kind: Mapped[str | None] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime] = mapped_column(_Moment)
    due_at: Mapped[datetime] = mapped_column(_Moment)
    duration_ms: Mapped[int] = mapped_column(BigInteger)
    next_attempt_at: Mapped[datetime | None] = mapped_column(_Moment)
    url: Mapped[str | None] = mapped_column(Text)
    address: Mapped[str | None] = mapped_column(Text)
    request_headers: Mapped[dict[str, str] | None] = mapped_column(JSONB)
    response_headers: Mapped[dict[str, str] | None] = mapped_column(JSONB)
    response_body: Mapped[bytes | None] = mapped_column(LargeBinary)
    response_truncated: Mapped[bool]
    body_bytes: Mapped[int] = mapped_column(BigInteger)
    subscription_version: Mapped[int] = mapped_column(BigInteger)
    worker: Mapped[str] = mapped_column(Text)
    transformation_version: Mapped[int] = mapped_column(server_default="0", comment="of what was sent; -1: nothing was")
