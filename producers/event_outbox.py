"""The transactional outbox of a service: an event is written with the row that it reports, in the service's database.

outbox = EventOutbox(source="/billing")                      # its table is in outbox.metadata
event_id = outbox.add(session, type="user.created", organization_id="org_789", data={"id": user.id})
session.commit()                                             # both are there, or neither

`relay_of` sends what was committed (relay.py), in the service or by `hookline outbox relay`. An event is checked when
it is added: what does not fit raises there, and the caller decides about the transaction.
"""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final, Unpack, overload

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
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
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement

from producers.making import EventFields, EventMaking
from producers.outbox import headers_as_json
from producers.outbox_rows import Connection as RelayConnection
from producers.outbox_rows import Row, row_of
from producers.records import Outgoing
from producers.relay import BATCH_BYTES, BYTES_BEFORE, Relay
from producers.setting_aside import SetAside
from producers.settings import KafkaSettings
from schemas.catalogue import BUILT_IN, Catalogue
from schemas.ids import EventId

TABLE: Final = "hookline_event_outbox"
KEEP_SENT: Final = timedelta(days=1)  # for whoever asks what was sent; nothing of ours reads it
_WINDOW: Final = 2000  # of the oldest rows, in which a relay looks for keys that no other one has
_BATCH: Final = 500
_SWEPT_AT_ONCE: Final = 5000


class EventOutbox:
    """Writes events into a table of the service's own database (PostgreSQL), in the caller's transaction."""

    def __init__(
        self,
        *,
        source: str,
        table: str = TABLE,
        metadata: MetaData | None = None,
        catalogue: Catalogue = BUILT_IN,
    ) -> None:
        """Define the table, in `metadata` if the service's own is given: its Alembic then makes it.

        `source` is CloudEvents' source attribute, a URI reference that names the service.
        """
        self.metadata = metadata if metadata is not None else MetaData()
        self.table = Table(
            table,
            self.metadata,
            Column("id", BigInteger, Identity(always=True), primary_key=True),
            Column("topic", Text, nullable=False),
            Column("key", LargeBinary, nullable=False),
            Column("value", LargeBinary, nullable=False),
            Column("headers", JSONB, nullable=False, comment="[[name, base64 of the value], …]"),
            Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
            Column("sent_at", DateTime(timezone=True), nullable=True, comment="when Kafka had it"),
        )
        Index(f"{table}_unsent", self.table.c.id, postgresql_where=self.table.c.sent_at.is_(None))
        Index(f"{table}_sent", self.table.c.sent_at, postgresql_where=self.table.c.sent_at.is_not(None))
        self._making = EventMaking(source=source, catalogue=catalogue)

    @overload
    def add(self, db: Session | Connection, **event: Unpack[EventFields]) -> EventId: ...
    @overload
    def add(self, db: AsyncSession | AsyncConnection, **event: Unpack[EventFields]) -> Awaitable[EventId]: ...

    def add(
        self, db: Session | Connection | AsyncSession | AsyncConnection, **event: Unpack[EventFields]
    ) -> EventId | Awaitable[EventId]:
        """Add an event in the caller's transaction; return its id, or what is awaited for it.

        `event` is what `Publisher.publish` takes. Events of one key are sent in the order of their commits: a
        transaction that adds one waits for others that have added one of that key, so add them last and always in the
        same order. Raises InvalidInput with a pointer.
        """
        event_id, record = self._making.made(**event)
        if isinstance(db, AsyncSession | AsyncConnection):
            return db.run_sync(self._insert, event_id, record)
        return self._insert(db, event_id, record)

    def _insert(self, db: Session | Connection, event_id: EventId, record: Outgoing) -> EventId:
        key = record.key or b""
        if (
            key != event_id.encode()
        ):  # ids are drawn in the order of commits, which only a lock until then makes sure of
            db.execute(select(func.pg_advisory_xact_lock(_lock_of(self.table.name, key))))
        added = insert(self.table).values(
            topic=record.topic, key=record.key, value=record.value, headers=headers_as_json(record.headers)
        )
        db.execute(select(func.pg_notify(self.table.name, "")).add_cte(added.cte("added")))
        return event_id

    def ddl(self) -> str:
        """Return the SQL that makes the table, for services whose migrations are not Alembic's."""
        indexes = [CreateIndex(index) for index in sorted(self.table.indexes, key=lambda index: str(index.name))]
        dialect = postgresql.dialect()  # type: ignore[no-untyped-call] # SQLAlchemy's own
        made: list[ExecutableDDLElement] = [CreateTable(self.table), *indexes]
        return "".join(f"{str(each.compile(dialect=dialect)).strip()};\n" for each in made)

    def relay_of(
        self, database_url: str, kafka: KafkaSettings | None = None, *, keep_sent: timedelta = KEEP_SENT
    ) -> Relay:
        """Return what sends this table's events: `async with relay.running(): …`, or `await relay.run()`.

        Several may run at once, in as many processes as there are of the service. `database_url` is libpq's or
        SQLAlchemy's; raises ValueError when it is another database's. `kafka` None is `KAFKA_…` of the environment.
        """
        taking = Shared(self.table.name, schema=self.table.schema, keep_sent=keep_sent)
        return Relay(database_url, kafka or KafkaSettings(), taking=taking)


class Shared:
    """Rows for several relays at once: each claims keys, by locking their oldest unsent rows (SKIP LOCKED).

    Whoever has a key's oldest row has the key, until its transaction ends: others skip that row, and with it the key.
    So the order of a key is kept with any number of relays. Sent rows are marked in the same transaction.
    """

    def __init__(self, table: str, *, schema: str | None = None, keep_sent: timedelta) -> None:
        self.channel = table
        self._keep_sent = keep_sent
        name = ".".join('"' + each.replace('"', '""') + '"' for each in (schema, table) if each is not None)
        oldest = f"""oldest AS (
SELECT id, topic, key FROM {name}
WHERE sent_at IS NULL AND (topic, key) NOT IN (SELECT * FROM unnest($1::text[], $2::bytea[]))
ORDER BY id LIMIT {_WINDOW})"""  # noqa: S608 - the table's name, quoted
        self._claim = f"""
WITH {oldest}, heads AS (SELECT min(id) AS id FROM oldest GROUP BY topic, key ORDER BY min(id))
SELECT id FROM {name} WHERE id IN (SELECT id FROM heads) AND sent_at IS NULL ORDER BY id LIMIT {_BATCH}
FOR UPDATE SKIP LOCKED"""  # noqa: S608 - the table's name, quoted
        # By keys, no lock: who has their heads has them. A row behind the window comes with a later batch: to look for
        # rows of a few rare keys in all of a million that wait takes seconds.
        self._rows = f"""
WITH {oldest}, claimed AS (SELECT topic, key FROM {name} WHERE id = ANY($3::bigint[]))
SELECT id, topic, key, value, headers::text FROM (
SELECT *, {BYTES_BEFORE} FROM {name} JOIN claimed USING (topic, key)
WHERE sent_at IS NULL AND id <= (SELECT max(id) FROM oldest) ORDER BY id LIMIT {_BATCH}) AS next
WHERE bytes_before < {BATCH_BYTES} ORDER BY id"""  # noqa: S608 - the same
        self._mark = f"UPDATE {name} SET sent_at = now() WHERE id = ANY($1::bigint[])"  # noqa: S608 - the same
        self._sweep = f"""
DELETE FROM {name} WHERE id IN (
SELECT id FROM {name} WHERE sent_at < now() - $1::interval LIMIT {_SWEPT_AT_ONCE} FOR UPDATE SKIP LOCKED)"""  # noqa: S608 - the same

    async def may_begin(self, connection: RelayConnection) -> bool:  # noqa: ARG002 - as the other way of taking
        """Return True: nobody waits for another relay."""
        return True

    @asynccontextmanager
    async def batch(self, connection: RelayConnection, aside: SetAside) -> AsyncIterator[list[Row]]:
        """Give rows of keys that are this relay's until the block ends."""
        left_alone = aside.places()
        async with connection.transaction():
            heads = [found["id"] for found in await connection.fetch(self._claim, *left_alone)]
            yield [row_of(found) for found in await connection.fetch(self._rows, *left_alone, heads)] if heads else []

    async def finish(self, connection: RelayConnection, rows: Sequence[Row]) -> None:
        """Mark rows that Kafka has."""
        await connection.execute(self._mark, [row.id for row in rows])

    async def sweep(self, connection: RelayConnection) -> bool:
        """Delete some of what was sent long ago; return whether there may be more."""
        done: str = await connection.execute(self._sweep, self._keep_sent)  # such as DELETE 5000
        return int(done.rpartition(" ")[2]) >= _SWEPT_AT_ONCE


def _lock_of(table: str, key: bytes) -> int:
    """Return the advisory lock of a key: two keys that share one only wait for each other."""
    return int.from_bytes(hashlib.sha256(table.encode() + b"/" + key).digest()[:8], "big", signed=True)
