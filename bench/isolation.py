"""How much endpoints that hang take from the others: `python -m bench.isolation`, real stack, one worker.

Every subscription is an organization's of its own and gets its share of a steady load, first while all answer, then
while some hang past their timeout; then these recover, under the same load, until all that they are owed has arrived.
Latency is from `Publisher.publish` to the arrival, of the healthy ones alone.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import psutil
import uvloop

from bench.deliveries import receiving
from compose.stack import Stack
from producers import Publisher
from schemas.ids import EventId

BODY_BYTES = 1024
WITHIN_S = 120.0


@dataclass(frozen=True)
class Part:
    """One part's figures of the healthy endpoints: latencies in ms; the worker's memory in MB at its end."""

    part: str
    deliveries: int
    missing: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    longest_ms: float
    worker_mb: float
    worker_cpu_share: float


def main() -> int:
    """Run all parts; exit 1 when something did not arrive."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subscriptions", type=int, default=200)
    parser.add_argument("--hanging", type=int, default=20)
    parser.add_argument("--rate", type=float, default=200, help="deliveries a second over all (default 200)")
    parser.add_argument("--seconds", type=float, default=30, help="of each part (default 30)")
    parser.add_argument("--timeout", type=float, default=15, help="of an attempt, seconds (default 15)")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hookline-bench-") as folder:
        parts, recovered = _run(Path(folder), asked)
    for part in parts:
        print(part)
    print(recovered)
    if asked.json:
        asked.json.write_text(json.dumps([*(asdict(part) for part in parts), recovered], indent=2) + "\n")
    return 0 if all(part.missing == 0 for part in parts) and recovered["missing"] == 0 else 1


def _run(folder: Path, asked: argparse.Namespace) -> tuple[list[Part], dict[str, float]]:
    stack = Stack(folder / "stack", env={"HOOKLINE_LOG_LEVEL": "info"}, say=lambda text: print(f"# {text}"))
    with receiving(folder) as receiver, _started(stack):
        _subscribe(stack, receiver, asked)
        load = _Load(stack, receiver, asked)
        load.part("warm", seconds=3)
        parts = [load.part("nobody hangs", seconds=asked.seconds)]
        httpx.get(f"{receiver}/hang/{asked.hanging}", trust_env=False)
        parts.append(load.part(f"{asked.hanging} of {asked.subscriptions} hang", seconds=asked.seconds))
        owed = len(load.owed)
        httpx.get(f"{receiver}/hang/0", trust_env=False)
        began = time.monotonic()
        parts.append(load.part("they recover", seconds=asked.timeout + 10))
        while load.owed and time.monotonic() - began < WITHIN_S:
            time.sleep(0.2)
            load.note_arrivals({})
        took = max(load.late_arrivals, default=began) - began if load.late_arrivals else 0.0
    return parts, {"owed": owed, "missing": len(load.owed), "caught_up_s": round(took, 2)}


@contextmanager
def _started(stack: Stack) -> Iterator[None]:
    try:
        stack.start()
        yield
    finally:
        stack.stop()


def _subscribe(stack: Stack, receiver: str, asked: argparse.Namespace) -> None:
    with httpx.Client(base_url=stack.api_url, trust_env=False, timeout=30) as api:
        for number in range(asked.subscriptions):
            headers = {"Authorization": f"Bearer {stack.admin_token}", "Hookline-Organization": f"org_{number}"}
            body = {"url": f"{receiver}/{number}", "event_types": ["*"], "timeout_s": asked.timeout}
            api.post("/api/v1/subscriptions", json=body, headers=headers).raise_for_status()
    time.sleep(2.0)  # in force everywhere


class _Load:
    """A steady load over all organizations in turn, and what came of it."""

    def __init__(self, stack: Stack, receiver: str, asked: argparse.Namespace) -> None:
        self._stack = stack
        self._receiver = receiver
        self._asked = asked
        self._next = 0
        self.owed: dict[str, float] = {}  # to those that hang: by event id, when it was published
        self.late_arrivals: list[float] = []

    def part(self, name: str, *, seconds: float) -> Part:
        """Publish for so long, wait for what the healthy ones are owed, and return their figures."""
        worker = psutil.Process(self._stack.child("worker-0").pid)
        cpu = sum(worker.cpu_times()[:2])
        published = uvloop.run(self._publish(seconds))
        share = (sum(worker.cpu_times()[:2]) - cpu) / seconds
        latencies: list[float] = []
        deadline = time.monotonic() + WITHIN_S
        healthy = {key: at for key, (at, number) in published.items() if number >= self._asked.hanging}
        self.owed |= {key: at for key, (at, number) in published.items() if number < self._asked.hanging}
        missing = dict(healthy)
        while missing and time.monotonic() < deadline:
            latencies += self.note_arrivals(missing)
            time.sleep(0.1)
        latencies.sort()
        return Part(
            part=name,
            deliveries=len(latencies),
            missing=len(missing),
            p50_ms=_quantile(latencies, 0.5),
            p95_ms=_quantile(latencies, 0.95),
            p99_ms=_quantile(latencies, 0.99),
            longest_ms=_quantile(latencies, 1.0),
            worker_mb=round(worker.memory_info().rss / 1e6, 1),
            worker_cpu_share=round(share, 2),
        )

    def note_arrivals(self, missing: dict[str, float]) -> list[float]:
        """Take out of `missing`, and of what is owed, what has arrived; return the former's latencies in ms."""
        found = []
        for event_id, _, at in httpx.get(f"{self._receiver}/arrivals", trust_env=False).json():
            published_at = missing.pop(event_id, None)
            if published_at is not None:
                found.append((at - published_at) * 1000)
            elif self.owed.pop(event_id, None) is not None:
                self.late_arrivals.append(time.monotonic() - (time.time() - at))
        return found

    async def _publish(self, seconds: float) -> dict[str, tuple[float, int]]:
        published: dict[str, tuple[float, int]] = {}
        data = {"id": "u1", "name": "x" * (BODY_BYTES - 260)}
        loop = asyncio.get_running_loop()
        began = loop.time()
        with Publisher(self._stack.bootstrap_servers, source="/bench") as publisher:
            await publisher.publish(type="hookline.test", organization_id="org_bench", data={})
            for count in range(int(seconds * self._asked.rate)):
                due = began + count / self._asked.rate
                if due > loop.time():
                    await asyncio.sleep(due - loop.time())
                number, self._next = self._next, (self._next + 1) % self._asked.subscriptions
                at = time.time()
                receipt = publisher.publish(
                    type="user.created", organization_id=f"org_{number}", data=data, key=f"k{number}"
                )
                published[EventId(receipt.event_id)] = (at, number)
            publisher.flush()
        return published


def _quantile(ordered: list[float], share: float) -> float:
    return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)], 1) if ordered else float("nan")


if __name__ == "__main__":
    sys.exit(main())
