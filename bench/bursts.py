"""`python -m bench.bursts`: how long one organization's events take while another's burst stands before them.

Both write to one partition of `hookline.events`: A as fast as its publisher can, each event to 3 subscriptions, and B
one event each 100 ms, from the burst's beginning until it is delivered. B's subscription has a partition of
`hookline.deliver` without A's, so the figures are those of routing and of the worker's one loop. The first line is B
alone.
"""

import argparse
import asyncio
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
import psutil
from aiokafka.partitioner import DefaultPartitioner
from confluent_kafka import Consumer, TopicPartition

from bench.deliveries import receiving
from compose.stack import Stack
from producers import Publisher
from schemas.codec import decode
from schemas.records import Attempt
from schemas.topics import ATTEMPTS, DEFAULT_PARTITIONS

FAN_OUT = 3
EVERY_S = 0.1
FILLING = "x" * 760
WITHIN_S = 300.0


def main() -> int:
    """Run both parts; exit 1 when something did not arrive."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=50_000, help="events of the burst (default 50000)")
    parser.add_argument("--alone", type=float, default=10.0, help="seconds of B alone before it (default 10)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hookline-bench-") as folder, receiving(Path(folder)) as receiver:
        stack = Stack(Path(folder) / "stack", env={"HOOKLINE_LOG_LEVEL": "warning"}, say=lambda _: None)
        try:
            stack.start()
            return asyncio.run(_run(stack, receiver, asked))
        finally:
            stack.stop()


async def _run(stack: Stack, receiver: str, asked: argparse.Namespace) -> int:
    await asyncio.to_thread(_subscribe, stack, receiver)
    worker = psutil.Process(stack.child("worker-0").pid)
    done, memory = threading.Event(), [0]
    with Publisher(stack.bootstrap_servers) as publisher:
        await publisher.publish(type="hookline.test", organization_id="org_b", data={})
        warm = await _trickle(publisher, until=time.monotonic() + 2, done=done)
        alone = await _trickle(publisher, until=time.monotonic() + asked.alone, done=done)
        resident = worker.memory_info().rss
        burst = threading.Thread(target=_burst, args=(stack, asked.events))
        watch = threading.Thread(target=_watch, args=(receiver, worker, asked.events * FAN_OUT, memory, done))
        began = time.monotonic()
        burst.start()
        watch.start()
        beside = await _trickle(publisher, until=began + WITHIN_S, done=done)
        took = time.monotonic() - began
        await asyncio.to_thread(burst.join)
    await asyncio.sleep(5)
    arrived = {identifier: at for identifier, path, at in _arrivals(receiver) if path == "/b"}
    print(f"burst: {asked.events:,} events × {FAN_OUT} delivered in {took:.1f} s;", end=" ")
    print(f"worker's memory {resident / 1e6:.0f} MB before, {max(memory) / 1e6:.0f} MB at most")
    _print("B alone", alone, arrived)
    _print("B beside the burst", beside, arrived)
    _print("  until routed", beside, await asyncio.to_thread(_routed, stack))
    return 0 if {**warm, **alone, **beside}.keys() <= arrived.keys() else 1


def _subscribe(stack: Stack, receiver: str) -> None:
    """Give A its subscriptions, and B one in another partition: what is too much is deleted."""
    taken: set[int] = set()
    for number in range(FAN_OUT):
        taken.add(_partition(_created(stack, "org_a", f"{receiver}/a{number}")))
    while _partition(unfit := _created(stack, "org_b", f"{receiver}/b")) in taken:
        headers = {"Authorization": f"Bearer {stack.admin_token}", "Hookline-Organization": "org_b"}
        httpx.delete(f"{stack.api_url}/api/v1/subscriptions/{unfit}", headers=headers, trust_env=False)
    time.sleep(2.0)  # in force everywhere


def _created(stack: Stack, organization: str, url: str) -> str:
    headers = {"Authorization": f"Bearer {stack.admin_token}", "Hookline-Organization": organization}
    body = {"url": url, "event_types": ["user.*"]}
    answer = httpx.post(f"{stack.api_url}/api/v1/subscriptions", json=body, headers=headers, trust_env=False)
    return str(answer.raise_for_status().json()["id"])


def _partition(key: str) -> int:
    """Return where a key's records go: DefaultPartitioner is Java's murmur2, as ours is."""
    every = list(range(DEFAULT_PARTITIONS))
    return int(DefaultPartitioner()(key.encode(), every, every))


async def _trickle(publisher: Publisher, *, until: float, done: threading.Event) -> dict[str, float]:
    """Publish B's events at their rate; return when each was published, by its id."""
    published: dict[str, float] = {}
    while time.monotonic() < until and not done.is_set():
        at = time.time()
        receipt = publisher.publish(type="user.created", organization_id="org_b", key="k", data={"id": "1"})
        published[receipt.event_id] = at
        await asyncio.sleep(EVERY_S)
    return published


def _burst(stack: Stack, events: int) -> None:
    with Publisher(stack.bootstrap_servers) as publisher:
        for number in range(events):
            data = {"id": str(number), "name": FILLING}
            publisher.publish(type="user.created", organization_id="org_a", key="k", data={**data})


def _watch(receiver: str, worker: psutil.Process, count: int, memory: list[int], done: threading.Event) -> None:
    """Note the worker's memory until so many have arrived."""
    deadline, base = time.monotonic() + WITHIN_S, _count(receiver)
    while time.monotonic() < deadline and _count(receiver) - base < count:
        memory.append(worker.memory_info().rss)
        time.sleep(0.2)
    done.set()


def _routed(stack: Stack) -> dict[str, float]:
    """Return when B's events were routed, by their ids: their first attempt is due from then on."""
    consumer = Consumer({"bootstrap.servers": stack.bootstrap_servers, "group.id": "bench"})
    consumer.assign([TopicPartition(ATTEMPTS, partition, 0) for partition in range(DEFAULT_PARTITIONS)])
    routed: dict[str, float] = {}
    while messages := consumer.consume(1000, timeout=3):
        for attempt in (decode(Attempt, message.value()) for message in messages):
            if attempt.organization_id == "org_b":
                routed[attempt.event_id] = attempt.due_at.timestamp()
    consumer.close()
    return routed


def _count(receiver: str) -> int:
    return int(httpx.get(f"{receiver}/count", trust_env=False).text)


def _arrivals(receiver: str) -> list[tuple[str, str, float]]:
    return [(event_id, path, at) for event_id, path, at in httpx.get(f"{receiver}/arrivals", trust_env=False).json()]


def _print(part: str, published: dict[str, float], arrived: dict[str, float]) -> None:
    ordered = sorted((arrived[each] - at) * 1000 for each, at in published.items() if each in arrived)
    p50, p95, p99 = (ordered[min(int(len(ordered) * share), len(ordered) - 1)] for share in (0.5, 0.95, 0.99))
    missing = len(published) - len(ordered)
    figures = f"p50 {p50:.0f} p95 {p95:.0f} p99 {p99:.0f} max {ordered[-1]:.0f} ms"
    print(f"{part}: {len(published)} events, {figures}; {missing} did not arrive")


if __name__ == "__main__":
    sys.exit(main())
