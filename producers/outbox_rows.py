"""Rows of an outbox on their way to the brokers: sent at once, and what became of each."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, TypeAlias

import asyncpg
import orjson

from producers.errors import ProducingError
from producers.outbox import headers_from_json
from producers.records import Outgoing, RecordProducer
from producers.setting_aside import Place

_HEARTBEAT_S: Final = 0.5

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"  # generic in its stubs only


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the outbox."""

    id: int
    record: Outgoing

    @property
    def place(self) -> Place:
        """What it has an order within."""
        return self.record.topic, self.record.key


def row_of(found: asyncpg.Record) -> Row:
    """Return a row as PostgreSQL gives it."""
    headers = headers_from_json(orjson.loads(found["headers"]))
    return Row(found["id"], Outgoing(found["topic"], found["key"], found["value"], headers))


async def send_all(
    rows: Sequence[Row], connection: Connection, producer: RecordProducer
) -> tuple[list[Row], BaseException | None]:
    """Send rows at once; return those that are done with (`sort_out`), and the first error.

    Raises what PostgreSQL says when `connection`, and with it the right to send them, is gone meanwhile.
    """
    reports = [asyncio.wrap_future(_send(producer, row.record)) for row in rows]
    await _all_reported(reports, connection)
    return sort_out(rows, [report.exception() for report in reports])


def sort_out(rows: Sequence[Row], errors: Sequence[BaseException | None]) -> tuple[list[Row], BaseException | None]:
    """Return the rows that are done with, and the first error.

    A row is done when the brokers have it and no earlier row of its key failed: that one will be sent again, and the
    later one after it.
    """
    failed: set[Place] = set()
    sent = []
    for row, error in zip(rows, errors, strict=True):
        if error is not None:
            failed.add(row.place)
        elif row.place not in failed:
            sent.append(row)
    return sent, next((error for error in errors if error is not None), None)


def _send(producer: RecordProducer, record: Outgoing) -> Future[None]:
    future: Future[None] = Future()
    future.set_running_or_notify_cancel()  # a report may come when nobody waits for it any more

    def report(error: ProducingError | None) -> None:
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    try:
        producer.produce(record, report)
    except ProducingError as error:  # refused before it was queued, such as a record over the size limit
        future.set_exception(error)
    return future


async def _all_reported(reports: Sequence[asyncio.Future[None]], connection: Connection) -> None:
    """Wait for every report, looking meanwhile whether the lock is still ours; raises when its connection is gone."""
    waiting = set(reports)
    try:
        while waiting:
            _, waiting = await asyncio.wait(waiting, timeout=_HEARTBEAT_S)
            if waiting:
                await connection.execute("SELECT 1")
    finally:
        for future in waiting:
            future.cancel()
