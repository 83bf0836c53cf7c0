"""A delivery log as a year of customers would leave it: 1,000,000 attempts by default, written with COPY.

Eight organizations of very different size, 200 subscriptions of which a few receive most, 85 % of the deliveries
successful at once. Everything is drawn from one seed, so that two runs measure the same rows.
"""

import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate, islice
from typing import Any, Final

import asyncpg
import orjson

from api.deliveries.tables import AttemptRow, DeliveryRow, EventRow
from schemas.catalogue import catalogue
from schemas.ids import AttemptId, EventId, SubscriptionId, delivery_id_of

SHARES: Final = {  # of the events
    "org_large": 0.60,
    "org_second": 0.20,
    "org_third": 0.10,
    "org_fourth": 0.05,
    "org_fifth": 0.03,
    "org_sixth": 0.015,
    "org_small": 0.004,
    "org_tiny": 0.001,
}
SUBSCRIPTIONS: Final = 200
TABLES: Final = ("events", "deliveries", "attempts")
AT_ONCE: Final = 20_000  # events between two COPYs
FAN_OUT: Final = 4  # subscriptions that an event goes to, at most
ATTEMPTS_AN_EVENT: Final = 4.39  # as what is drawn below comes out

_KINDS: Final = (("http", 503), ("http", 500), ("http", 404), ("timeout", None), ("connect", None), ("dns", None))
_KIND_WEIGHTS: Final = (50, 20, 10, 14, 5, 1)
_ERRORS: Final = {"http": "the receiver answered {}", "timeout": "no whole answer within 15 s"}
_REQUEST: Final = {"content-type": "application/json", "user-agent": "Hookline/1", "webhook-signature": "***"}
_RESPONSE: Final = {"content-type": "text/plain", "server": "bench"}

COUNT_ALL: Final = """
INSERT INTO delivery_counts (organization_id, subscription_id, day, partition, pending, retrying, success, failed, held,
    attempts, failed_attempts, duration_ms, durations)
SELECT organization_id, subscription_id, (at AT TIME ZONE 'UTC')::date, 0, count(*) FILTER (WHERE state = 'pending'),
    count(*) FILTER (WHERE state = 'retrying'), count(*) FILTER (WHERE state = 'success'),
    count(*) FILTER (WHERE state = 'failed'), count(*) FILTER (WHERE state = 'held'), 0, 0, 0, '{}'
FROM deliveries WHERE NOT is_test GROUP BY 1, 2, 3
"""

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Filled:
    """What is in the log now."""

    events: int
    deliveries: int
    attempts: int
    seconds: float


@dataclass(frozen=True)
class _Organization:
    id: str
    subscriptions: list[str]
    weights: list[float]


async def fill(url: str, *, attempts: int, days: int, now: datetime, says: bool = True) -> Filled:
    """Fill an empty, upgraded database with the `days` before `now`, oldest first, and ANALYZE it."""
    began = time.perf_counter()
    db = await asyncpg.connect(url)
    await db.set_type_codec("jsonb", schema="pg_catalog", encoder=_jsonb, decoder=bytes, format="binary")
    try:
        await _make_days(db, now, days)
        drawing = _Drawing(random.Random(7), now, days, attempts)
        counts = [0, 0, 0]
        events = drawing.events()
        while batch := list(islice(events, AT_ONCE)):
            rows: tuple[list[Row], list[Row], list[Row]] = ([], [], [])
            for event in batch:
                for table, made in zip(rows, event, strict=True):
                    table.extend(made)
            for index, (name, columns) in enumerate(zip(TABLES, _COLUMNS, strict=True)):
                await db.copy_records_to_table(name, records=rows[index], columns=columns)
                counts[index] += len(rows[index])
            if says:
                sys.stderr.write(f"\r# {counts[2]:,} of {attempts:,} attempts, {time.perf_counter() - began:.0f} s ")
        await db.execute(COUNT_ALL)
        await db.execute("VACUUM ANALYZE")
    finally:
        await db.close()
    if says:
        sys.stderr.write("\n")
    return Filled(counts[0], counts[1], counts[2], round(time.perf_counter() - began, 1))


_COLUMNS: Final = [  # in the order in which they are drawn below
    [column.name for column in table.__table__.columns] for table in (EventRow, DeliveryRow, AttemptRow)
]


async def _make_days(db: "asyncpg.Connection[asyncpg.Record]", now: datetime, days: int) -> None:
    first = (now - timedelta(days=days + 1)).date()
    for offset in range(days + 4):
        day, after = first + timedelta(days=offset), first + timedelta(days=offset + 1)
        for table in TABLES:
            await db.execute(
                f"CREATE TABLE IF NOT EXISTS days.{table}_{day:%Y%m%d} PARTITION OF {table} "
                f"FOR VALUES FROM ('{day} 00:00:00+00') TO ('{after} 00:00:00+00')"
            )


class _Drawing:
    """Draws events with their deliveries and attempts, in the order of their time."""

    def __init__(self, chance: random.Random, now: datetime, days: int, attempts: int) -> None:
        self._chance = chance
        self._now = now
        self._events = max(round(attempts / ATTEMPTS_AN_EVENT), 1)
        self._began = now - timedelta(days=days)
        self._step = timedelta(days=days) / self._events
        self._types = list(catalogue())
        self._type_weights = list(accumulate(1 / (place + 1) for place in range(len(self._types))))
        self._organizations = [
            self._organization(name, max(round(share * SUBSCRIPTIONS), 1)) for name, share in SHARES.items()
        ]
        self._shares = list(accumulate(SHARES.values()))

    def events(self) -> Iterator[tuple[list[Row], list[Row], list[Row]]]:
        for number in range(self._events):
            at = self._began + self._step * number
            yield self._event(at.replace(microsecond=at.microsecond // 1000 * 1000), number)

    def _organization(self, name: str, subscriptions: int) -> _Organization:
        ids = [self._id("sub", self._began) for _ in range(subscriptions)]
        return _Organization(name, ids, list(accumulate(1 / (place + 1) for place in range(subscriptions))))

    def _event(self, at: datetime, number: int) -> tuple[list[Row], list[Row], list[Row]]:
        chance = self._chance
        organization = chance.choices(self._organizations, cum_weights=self._shares)[0]
        event_type = chance.choices(self._types, cum_weights=self._type_weights)[0]
        event_id = self._id("evt", at)
        body = b'{"id":"%s","type":"%s","data":{"id":"user_%d","name":"%s"},"previous":null,"metadata":{}}' % (
            event_id.encode(),
            event_type.encode(),
            number,
            b"x" * 200,
        )
        source_id = f"order-{number}" if number % 10 == 0 else None
        event = (
            event_id,
            at,
            organization.id,
            event_type,
            at,
            f"user_{number % 5000}",
            source_id,
            None,
            body,
            None,
            0,
            number,
        )
        chosen = {
            chance.choices(organization.subscriptions, cum_weights=organization.weights)[0] for _ in range(FAN_OUT)
        }
        deliveries, attempts = [], []
        for subscription in sorted(chosen):
            if event_type == self._types[1] and subscription == organization.subscriptions[0]:
                continue  # the largest subscription never receives this common type: a combination that finds nothing
            delivery, made = self._delivery(event, subscription, len(body))
            deliveries.append(delivery)
            attempts.extend(made)
        return [event], deliveries, attempts

    def _delivery(self, event: Row, subscription: str, body_bytes: int) -> tuple[Row, list[Row]]:
        chance = self._chance
        event_id, at, organization, event_type, created_at, key = event[:6]
        identifier = delivery_id_of(EventId(event_id), SubscriptionId(subscription))
        drawn = chance.random()
        failures, state = (0, "success") if drawn < 0.85 else (chance.randint(1, 3), "success")
        if 0.93 < drawn <= 0.98:
            failures, state = 3, "failed"
        elif 0.98 < drawn <= 0.995:
            failures, state = 1, "held"
        elif drawn > 0.995 and self._now - at < timedelta(hours=30):
            failures, state = 2, "retrying"
        kind: str | None
        kind, status = chance.choices(_KINDS, _KIND_WEIGHTS)[0]
        moment = at + timedelta(milliseconds=chance.randint(3, 200))
        attempts: list[Row] = []
        for number in range(1, failures + 1):
            last = number == failures and state != "success"
            left_in = state if last else "retrying"
            attempts.append(
                self._attempt(identifier, organization, number, left_in, status, kind, moment, subscription, body_bytes)
            )
            moment += timedelta(minutes=5**number)
        if state == "success":
            status, kind = (200, None) if chance.random() < 0.98 else (chance.choice((201, 202, 204)), None)
            attempts.append(
                self._attempt(
                    identifier, organization, failures + 1, state, status, None, moment, subscription, body_bytes
                )
            )
        error = None if kind is None else _ERRORS.get(kind, "cannot connect").format(status)
        due_at = self._now + timedelta(minutes=chance.randint(-5, 600)) if state == "retrying" else moment
        finished_at = None if state == "retrying" else moment
        delivery = (
            identifier, at, organization, subscription, event_id, event_type, state, "0", len(attempts), status, kind,
            error, 40, created_at, due_at, moment, finished_at, False, key, event[11], 0, 0, event[11], None,
        )  # fmt: skip
        return delivery, attempts

    def _attempt(  # noqa: PLR0917 - one row of a table
        self,
        delivery: str,
        organization: str,
        number: int,
        state: str,
        status: int | None,
        kind: str | None,
        moment: datetime,
        subscription: str,
        body_bytes: int,
    ) -> Row:
        moment = min(moment, self._now)
        error = None if kind is None else _ERRORS.get(kind, "cannot connect").format(status)
        answered = status is not None
        identifier = AttemptId(self._id("att", moment))
        at = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
        return (
            identifier, at, organization, delivery, "0", number, state, status, kind, error, moment, moment, 40, None,
            f"https://example.com/{subscription}", "93.184.216.34:443", _REQUEST, _RESPONSE if answered else None,
            b"ok" * 20 if answered else None, False, body_bytes, 1, "worker-0", 0,
        )  # fmt: skip

    def _id(self, prefix: str, at: datetime) -> str:
        milliseconds = (at - _EPOCH) // timedelta(milliseconds=1)
        drawn = self._chance.getrandbits(74)
        number = milliseconds << 80 | 7 << 76 | (drawn >> 62) << 64 | 0b10 << 62 | drawn & (1 << 62) - 1
        return f"{prefix}_{number:032x}"


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _jsonb(value: object) -> bytes:
    return b"\x01" + orjson.dumps(value)  # the version of its binary form
