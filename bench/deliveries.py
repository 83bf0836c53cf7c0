"""`make bench`: deliveries through the real stack to a receiver in its own process, and the machine's limit beside.

Three parts in one run: the delivery client alone, straight at the receiver; 2,000 events × 10 subscriptions of 1 KB as
fast as they go; 20 events/s × 10 for 20 s. Latency is from `Publisher.publish` to the arrival, one clock for both. The
projector runs: `log` is how long after the last arrival the delivery log had all of it. With --away PostgreSQL is
stopped in the middle of a third, steady part, as in an outage.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psutil
import uvloop
from yarl import URL

from compose.children import start_child
from compose.stack import Stack
from processors.endpoints import Endpoint
from processors.sending import Sender
from producers import Publisher
from schemas.ids import EventId, OrganizationId, delivery_id_of, new_event_id, new_subscription_id
from schemas.records import Delivery, Position

ORGANIZATION = "org_default"
SUBSCRIPTIONS = 10
BODY_BYTES = 1024
BURST_EVENTS = 2000
STEADY_EVENTS_PER_S = 20
STEADY_S = 20
WITHIN_S = 120.0
LIMIT_REQUESTS = 20_000
LIMIT_AT_ONCE = 100
_BEFORE_S, _AFTER_S = 5, 10  # of steady load, around an outage
_counted: dict[str, int] = {}


@dataclass(frozen=True)
class Figures:
    """One part's figures: rates per second, latencies in ms, CPU in seconds per 1,000 deliveries, memory in MB.

    `log_s` is when the log was complete, in seconds after the last arrival (with an outage: after PostgreSQL was back).
    """

    part: str
    deliveries: int
    twice: int
    seconds: float
    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    log_s: float | None
    cpu_s_per_1000: dict[str, float]
    rss_mb: dict[str, float]


def main() -> int:
    """Run all parts; exit 1 when something did not arrive."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--events", type=int, default=BURST_EVENTS, help="events of the burst (default 2000)")
    parser.add_argument("--seconds", type=int, default=STEADY_S, help="seconds of the steady part (default 20)")
    parser.add_argument("--workers", type=int, default=1, help="worker processes (default 1)")
    parser.add_argument("--replay", type=float, default=0, help="a rate: replay one subscription beside steady load")
    parser.add_argument(
        "--replay-source", choices=("deliveries", "log"), default="deliveries", help="what that replay goes through"
    )
    parser.add_argument("--away", type=int, default=0, help="seconds that PostgreSQL is stopped under steady load")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hookline-bench-") as folder:
        figures = _run(Path(folder), arguments)
    for each in figures:
        _print(each)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(each) for each in figures], indent=2) + "\n")
    return 0 if all(each.deliveries for each in figures) else 1


def _run(folder: Path, asked: argparse.Namespace) -> list[Figures]:
    with receiving(folder) as receiver:
        figures = [uvloop.run(_limit(receiver))]
        _arrivals(receiver)
        stack = Stack(
            folder / "stack",
            workers=asked.workers,
            env={"HOOKLINE_LOG_LEVEL": "info"},
            say=lambda text: print(f"# {text}"),
        )
        try:
            stack.start()
            _subscribe(stack, receiver)
            uvloop.run(_publish(stack, 100, per_second=None))  # warm: code paths, connections, the broker's page cache
            _wait_for(receiver, 100 * SUBSCRIPTIONS)
            _arrivals(receiver)
            _log_complete(stack, 100 * SUBSCRIPTIONS)
            figures.append(_measure(stack, receiver, "burst", asked.events, per_second=None))
            steady = STEADY_EVENTS_PER_S * asked.seconds
            figures.append(_measure(stack, receiver, "steady", steady, per_second=STEADY_EVENTS_PER_S))
            if asked.replay:
                figures.append(_measure_replay(stack, receiver, steady, asked.replay, source=asked.replay_source))
            if asked.away:
                figures.append(_measure_outage(stack, receiver, asked.away))
        finally:
            stack.stop()
    return figures


@contextmanager
def receiving(folder: Path) -> Iterator[str]:
    """Run the receiver of `bench.receiver`; its base URL."""
    port_file = folder / "receiver-port"
    child = start_child(
        "receiver", [sys.executable, "-m", "bench.receiver", str(port_file)], log=folder / "receiver.log"
    )
    try:
        while not (port_file.exists() and port_file.read_text()):
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port_file.read_text()}"
    finally:
        child.stop()


async def _limit(receiver: str) -> Figures:
    """Measure the worker's own HTTP client, straight at the receiver: no way through the stack can be faster."""
    sender = Sender(most_at_once=LIMIT_AT_ONCE, allow_loopback=True, user_agent="bench")
    endpoint = Endpoint(URL(f"{receiver}/limit"), (b"k" * 32,), {}, timedelta(seconds=15), 1)
    event_id, subscription_id = new_event_id(), new_subscription_id()
    now = datetime.now(UTC)
    delivery = Delivery(
        id=delivery_id_of(event_id, subscription_id),
        event_id=EventId(event_id),
        event_type="user.created",
        organization_id=OrganizationId(ORGANIZATION),
        subscription_id=subscription_id,
        subscription_version=1,
        body=b"x" * BODY_BYTES,
        event_position=Position(topic="", partition=0, offset=0),
        event_created_at=now,
        due_at=now,
    )
    left = iter(range(LIMIT_REQUESTS))
    durations: list[float] = []

    async def send_some() -> None:
        for _ in left:
            began = time.perf_counter()
            await sender.send(delivery, endpoint)
            durations.append((time.perf_counter() - began) * 1000)

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(send_some() for _ in range(LIMIT_AT_ONCE)))
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    await sender.close()
    own = psutil.Process().memory_info().rss / 1e6
    return _figures("limit: client → receiver", durations, 0, took, {"client": cpu}, {"client": own})


def _subscribe(stack: Stack, receiver: str) -> None:
    headers = {"Authorization": f"Bearer {stack.admin_token}"}
    with httpx.Client(base_url=stack.api_url, headers=headers, trust_env=False) as api:
        for number in range(SUBSCRIPTIONS):
            body = {"url": f"{receiver}/{number}", "event_types": ["user.*"]}
            api.post("/api/v1/subscriptions", json=body).raise_for_status()
    time.sleep(2.0)  # in force everywhere


def _measure_replay(stack: Stack, receiver: str, events: int, rate_per_s: float, *, source: str) -> Figures:
    """Measure live deliveries while all that one subscription was sent so far is replayed."""
    headers = {"Authorization": f"Bearer {stack.admin_token}"}
    with httpx.Client(base_url=stack.api_url, headers=headers, trust_env=False, timeout=30) as api:
        subscription = api.get("/api/v1/subscriptions").json()["data"][0]["id"]
        asked = {"source": source, "subscription_id": subscription, "rate_per_s": rate_per_s}
        if source == "log":
            asked["since"] = (datetime.now(UTC) - timedelta(days=1)).isoformat()
        count = api.post("/api/v1/replays", json={**asked, "dry_run": True}).json()["count"]
        began = time.monotonic()
        replay = api.post("/api/v1/replays", json=asked).raise_for_status().json()["id"]
        part = f"steady, beside a replay of {count} ({source}) at {rate_per_s:g}/s"
        figures = _measure(stack, receiver, part, events, per_second=STEADY_EVENTS_PER_S, replayed=count)
        while (found := api.get(f"/api/v1/replays/{replay}").json())["state"] not in {"completed", "cancelled"}:
            time.sleep(0.2)
        print(f"# replay: {found['succeeded']} of {found['total']} arrived within {time.monotonic() - began:.1f} s")
    return figures


def _measure_outage(stack: Stack, receiver: str, away_s: int) -> Figures:
    """Stop PostgreSQL for `away_s` under steady load, and go on for 10 s after it is back."""
    back_at: list[float] = []

    def away() -> None:
        time.sleep(_BEFORE_S)
        stack.postgres.stop()
        time.sleep(away_s)
        stack.postgres.start()
        stack.postgres.wait_until_ready()
        back_at.append(time.time())

    outage = threading.Thread(target=away)
    outage.start()
    events = STEADY_EVENTS_PER_S * (_BEFORE_S + away_s + _AFTER_S)
    figures = _measure(stack, receiver, f"PostgreSQL away for {away_s} s", events, per_second=STEADY_EVENTS_PER_S)
    outage.join()
    complete_at = time.time()
    return replace(figures, log_s=round(complete_at - back_at[0], 2))


def _log_complete(stack: Stack, count: int) -> None:
    """Return when the delivery log has `count` more successful deliveries than the last time it was asked."""
    _counted[stack.database_url] = _counted.get(stack.database_url, 0) + count
    headers = {"Authorization": f"Bearer {stack.admin_token}"}
    deadline = time.monotonic() + WITHIN_S
    with httpx.Client(base_url=stack.api_url, headers=headers, trust_env=False) as api:
        while time.monotonic() < deadline:
            answer = api.get("/api/v1/stats")
            if (
                answer.status_code == 200
                and sum(day["success"] for day in answer.json()["days"]) >= _counted[stack.database_url]
            ):
                return
            time.sleep(0.05)
    print(f"# the log was not complete within {WITHIN_S:.0f} s", file=sys.stderr)


def _measure(
    stack: Stack, receiver: str, part: str, events: int, *, per_second: float | None, replayed: int = 0
) -> Figures:
    processes = _processes(stack)
    before = {name: _cpu_s(process) for name, process in processes.items()}
    began = time.time()
    published = uvloop.run(_publish(stack, events, per_second=per_second))
    _wait_for(receiver, events * SUBSCRIPTIONS + replayed)
    _log_complete(stack, events * SUBSCRIPTIONS)
    complete_at = time.time()
    cpu = {name: _cpu_s(process) - before[name] for name, process in processes.items()}
    rss = {name: _rss_mb(process) for name, process in processes.items()}
    first: dict[tuple[str, str], float] = {}
    arrivals = [arrival for arrival in _arrivals(receiver) if arrival[0] in published]
    for event_id, path, at in arrivals:
        first.setdefault((event_id, path), at)
    latencies = [(at - published[event_id]) * 1000 for (event_id, _), at in first.items()]
    if len(first) != events * SUBSCRIPTIONS:
        print(f"# {part}: {events * SUBSCRIPTIONS - len(first)} did not arrive", file=sys.stderr)
        return _figures(part, [], 0, 1.0, {}, {})
    took = max(first.values()) - began
    figures = _figures(part, latencies, len(arrivals) - len(first), took, cpu, rss)
    return replace(figures, log_s=round(complete_at - max(first.values()), 2))


async def _publish(stack: Stack, events: int, *, per_second: float | None) -> dict[str, float]:
    """Publish events and return when each was given to the publisher, by its id (seconds since 1970)."""
    published: dict[str, float] = {}
    filling = "x" * (BODY_BYTES - 260)
    with Publisher(stack.bootstrap_servers, source="/bench") as publisher:
        # A service's publisher lives long: connecting (0.4 s) is not what an event waits for. Nobody wants this one.
        await publisher.publish(type="hookline.test", organization_id=ORGANIZATION, data={})
        began = time.time()
        for number in range(events):
            if per_second is not None:
                await asyncio.sleep(max(0.0, began + number / per_second - time.time()))
            at = time.time()
            receipt = publisher.publish(
                type="user.created", organization_id=ORGANIZATION, data={"id": str(number), "name": filling}
            )
            published[receipt.event_id] = at
    return published


def _wait_for(receiver: str, count: int) -> None:
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        if int(httpx.get(f"{receiver}/count", trust_env=False).text) >= count:
            return
        time.sleep(0.05)


def _arrivals(receiver: str) -> list[tuple[str, str, float]]:
    return [(event_id, path, at) for event_id, path, at in httpx.get(f"{receiver}/arrivals", trust_env=False).json()]


def _processes(stack: Stack) -> dict[str, psutil.Process]:
    children = {name: stack.child(name).pid for name in ("worker-0", "projector", "mover", "relay", "api")}
    assert stack.kafka.pid is not None
    servers = {"kafka": stack.kafka.pid, "postgres": stack.postgres.pid}
    return {name: psutil.Process(pid) for name, pid in {**children, **servers}.items()}


def _cpu_s(process: psutil.Process) -> float:
    """Return the CPU seconds of a process and of its children: PostgreSQL has one for each connection."""
    try:
        times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    except psutil.NoSuchProcess:  # PostgreSQL was stopped meanwhile
        return 0.0
    return sum(each.user + each.system for each in times)


def _rss_mb(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 1e6 if process.is_running() else 0.0


def _figures(  # noqa: PLR0917 - one row of a table
    part: str, latencies: list[float], twice: int, seconds: float, cpu: dict[str, float], rss: dict[str, float]
) -> Figures:
    ordered = sorted(latencies)
    count = len(ordered)

    def percentile(share: float) -> float:
        return round(ordered[min(int(count * share), count - 1)], 1) if ordered else 0.0

    return Figures(
        part=part,
        deliveries=count,
        twice=twice,
        seconds=round(seconds, 2),
        per_second=round(count / seconds),
        p50_ms=percentile(0.50),
        p95_ms=percentile(0.95),
        p99_ms=percentile(0.99),
        log_s=None,
        cpu_s_per_1000={name: round(spent / max(count, 1) * 1000, 3) for name, spent in cpu.items()},
        rss_mb={name: round(used) for name, used in rss.items()},
    )


def _print(figures: Figures) -> None:
    print(f"{figures.part}: {figures.deliveries} deliveries in {figures.seconds} s, {figures.per_second:.0f}/s", end="")
    print(f"; p50 {figures.p50_ms} p95 {figures.p95_ms} p99 {figures.p99_ms} ms; twice {figures.twice}", end="")
    print("" if figures.log_s is None else f"; log complete after {figures.log_s} s")
    print(f"  CPU-s per 1,000: {figures.cpu_s_per_1000}; RSS MB: {figures.rss_mb}")


if __name__ == "__main__":
    sys.exit(main())
