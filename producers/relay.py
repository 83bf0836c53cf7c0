"""The relay: what is in an outbox goes to Kafka, in order per key, at least once.

How rows are taken, and what becomes of those that were sent, is said by a `Taking`; all else is here. A service's own
outbox is taken by as many relays as there are processes of it, each with keys of its own for a batch, and what was sent
is marked (`Shared` in event_outbox.py). Hookline's (`Alone`) is taken by one, while others stand by: it holds an
advisory lock in PostgreSQL for as long as its connection lives, and deletes what was sent. Its topics are compacted,
whose readers want one writer, and its rows hold sealed secrets, which must not stay.

Rows go in the order of their ids. A lower id can become visible after a higher one (its transaction took longer), but
never for the same key: writers hold a lock that the key names, so a key's next id is drawn after its last one has
committed. The relay therefore remembers no position: whatever is in the table is still to be sent.

Compaction keeps the last record of a key, so a relay that lost its lock must not write after the one that took over. It
looks for its connection while it waits for the brokers, drops what it has not sent when that is gone, and lets no
record wait for longer than `PATIENCE_S`. What remains is a process frozen in the middle of a send for longer than
PostgreSQL keeps its connection, with its bytes already on the wire: readers of the topic ignore a version older than
the one they have.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Final, Protocol, Self

import asyncpg
import structlog

from producers.database_urls import libpq_url
from producers.errors import BrokersAway, ProducerClosed, ProducingError, QueueFull
from producers.outbox import CHANNEL
from producers.outbox_rows import Connection, Row, row_of, send_all
from producers.postgres import AWAY
from producers.records import RecordProducer, ReportThread
from producers.setting_aside import Place, SetAside
from producers.settings import KafkaSettings

log = structlog.get_logger("producers.relay")

PATIENCE_S: Final = 5.0  # how long a record may wait for a broker before the batch is tried again
LOCK: Final = 0x686F6F6B_72656C79  # "hookrely", any number that nobody else uses
_BATCH: Final = 500  # rows; a row is a few KB
BATCH_BYTES: Final = 16 * 1024 * 1024  # of values, and what is over it by the last row
_LOOK_EVERY_S: Final = 1.0  # when no NOTIFY comes: it is lost with the connection of whoever listened
_STAND_BY_S: Final = 0.5  # between two tries to take the lock
_QUERY_TIMEOUT_S: Final = 3.0
_SHORTEST_BACKOFF_S: Final = 0.1
_LONGEST_BACKOFF_S: Final = 1.0
_SAY_OTHER_AFTER_S: Final = 30.0  # a server that restarts refuses in several ways one after another
_SWEEP_EVERY_S: Final = 60.0
_FAILED_AGAIN_S: Final = 5.0  # after what is no matter of waiting, such as a certificate that is not there
# PostgreSQL drops a relay whose machine is gone after 5 + 3 × 2 s, and with it the lock; longer than a heartbeat takes
# to fail, so that the old relay has noticed before the next one may begin.
_KEEPALIVE: Final = {"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "2", "tcp_keepalives_count": "3"}

_NOT_NOW: Final = (BrokersAway, QueueFull, ProducerClosed)  # no judgement on the record

BYTES_BEFORE: Final = "sum(coalesce(length(value), 0)) OVER (ORDER BY id) - coalesce(length(value), 0) AS bytes_before"
_NEXT_ROWS: Final = f"""
SELECT id, topic, key, value, headers FROM (
SELECT *, {BYTES_BEFORE} FROM outbox
WHERE key IS NULL OR (topic, key) NOT IN (SELECT * FROM unnest($1::text[], $2::bytea[]))
ORDER BY id LIMIT {_BATCH}) AS next WHERE bytes_before < {BATCH_BYTES} ORDER BY id"""  # noqa: S608 - numbers of ours
_DELETE_ROWS: Final = "DELETE FROM outbox WHERE id = ANY($1::bigint[])"


class Taking(Protocol):
    """How a relay takes rows; each method runs on the relay's own connection."""

    channel: str
    """Where PostgreSQL notifies of new rows."""

    async def may_begin(self, connection: Connection) -> bool:
        """Return whether this relay may send, as long as the connection lives; asked again when it may not."""

    def batch(self, connection: Connection, aside: SetAside) -> AbstractAsyncContextManager[list[Row]]:
        """Give rows that are this relay's alone within the block, a key's from its oldest on; none of `aside`."""

    async def finish(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Note, within the block, that Kafka has these rows."""

    async def sweep(self, connection: Connection) -> bool:
        """Take away some of what is kept no longer, once a minute; return whether to go on with it at once."""


class Alone:
    """The rows of Hookline's own outbox, for one relay at a time."""

    channel = CHANNEL

    async def may_begin(self, connection: Connection) -> bool:
        """Return whether this connection has the lock."""
        return bool(await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK))

    @asynccontextmanager
    async def batch(self, connection: Connection, aside: SetAside) -> AsyncIterator[list[Row]]:
        """Give the oldest rows."""
        yield [row_of(found) for found in await connection.fetch(_NEXT_ROWS, *aside.places())]

    async def finish(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Delete what Kafka has."""
        await connection.execute(_DELETE_ROWS, [row.id for row in rows])

    async def sweep(self, connection: Connection) -> bool:  # noqa: ARG002 - as the other way of taking
        """Leave what is there: all of it is to be sent."""
        return False


class Relay:
    """Sends what is in the outbox until it is stopped; whatever is away, it goes on by itself when it is back."""

    def __init__(
        self, database_url: str, kafka: KafkaSettings, *, patience_s: float = PATIENCE_S, taking: Taking | None = None
    ) -> None:
        """Prepare; nothing is connected before `run`.

        `database_url` is libpq's or SQLAlchemy's; raises ValueError for one that is not PostgreSQL's.
        """
        self._database_url = libpq_url(database_url)
        self._kafka = kafka
        self._taking = taking or Alone()
        self._swept_at = time.monotonic()
        self._patience_s = patience_s
        self._aside = SetAside()
        self._stopped = asyncio.Event()
        self._wake = asyncio.Event()
        self._active = asyncio.Event()
        self._waits_for: str | None = None
        self._said: type[Exception] | None = None
        self._said_at = -math.inf
        self._backoff_s = _SHORTEST_BACKOFF_S

    async def run(self) -> None:
        """Relay until `stop` is called; the batch at hand is finished first. Cancelling it drops that batch."""
        while not self._stopped.is_set():
            try:
                await self._serve()
            except AWAY as error:
                await self._back_off("postgresql", error)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Relay beside the block, in the same loop; the batch at hand is finished when the block ends.

        What nobody foresaw, and what no waiting mends, is logged (`relay.failed`) and tried again as well.
        """
        task = asyncio.create_task(self._run_beside(), name="relay")
        try:
            yield self
        finally:
            self.stop()
            await task

    def stop(self) -> None:
        """Make `run` return soon. Call it from the event loop."""
        self._stopped.set()
        self._wake.set()

    async def wait_active(self) -> None:
        """Return once this relay is the one that sends."""
        await self._active.wait()

    async def _run_beside(self) -> None:
        """A process that ends is noticed and started again; nobody looks at a task before the block's end."""
        while not self._stopped.is_set():
            try:
                await self.run()
            except Exception as error:  # noqa: BLE001 - no traceback: some show the variables, and with them the URL
                log.error("relay.failed", error=f"{type(error).__name__}: {error}")
                await self._sleep(_FAILED_AGAIN_S)

    async def _serve(self) -> None:
        connection = await asyncpg.connect(
            self._database_url, timeout=5, command_timeout=_QUERY_TIMEOUT_S, server_settings=_KEEPALIVE
        )
        try:
            await connection.add_listener(self._taking.channel, self._on_notify)
            while not self._stopped.is_set():
                if await self._taking.may_begin(connection):
                    await self._relay(connection)
                else:
                    await self._sleep(_STAND_BY_S)
        finally:
            self._active.clear()
            with suppress(*AWAY):
                await connection.close(timeout=1)

    async def _relay(self, connection: Connection) -> None:
        producer = RecordProducer(
            {**self._kafka.client_config(), "reconnect.backoff.max.ms": "1000"}, patience_s=self._patience_s
        )
        reports = ReportThread(producer)
        try:
            self._active.set()
            log.info("relay.active")
            while not self._stopped.is_set():
                self._wake.clear()
                try:
                    if not await self._send_batch(connection, producer):
                        await self._sleep(_LOOK_EVERY_S)
                except ProducingError as error:
                    await self._back_off("kafka", error)
        finally:
            await asyncio.to_thread(_drop, producer, reports)

    async def _send_batch(self, connection: Connection, producer: RecordProducer) -> bool:
        """Send rows and note those that the brokers have; return whether there were any.

        Raises what Kafka said about the first row it did not take: that row and the later ones of its key stay.
        """
        async with self._taking.batch(connection, self._aside) as rows:
            sent, error = await send_all(rows, connection, producer)
            if error is not None and not isinstance(error, _NOT_NOW):
                sent, error = await self._alone(rows, sent, connection, producer)
            if sent:
                await self._taking.finish(connection, sent)
                log.debug("relay.sent", rows=len(sent))
        if error is not None:
            raise error
        self._go_on()
        if time.monotonic() - self._swept_at >= _SWEEP_EVERY_S:
            self._swept_at = time.monotonic()
            if await self._taking.sweep(connection):
                self._swept_at = -math.inf  # a share a minute would be less than some services send
        return bool(rows)

    async def _alone(
        self, rows: Sequence[Row], sent: list[Row], connection: Connection, producer: RecordProducer
    ) -> tuple[list[Row], BaseException | None]:
        """Send each row that is not `sent` alone, set keys aside whose next one is refused; return as `send_all`.

        A record that is too large takes with it whatever is in one batch with it on the wire.
        """
        done, refused, kept = {row.id for row in sent}, set[Place](), None
        for row in rows:
            if row.id in done or row.place in refused:
                continue
            one, error = await send_all([row], connection, producer)
            sent += one
            if isinstance(error, _NOT_NOW):
                return sent, error
            if error is not None:
                log.error("relay.refused", row=row.id, topic=row.record.topic, error=str(error))
                if row.record.key is not None:  # without one there is no order to keep
                    refused.add(row.place)
                kept = kept if self._aside.add(row.place) else error
        return sent, kept

    def _on_notify(self, *_: object) -> None:
        self._wake.set()

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)
        if not self._stopped.is_set():
            self._wake.clear()

    async def _back_off(self, waits_for: str, error: Exception) -> None:
        is_other = type(error) is not self._said and time.monotonic() - self._said_at >= _SAY_OTHER_AFTER_S
        if waits_for != self._waits_for or is_other:
            log.warning("relay.waiting", waits_for=waits_for, error=f"{type(error).__name__}: {error}")
            self._said, self._said_at = type(error), time.monotonic()
        self._waits_for = waits_for
        await self._sleep(self._backoff_s)
        self._backoff_s = min(self._backoff_s * 2, _LONGEST_BACKOFF_S)

    def _go_on(self) -> None:
        if self._waits_for is not None:
            log.info("relay.going_on", waited_for=self._waits_for)
        self._waits_for, self._backoff_s = None, _SHORTEST_BACKOFF_S


def _drop(producer: RecordProducer, reports: ReportThread) -> None:
    producer.close(0)  # what is unreported is still in the table
    reports.stop()
