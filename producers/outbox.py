"""The transactional outbox: a record to Kafka is written with the change that it reports, and a relay sends it.

Either both are there or neither is, whatever fails between PostgreSQL and Kafka; the relay (producers/relay.py) sends
each row at least once. Writers hold a lock on the row that a record is about (its key) before they add to the outbox:
only then the ids of one key's rows rise in the order of their commits, which is the order in which they are sent.
"""

import base64
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    func,
    insert,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from producers.records import Outgoing
from schemas.headers import Headers
from schemas.topics import EVENT_TYPES

CHANNEL: Final = "hookline_outbox"  # PostgreSQL's NOTIFY, so that the relay need not wait for its next look

metadata = MetaData()
outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("topic", Text, nullable=False),
    Column("key", LargeBinary, nullable=True, comment="null: as it came, out of the quarantine"),
    Column("value", LargeBinary, nullable=True, comment="null is a tombstone"),
    Column("headers", JSONB, nullable=False, comment="[[name, base64 of the value], …]"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
Index("outbox_created_at", outbox.c.created_at)
Index("outbox_event_types", outbox.c.key, postgresql_where=outbox.c.topic == EVENT_TYPES)  # api/event_types/knowing.py


async def add_to_outbox(db: AsyncConnection | AsyncSession, record: Outgoing) -> None:
    """Add a record in the caller's transaction and wake the relay when it commits.

    The caller holds a lock on the row that `record.key` names (see above). A record without a key, as the quarantine
    holds some, has no order to keep. Raises ValueError for a tombstone without one: compaction goes by it.
    """
    if record.key is None and record.value is None:
        raise ValueError("a tombstone in the outbox has a key")
    added = insert(outbox).values(
        topic=record.topic, key=record.key, value=record.value, headers=headers_as_json(record.headers)
    )
    # One statement, so that a write costs one round trip. NOTIFYs of one transaction are delivered as one.
    await db.execute(select(func.pg_notify(CHANNEL, "")).add_cte(added.cte("added")))


def headers_as_json(headers: Headers) -> list[list[str]]:
    """Return headers as the column keeps them: their values are bytes, which JSON cannot hold."""
    return [[name, base64.b64encode(value).decode()] for name, value in headers]


def headers_from_json(kept: list[list[str]]) -> Headers:
    """Return the headers that `headers_as_json` wrote."""
    return [(name, base64.b64decode(value)) for name, value in kept]
