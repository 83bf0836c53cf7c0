"""`python -m bench.log_queries`: how long lists and details of the delivery log take at 1,000,000 attempts.

Fills a database of its own with a log over 7 days and one over 90 (minutes each), asks every filter and combination
through the functions that the routes call, those that find nothing too, and says which plans read a whole table. Exit
code 1 when a p95 is over the limit or a plan has a Seq Scan on the log. The time is what PostgreSQL, the driver and
SQLAlchemy take together, on one connection.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg
import psutil
import uvloop
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from api.database import engine_of, tenant_transaction_of
from api.deliveries.filters import Wanted, event_text
from api.deliveries.reading import attempts_of, deliveries_of, delivery_of
from api.deliveries.sent_bodies import bodies_sent
from api.deliveries.tables import DeliveryRow, DeliveryState
from api.events.log import Order, deliveries_of_event, event_of, events_of
from api.events.log import Wanted as WantedEvents
from api.events.outcomes import EventOutcome
from api.lists import Place
from api.migrations import upgrade
from api.replays.estimating import estimated
from api.replays.positions import Stretch
from api.replays.stored_events import Window, stored_events
from api.replays.tables import ReplayRow
from api.replays.wanting import Wanting
from api.settings import ApiSettings
from api.subscriptions.waiting import event_of as event_of_heap
from api.subscriptions.waiting import waiting_for
from bench.log_filling import fill
from bench.plans import plans_of, tables_read_whole
from compose.postgres import EmbeddedPostgres
from schemas.error_kinds import ErrorKind
from schemas.ids import OrganizationId
from schemas.waits import DEFAULT_WAITS, parse_schedule

LIMIT_MS: Final = 20.0
PAGE: Final = 26  # 25 and one more, as the routes ask
LARGE: Final = OrganizationId("org_large")
TINY: Final = OrganizationId("org_tiny")

Ask = Callable[[AsyncSession], Awaitable[object]]


@dataclass(frozen=True)
class Figures:
    """One query's times in ms, how many rows it found, and whether its plan reads a whole table.

    `cpu_ms` is the mean of what PostgreSQL's process and ours computed: what it takes on a machine that is not shared.
    """

    days: int
    query: str
    rows: int
    p50_ms: float
    p95_ms: float
    max_ms: float
    cpu_ms: float
    seq_scan: bool


@dataclass(frozen=True)
class Known:
    """What is in the log, to ask for."""

    subscription: str
    rare_subscription: str
    common_type: str
    other_type: str
    rare_type: str
    event: str
    source_id: str
    delivery: DeliveryRow
    old_delivery: DeliveryRow
    retried: DeliveryRow
    page: Place


def main() -> int:
    """Measure; return 1 when something is over the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--attempts", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=100, help="how often each query is asked")
    parser.add_argument("--days", type=int, nargs="*", default=[7, 90], help="over how many days the log goes")
    parser.add_argument("--database-url", help="a log that is filled already; `--days` then only names it")
    arguments = parser.parse_args()
    figures = uvloop.run(_measured(arguments))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(each) for each in figures], indent=2) + "\n")
    bad = [each for each in figures if each.p95_ms > LIMIT_MS or each.seq_scan]
    for each in bad:
        print(f"# over {LIMIT_MS:g} ms, or a whole table read: {each.query} ({each.days} days)", file=sys.stderr)
    return 1 if bad else 0


async def _measured(arguments: argparse.Namespace) -> list[Figures]:
    if arguments.database_url:
        return await _ask_all(arguments.database_url, arguments.days[0], arguments.times)
    figures: list[Figures] = []
    with tempfile.TemporaryDirectory(prefix="hookline-bench-") as folder:
        postgres = EmbeddedPostgres(Path(folder) / "postgres")
        await asyncio.to_thread(postgres.start)
        try:
            await asyncio.to_thread(postgres.wait_until_ready)
            for days in arguments.days:
                url = await _database(postgres, f"log_{days}")
                filled = await fill(url, attempts=arguments.attempts, days=days, now=datetime.now(UTC))
                print(f"# {filled}")
                figures += await _ask_all(url, days, arguments.times)
        finally:
            await asyncio.to_thread(postgres.stop)
    return figures


async def _database(postgres: EmbeddedPostgres, name: str) -> str:
    db = await asyncpg.connect(postgres.database_url)
    await db.execute(f"CREATE DATABASE {name}")
    await db.close()
    await upgrade(postgres.url_of(name))
    return postgres.url_of(name)


async def _ask_all(url: str, days: int, times: int) -> list[Figures]:
    engine = engine_of(ApiSettings(database_url=url, database_query_s=120))
    try:
        async with AsyncSession(engine) as db:
            queries = queries_for(await known_in(db))
        print(f"{'':60} {'rows':>5} {'p50':>7} {'p95':>7} {'max':>7} {'cpu':>7} ms over {days} days")
        return [await _asked(engine, days, name, ask, times) for name, ask in queries.items()]
    finally:
        await engine.dispose()


async def _asked(engine: AsyncEngine, days: int, name: str, ask: Ask, times: int) -> Figures:
    read_whole = await tables_read_whole(engine, await plans_of(engine, ask, organization_id=LARGE))
    took: list[float] = []
    found: object = None
    async with tenant_transaction_of(engine, LARGE) as db:  # as the API asks: under row-level security
        server = psutil.Process((await db.execute(text("SELECT pg_backend_pid()"))).scalar_one())
        await ask(db)  # warm: the driver's statements, PostgreSQL's catalogue
        computed = _cpu_s(server)
        for _ in range(times):
            db.expunge_all()  # else rows that were seen before are not made again
            began = time.perf_counter()
            found = await ask(db)
            took.append((time.perf_counter() - began) * 1000)
        computed = _cpu_s(server) - computed
    took.sort()
    figures = Figures(
        days=days,
        query=name,
        rows=len(found) if isinstance(found, list | tuple) else int(found is not None),
        p50_ms=round(took[len(took) // 2], 2),
        p95_ms=round(took[int(len(took) * 0.95)], 2),
        max_ms=round(took[-1], 2),
        cpu_ms=round(computed / times * 1000, 2),
        seq_scan=bool(read_whole),
    )
    print(
        f"{name:60} {figures.rows:5} {figures.p50_ms:7.1f} {figures.p95_ms:7.1f} {figures.max_ms:7.1f}"
        f" {figures.cpu_ms:7.1f}{' SEQ SCAN' if figures.seq_scan else ''}",
        flush=True,
    )
    return figures


def _cpu_s(server: psutil.Process) -> float:
    times = server.cpu_times()
    return times.user + times.system + time.process_time()


def queries_for(known: Known) -> dict[str, Ask]:
    """Return every query, by its name."""

    async def nothing(db: AsyncSession) -> object:
        return (await db.execute(select(1))).scalars().all()

    return {
        "nothing: the way there and back": nothing,
        **_lists(known),
        **_texts(known),
        **_lists_of_events(known),
        **_details(known),
    }


def _deliveries(organization: OrganizationId = LARGE, *, before: Place | None = None, **wanted: Any) -> Ask:
    return lambda db: deliveries_of(db, organization, Wanted(**wanted), before=before, limit=PAGE)


def _lists(known: Known) -> dict[str, Ask]:
    failed, held = DeliveryState.FAILED, DeliveryState.HELD
    week_ago = datetime.now(UTC) - timedelta(days=6, hours=5)
    each: dict[str, dict[str, Any]] = {
        "subscription": {"subscription_id": known.subscription},
        "rare subscription": {"subscription_id": known.rare_subscription},
        "unknown subscription": {"subscription_id": "sub_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"},
        "event type": {"event_type": known.common_type},
        "rare event type": {"event_type": known.rare_type},
        "unknown event type": {"event_type": "nobody.knows"},
        **{f"state {state}": {"state": state} for state in DeliveryState},
        **{f"status {status}": {"status": status} for status in (200, 204, 404, 503, 418)},
        **{f"error kind {kind}": {"error_kind": kind} for kind in (ErrorKind.HTTP, ErrorKind.DNS, ErrorKind.TLS)},
        "since": {"since": week_ago},
        "until": {"until": week_ago},
        "since until": {"since": week_ago, "until": week_ago + timedelta(hours=1)},
        "subscription + event type": {"subscription_id": known.subscription, "event_type": known.common_type},
        "subscription + type it never gets": {"subscription_id": known.subscription, "event_type": known.other_type},
        "subscription + failed": {"subscription_id": known.subscription, "state": failed},
        "subscription + success": {"subscription_id": known.subscription, "state": DeliveryState.SUCCESS},
        "subscription + pending (none)": {"subscription_id": known.subscription, "state": DeliveryState.PENDING},
        "subscription + status 503": {"subscription_id": known.subscription, "status": 503},
        "subscription + status 418 (none)": {"subscription_id": known.subscription, "status": 418},
        "subscription + dns": {"subscription_id": known.subscription, "error_kind": ErrorKind.DNS},
        "subscription + until": {"subscription_id": known.subscription, "until": week_ago},
        "event type + failed": {"event_type": known.common_type, "state": failed},
        "event type + status 503": {"event_type": known.common_type, "status": 503},
        "event type + tls (none)": {"event_type": known.common_type, "error_kind": ErrorKind.TLS},
        "rare type + held": {"event_type": known.rare_type, "state": held},
        "failed + status 503": {"state": failed, "status": 503},
        "failed + status 200 (none)": {"state": failed, "status": 200},
        "failed + timeout": {"state": failed, "error_kind": ErrorKind.TIMEOUT},
        "success + http (none)": {"state": DeliveryState.SUCCESS, "error_kind": ErrorKind.HTTP},
        "success + status 503 (none)": {"state": DeliveryState.SUCCESS, "status": 503},
        "all filters": {
            "subscription_id": known.subscription,
            "event_type": known.common_type,
            "state": failed,
            "status": 503,
            "error_kind": ErrorKind.HTTP,
            "since": week_ago,
        },
        "all filters (none)": {
            "subscription_id": known.subscription,
            "event_type": known.common_type,
            "state": failed,
            "status": 200,
            "error_kind": ErrorKind.TIMEOUT,
        },
    }
    return {
        "deliveries": _deliveries(),
        "deliveries of a tiny organization": _deliveries(TINY),
        "deliveries of nobody": _deliveries(OrganizationId("org_nobody")),
        "deliveries, a page in the middle": _deliveries(before=known.page),
        "deliveries of a tiny organization, failed": _deliveries(TINY, state=failed),
        **{f"deliveries by {name}": _deliveries(**wanted) for name, wanted in each.items()},
        "deliveries by state failed, a page in the middle": _deliveries(before=known.page, state=failed),
        "deliveries by subscription, a page in the middle": _deliveries(
            before=known.page, subscription_id=known.subscription
        ),
    }


def _texts(known: Known) -> dict[str, Ask]:
    digits = known.event[4:]
    texts = {
        "the whole id": known.event,
        "the whole id (unknown)": "evt_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b",
        "its beginning": known.event[:14],
        "the beginning of all": "evt_01",
        "the last 4 digits": digits[-4:],
        "the last 6 digits": digits[-6:],
        "8 digits in the middle": digits[18:26],
        "digits of the time": digits[5:9],
        "8 digits (none)": "fedcba98",
        "the publisher's id": known.source_id,
        "the publisher's id (unknown)": "order-unknown",
    }
    asked = {f"deliveries by text: {name}": _deliveries(event=event_text(text)) for name, text in texts.items()}
    return {
        **asked,
        "deliveries by text: the last 4 digits + failed": _deliveries(
            event=event_text(digits[-4:]), state=DeliveryState.FAILED
        ),
        "deliveries by text: the beginning of all + dns": _deliveries(
            event=event_text("evt_01"), error_kind=ErrorKind.DNS
        ),
    }


_EVERYTHING: Final = Stretch(begin=0, next=0, end=1 << 62)


def _stored(since: datetime) -> Ask:
    window = Window(organization_id=LARGE, since=since, until=None, event_types=None)
    return lambda db: stored_events(db, window, 0, _EVERYTHING, upto=_EVERYTHING.end)


def _estimated(since: datetime) -> Ask:
    window = Window(organization_id=LARGE, since=since, until=None, event_types=None)

    async def ask(db: AsyncSession) -> object:
        return await estimated(db, window, {0: _EVERYTHING}, {0: 0}, Wanting(ReplayRow(organization_id=LARGE)))

    return ask


def _lists_of_events(known: Known) -> dict[str, Ask]:
    def events(organization: OrganizationId = LARGE, *, after: Place | None = None, **wanted: Any) -> Ask:
        return lambda db: events_of(db, organization, WantedEvents(**wanted), after=after, limit=PAGE)

    week_ago = datetime.now(UTC) - timedelta(days=6, hours=5)
    day_ago = datetime.now(UTC) - timedelta(days=1)
    return {
        "events": events(),
        "events of a tiny organization": events(TINY),
        "events, oldest first": events(order=Order.ASC),
        "events of a partition, for a replay of the log": _stored(week_ago),
        "events of a partition, for its estimate": _estimated(week_ago),
        **{
            f"events of a day that were {outcome}": events(since=day_ago, until=datetime.now(UTC), outcome=outcome)
            for outcome in EventOutcome
        },
        "events since, oldest first": events(since=week_ago, order=Order.ASC),
        "events, a page in the middle": events(after=known.page),
        "events by type": events(type=known.common_type),
        "events by rare type": events(type=known.rare_type),
        "events by unknown type": events(type="nobody.knows"),
        "events by unknown type, oldest first": events(type="nobody.knows", order=Order.ASC),
        "events by type, since, until": events(type=known.common_type, since=week_ago, until=week_ago + timedelta(1)),
        "events by source id": events(source_id=known.source_id),
        "events by source id (unknown)": events(source_id="order-unknown"),
    }


def _details(known: Known) -> dict[str, Ask]:
    def delivery(row: DeliveryRow) -> Ask:
        async def ask(db: AsyncSession) -> object:
            found = await delivery_of(db, LARGE, row.id)
            assert found is not None
            attempts = await attempts_of(db, found)
            await bodies_sent(db, found, attempts)
            return attempts

        return ask

    async def event(db: AsyncSession) -> object:
        found = await event_of(db, LARGE, known.event)
        assert found is not None
        return await deliveries_of_event(db, found)

    def lag(subscription: str) -> Ask:
        async def ask(db: AsyncSession) -> object:
            waiting = await waiting_for(db, LARGE, subscription, schedule=parse_schedule(DEFAULT_WAITS))
            heaps = [heap for heap in (waiting.pending, *waiting.retries.values()) if heap.count]
            return heaps and await event_of_heap(db, LARGE, subscription, min(heaps, key=lambda heap: heap.oldest_id))

        return ask

    return {
        "the lag of a subscription": lag(known.subscription),
        "the lag of a rare subscription": lag(known.rare_subscription),
        "the lag of an unknown subscription": lag("sub_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"),
        "a delivery": delivery(known.delivery),
        "an old delivery": delivery(known.old_delivery),
        "a delivery with attempts": delivery(known.retried),
        "a delivery (unknown)": lambda db: delivery_of(db, LARGE, "dlv_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"),
        "an event": event,
        "an event (unknown)": lambda db: event_of(db, LARGE, "evt_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"),
    }


async def known_in(db: AsyncSession) -> Known:
    """Return what there is to ask for in a filled log."""

    async def column(statement: str) -> list[Any]:
        return list((await (await db.connection()).exec_driver_sql(statement)).scalars())

    large = f"WHERE organization_id = '{LARGE}'"
    by_subscription = await column(f"SELECT subscription_id FROM deliveries {large} GROUP BY 1 ORDER BY count(*) DESC")
    types = await column("SELECT type FROM events GROUP BY 1 ORDER BY count(*) DESC")
    never = await column(
        f"SELECT event_type FROM deliveries {large} AND event_type NOT IN (SELECT event_type FROM deliveries "
        f"WHERE subscription_id = '{by_subscription[0]}') GROUP BY 1"
    )
    source_ids = await column(f"SELECT source_id FROM events {large} AND source_id IS NOT NULL ORDER BY at LIMIT 500")

    async def delivery(rest: str) -> DeliveryRow:
        found = await column(f"SELECT id FROM deliveries {large} {rest}")
        row = await delivery_of(db, LARGE, found[0])
        assert row is not None
        return row

    middle = await delivery("ORDER BY at OFFSET 2000 LIMIT 1")
    db.expunge_all()
    return Known(
        subscription=by_subscription[0],
        rare_subscription=by_subscription[-1],
        common_type=types[0],
        other_type=never[0],
        rare_type=types[-1],
        event=middle.event_id,
        source_id=source_ids[-1],
        delivery=await delivery("ORDER BY at DESC LIMIT 1"),
        old_delivery=await delivery("ORDER BY at LIMIT 1"),
        retried=await delivery("AND attempts > 2 ORDER BY at OFFSET 100 LIMIT 1"),
        page=Place(middle.at, middle.id),
    )


if __name__ == "__main__":
    sys.exit(main())
