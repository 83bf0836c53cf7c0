"""`python -m bench.authentication`: what knowing the caller costs a request, at a steady 200 requests/s.

One real API process and PostgreSQL. In turn, so that whatever else the machine does falls on all alike: GET /healthz
(nobody, no limit), and two routes (an event type: no query; a list of API tokens: one query), each as the administrator
(a digest compared, no limit) and with API tokens (a verdict, at most 2 s old, the permission, the rate limit, its use
counted). Twenty tokens take turns: each comes four times a second, so one in eight of its requests is looked up.

The difference between a token and the administrator on one route is what authenticating costs beyond the route's own
work; the aim is at most 1 ms in the median. After it each kind alone, four at once: the API's CPU time a request, which
says the same on a machine that others use. `python -m bench.authentication --seconds 60 --json FILE` writes JSON too.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

import aiohttp
import asyncpg
import psutil
import uvloop

from compose.children import Child, free_port, start_child
from compose.database import upgrade_database
from compose.postgres import EmbeddedPostgres
from schemas.sealing import new_master_key

ADMINISTRATOR = "a-token-of-the-benchmark"
TOKENS = 20
AIM_MS = 1.0
ALONE, AT_ONCE = 1000, 4  # requests of each kind alone
WARM = 500  # requests that are not counted
EVENT_TYPE = "/api/v1/event-types/user.created"
LIST = "/api/v1/api-tokens?limit=20"


@dataclass(frozen=True)
class Api:
    """A running API."""

    url: str
    database_url: str
    pid: int


@dataclass(frozen=True)
class Kind:
    """One kind of request: who makes it, and where."""

    name: str
    path: str
    credentials: tuple[str, ...]


@dataclass(frozen=True)
class Figures:
    """Latencies of one kind of request, in ms, as its client saw them."""

    name: str
    requests: int
    median_ms: float
    p99_ms: float
    cpu_ms: float  # of the API's process
    failed: int


def main() -> int:
    """Measure, print the figures, and exit 1 when a request failed or the aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--seconds", type=float, default=40.0, help="how long to measure (default 40)")
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second (default 200)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hookline-bench-") as folder, _api(Path(folder)) as api:
        figures = uvloop.run(_measure_all(api, asked.rate, asked.seconds))
    for each in figures:
        times = f"{each.median_ms:8.2f} ms median {each.p99_ms:8.2f} ms p99 {each.cpu_ms:6.2f} ms CPU"
        print(f"{each.name:28} {times}   of {each.requests}")
    by_name = {each.name: each for each in figures}
    costs = {}
    for route in ("event type", "token list"):
        token, administrator = by_name[f"{route}, API token"], by_name[f"{route}, administrator"]
        costs[route] = round(token.median_ms - administrator.median_ms, 3)
        cpu_ms = token.cpu_ms - administrator.cpu_ms
        print(f"authenticating, {route}: {costs[route]:+.2f} ms median (aim: at most {AIM_MS}), {cpu_ms:+.2f} ms CPU")
    if asked.json:
        written = {"load": os.getloadavg()[0], "kinds": [asdict(each) for each in figures], "cost_ms": costs}
        asked.json.write_text(json.dumps(written, indent=2) + "\n")
    print(f"# the machine's load was {os.getloadavg()[0]:.1f}, of {os.cpu_count()} cores")
    return 1 if any(each.failed for each in figures) or max(costs.values()) > AIM_MS else 0


async def _measure_all(api: Api, rate: float, seconds: float) -> list[Figures]:
    async with aiohttp.ClientSession(api.url) as session:
        tokens = await _tokens(session, api.database_url)
        administrator = (ADMINISTRATOR,)
        kinds = [
            Kind("healthz, nobody", "/healthz", ()),
            Kind("event type, administrator", EVENT_TYPE, administrator),
            Kind("event type, API token", EVENT_TYPE, tokens),
            Kind("token list, administrator", LIST, administrator),
            Kind("token list, API token", LIST, tokens),
        ]
        await _measure(session, kinds, rate=rate, requests=WARM)
        measured = await _measure(session, kinds, rate=rate, requests=int(rate * seconds))
        return [
            replace(figures, cpu_ms=await _cpu_ms(session, kind, psutil.Process(api.pid)))
            for figures, kind in zip(measured, kinds, strict=True)
        ]


async def _cpu_ms(session: aiohttp.ClientSession, kind: Kind, process: psutil.Process) -> float:
    left = iter(range(ALONE))

    async def send_some() -> None:
        for number in left:
            async with session.get(kind.path, headers=_headers(kind, number)) as answer:
                await answer.read()

    before = process.cpu_times()
    await asyncio.gather(*(send_some() for _ in range(AT_ONCE)))
    after = process.cpu_times()
    return round((after.user + after.system - before.user - before.system) / ALONE * 1000, 3)


def _headers(kind: Kind, number: int) -> dict[str, str]:
    if not kind.credentials:
        return {}
    return {"Authorization": f"Bearer {kind.credentials[number % len(kind.credentials)]}"}


async def _measure(session: aiohttp.ClientSession, kinds: list[Kind], *, rate: float, requests: int) -> list[Figures]:
    """Send at the rate, whatever the answers take: one that is late makes no other wait."""
    latencies: dict[str, list[float]] = {kind.name: [] for kind in kinds}
    failed = dict.fromkeys(latencies, 0)

    async def send(kind: Kind, number: int) -> None:
        began = time.perf_counter()
        async with session.get(kind.path, headers=_headers(kind, number // len(kinds))) as answer:
            await answer.read()
        latencies[kind.name].append((time.perf_counter() - began) * 1000)
        failed[kind.name] += answer.status != 200

    began = time.perf_counter()
    async with asyncio.TaskGroup() as sending:
        for number in range(requests):
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            sending.create_task(send(kinds[number % len(kinds)], number))
    return [_figures(name, sorted(found), failed[name]) for name, found in latencies.items()]


def _figures(name: str, ordered: list[float], failed: int) -> Figures:
    p99 = ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)]
    return Figures(name, len(ordered), round(median(ordered), 3), round(p99, 3), 0.0, failed)


async def _tokens(session: aiohttp.ClientSession, database_url: str) -> tuple[str, ...]:
    """Make tokens, of an organization whose limits are not what is measured."""
    found = []
    headers = {"Authorization": f"Bearer {ADMINISTRATOR}"}
    for number in range(TOKENS):
        body = {"name": f"bench {number}", "scopes": ["read", "tokens:read"], "rate_limit": 100_000}
        async with session.post("/api/v1/api-tokens", json=body, headers=headers) as answer:
            answer.raise_for_status()
            found.append((await answer.json())["token"])
    db = await asyncpg.connect(database_url)
    await db.execute("UPDATE organizations SET limits = $1", json.dumps({"reading": 1_000_000}))
    await db.close()
    return tuple(found)


@contextmanager
def _api(folder: Path) -> Iterator[Api]:
    """Start PostgreSQL and one `hookline api`. Nothing is published, so there is no Kafka."""
    postgres, port = EmbeddedPostgres(folder / "postgres"), free_port()
    api: Child | None = None
    try:
        postgres.start()
        postgres.wait_until_ready()
        upgrade_database(postgres.database_url)
        env = {
            **os.environ,
            "DATABASE_URL": postgres.database_url,
            "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
            "HOOKLINE_MASTER_KEYS": new_master_key(),
            "HOOKLINE_ADMIN_TOKEN": ADMINISTRATOR,
            "HOOKLINE_API_PORT": str(port),
            "HOOKLINE_READY_FILE": str(folder / "ready"),
        }
        command = [sys.executable, "-m", "compose.command", "api"]
        api = start_child("api", command, log=folder / "api.log", env=env)
        api.wait_until((folder / "ready").exists, within_s=60)
        yield Api(f"http://127.0.0.1:{port}", postgres.database_url, api.pid)
    finally:
        if api is not None:
            api.stop()
        postgres.stop()


if __name__ == "__main__":
    sys.exit(main())
