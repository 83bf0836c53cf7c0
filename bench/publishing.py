"""`python -m bench.publishing`: POST /events, singles and batches, on a real API process with Kafka and PostgreSQL.

The client is a process of its own. The limit is measured in the same run: GET /healthz of the same API, the same way,
which no request to it can be faster than.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from uuid import uuid4

import aiohttp
import orjson
import psutil
import uvloop

from compose.children import Child, free_port, start_child
from compose.database import upgrade_database
from compose.kafka import EmbeddedKafka
from compose.postgres import EmbeddedPostgres
from compose.topics import apply_topics
from processors.settings import WorkerSettings
from producers.settings import KafkaSettings
from schemas.sealing import new_master_key

TOKEN = "a-token-of-the-benchmark"
BATCH = 500
FILLING = "x" * 700  # an event of about 1 KB


@dataclass(frozen=True)
class Part:
    """One thing measured: `requests` of `events` each, `at_once` at a time, with ids of the publisher's or without."""

    name: str
    path: str
    requests: int
    at_once: int
    events: int = 0
    named: bool = False


@dataclass(frozen=True)
class Figures:
    """Rates per second, latencies of a request in ms."""

    name: str
    at_once: int
    requests_per_s: float
    events_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    failed: int
    cpu_ms: float = 0.0  # of the API, for an event or a request without one


@dataclass(frozen=True)
class Api:
    """A running API."""

    url: str
    pid: int


def parts(scale: float) -> list[Part]:
    """Return what is measured; `scale` 1 takes about a minute on an idle machine."""
    singles, batches = int(4000 * scale), int(40 * scale)
    return [
        Part("limit: GET /healthz", "/healthz", singles, 10),
        *(
            Part(f"single{' with id' if named else ''}", "/api/v1/events", singles, at_once, 1, named)
            for at_once in (1, 10, 50)
            for named in (False, True)
        ),
        *(
            Part(f"batch of {BATCH}{' with ids' if named else ''}", "/api/v1/events/batch", batches, 4, BATCH, named)
            for named in (False, True)
        ),
    ]


def main() -> int:
    """Measure all parts; exit 1 when a request failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--scale", type=float, default=1.0, help="how many requests, 1 is 4,000 singles a part")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hookline-bench-") as folder, _api(Path(folder)) as api:
        process = psutil.Process(api.pid)
        with multiprocessing.get_context("spawn").Pool(1) as client:
            client.apply(measure, (api.url, Part("warm", "/api/v1/events", 200, 10, 1, named=True)))
            figures = []
            for part in parts(arguments.scale):
                before = _cpu_s(process)
                measured = client.apply(measure, (api.url, part))
                cpu_ms = (_cpu_s(process) - before) / part.requests / max(part.events, 1) * 1000
                figures.append(replace(measured, cpu_ms=round(cpu_ms, 3)))
                _print(figures[-1])
            client.close()
            client.join()
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(each) for each in figures], indent=2) + "\n")
    return 1 if any(each.failed for each in figures) else 0


@contextmanager
def _api(folder: Path) -> Iterator[Api]:
    """Start Kafka, PostgreSQL and one `hookline api`; nobody else is there to take the machine's time."""
    kafka, postgres, port = EmbeddedKafka(folder / "kafka"), EmbeddedPostgres(folder / "postgres"), free_port()
    api: Child | None = None
    try:
        kafka.start()
        postgres.start()
        postgres.wait_until_ready()
        kafka.wait_until_ready()
        upgrade_database(postgres.database_url)
        apply_topics(WorkerSettings(), KafkaSettings(bootstrap_servers=kafka.bootstrap_servers))
        env = {
            **os.environ,
            "DATABASE_URL": postgres.database_url,
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "HOOKLINE_MASTER_KEYS": new_master_key(),
            "HOOKLINE_ADMIN_TOKEN": TOKEN,
            "HOOKLINE_API_PORT": str(port),
            "HOOKLINE_READY_FILE": str(folder / "ready"),
        }
        command = [sys.executable, "-m", "compose.command", "api"]
        api = start_child("api", command, log=folder / "api.log", env=env)
        api.wait_until((folder / "ready").exists, within_s=60)
        yield Api(f"http://127.0.0.1:{port}", api.pid)
    finally:
        if api is not None:
            api.stop()
        postgres.stop()
        kafka.stop()


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _print(figures: Figures) -> None:
    print(
        f"{figures.name}, {figures.at_once} at once: {figures.requests_per_s:.0f} requests/s, "
        f"{figures.events_per_s} events/s; p50 {figures.p50_ms} p95 {figures.p95_ms} p99 {figures.p99_ms} ms; "
        f"API {figures.cpu_ms} ms CPU; failed {figures.failed}",
        flush=True,
    )


def measure(url: str, part: Part) -> Figures:
    """Run one part in this process."""
    figures: Figures = uvloop.run(_measure(url, part))
    return figures


async def _measure(url: str, part: Part) -> Figures:
    left, latencies, failed = iter(range(part.requests)), list[float](), 0
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    body = _bodies(part)
    async with aiohttp.ClientSession(url, headers=headers) as session:

        async def send_some() -> None:
            nonlocal failed
            for _ in left:
                data = body()
                began = time.perf_counter()
                async with session.request("POST" if data else "GET", part.path, data=data) as answer:
                    answered = await answer.read()
                latencies.append((time.perf_counter() - began) * 1000)
                failed += answer.status not in {200, 202} or b'"error"' in answered

        began = time.perf_counter()
        await asyncio.gather(*(send_some() for _ in range(part.at_once)))
        took = time.perf_counter() - began
    ordered = sorted(latencies)
    p50, p95, p99 = (round(ordered[min(int(len(ordered) * share), len(ordered) - 1)], 1) for share in (0.5, 0.95, 0.99))
    rate = part.requests / took
    return Figures(part.name, part.at_once, round(rate, 1), round(rate * part.events), p50, p95, p99, failed)


def _bodies(part: Part) -> Callable[[], bytes | None]:
    event: dict[str, object] = {"type": "user.created", "data": {"id": "user_123", "name": FILLING}, "key": "user_123"}

    def made() -> dict[str, object]:
        return {**event, "id": uuid4().hex} if part.named else event

    if part.events == 0:
        return lambda: None
    if part.events == 1:
        return lambda: orjson.dumps(made())
    return lambda: orjson.dumps({"events": [made() for _ in range(part.events)]})


if __name__ == "__main__":
    sys.exit(main())
