"""Stock Faust on the input that our worker holds on: if a control passes one day, the way round it can go.

F1 and F11 have theirs in test_acks.py and test_mover.py. FAUST.md's numbers.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from compose.children import Child, start_child
from compose.stack import Stack
from producers import Publisher
from tests.flows.recorder import Recorder

pytestmark = [pytest.mark.slow, pytest.mark.kafka, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def topic(bootstrap: str) -> str:
    """Return the name of a fresh topic with one partition."""
    name = f"control-{uuid4().hex}"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(name, 1, 1)])[name].result()
    return name


def produce(bootstrap: str, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(30) == 0


@contextmanager
def stock_worker(mode: str, bootstrap: str, topic: str, folder: Path) -> Iterator[Path]:
    """Run a stock worker; yield the file of what its agent was given."""
    seen = folder / "seen"
    seen.touch()
    arguments = [mode, bootstrap, topic, f"group-{topic}", str(seen)]
    child = start_child(
        "stock-faust",
        [sys.executable, "-m", "tests.processors.stock_faust", *arguments],
        log=folder / "stock.log",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        folder=folder,
    )
    try:
        yield seen
    finally:
        child.stop(how=signal.SIGTERM, within_s=30)


def wait_for(seen: Path, value: str, *, within_s: float) -> list[str]:
    """Return the values once `value` is among them, or when the time is over."""
    deadline = time.monotonic() + within_s
    while (values := seen.read_text().split()).count(value) == 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    return values


def test_f2_stock_faust_loses_what_its_agent_raised_on(bootstrap: str, topic: str, tmp_path: Path) -> None:
    produce(bootstrap, topic, [b"0", b"1", b"2"])
    with stock_worker("raises", bootstrap, topic, tmp_path) as seen:
        wait_for(seen, "2", within_s=30)
    with stock_worker("raises", bootstrap, topic, tmp_path) as seen:
        produce(bootstrap, topic, [b"3"])
        values = wait_for(seen, "3", within_s=30)
    assert values.count("1") == 1, "read once, failed once, and never again: it was acknowledged"


def test_f5_stock_faust_stands_still_at_records_that_do_not_decode(bootstrap: str, topic: str, tmp_path: Path) -> None:
    good = [str(number).encode() for number in range(20)]
    produce(bootstrap, topic, [b"0"])
    with stock_worker("undecodable", bootstrap, topic, tmp_path) as seen:
        wait_for(seen, "0", within_s=30)  # it runs
        produce(bootstrap, topic, [value for number in good[1:] for value in (b"{not json", number)])
        values = wait_for(seen, "19", within_s=30)
    # Ours has all of 50 good ones among 50 bad within 10 s: test_way_of_an_event.py, the quarantine.
    assert len(set(values)) < len(good), "each bad record costs its agent a restart of seconds"


# The worker's own command; the control takes the skip set away before it runs.
WORKER = """
import sys
from processors.skipping import OutcomeTail
async def read_nothing(self, partitions):
    return None
if {without}:
    OutcomeTail.load = read_nothing
from compose.command import main
sys.argv = ["hookline", "worker"]
main()
"""
EVENTS = 100


@pytest.mark.flow
@pytest.mark.postgres
async def test_f19_without_the_skip_set_a_kill_behind_a_hanging_endpoint_sends_again_what_was_done(
    servers_folder: Path,
) -> None:
    stack = Stack(
        servers_folder / "f19",
        env={
            "HOOKLINE_RETRY_WAITS": "1h",
            "HOOKLINE_PARTITIONS": "1",
            # A subscription that hangs must hold the acks for this: it stays live, with all that it is owed open.
            "HOOKLINE_SOFT_LIMIT_S": "60",
            "HOOKLINE_MOST_PER_SUBSCRIPTION": "1000",
        },
    )
    await asyncio.to_thread(stack.start)
    try:
        await asyncio.to_thread(stack.hold, "worker-0")
        with_it = await _sent_twice(stack, "with", without=False)
        without = await _sent_twice(stack, "without", without=True)
    finally:
        await asyncio.to_thread(stack.stop)
    print(f"of {EVENTS}, after one kill with one endpoint hanging: {with_it} twice, {without} without the skip set")
    assert without >= EVENTS / 2
    assert with_it <= EVENTS / 10


async def _sent_twice(stack: Stack, organization: str, *, without: bool) -> int:
    """Return how many deliveries to an endpoint that works were sent twice when a worker was killed and came back."""
    async with Recorder() as recorder:
        headers = {"Authorization": f"Bearer {stack.admin_token}", "Hookline-Organization": organization}
        async with httpx.AsyncClient(base_url=stack.api_url, headers=headers, trust_env=False) as api:
            for name in ("hangs", "works"):
                body = {"url": recorder.path(name), "event_types": ["user.*"], "timeout_s": 60}
                assert (await api.post("/api/v1/subscriptions", json=body)).status_code == 201
        recorder.hang("hangs")
        worker = _start_worker(stack, without=without)
        await _publish(stack, organization)
        await recorder.until("works", lambda requests: len(requests) == EVENTS, within_s=30)
        await recorder.until("hangs", lambda requests: len(requests) == EVENTS, within_s=30)
        await asyncio.sleep(1.0)  # outcomes reach Kafka, acks are committed
        worker.kill()
        hanging = len(recorder.requests_to("hangs"))
        worker = _start_worker(stack, without=without)
        # What hung is sent again by either worker, after all that stands before it in the log.
        await recorder.until("hangs", lambda requests: len(requests) == hanging + EVENTS, within_s=30)
        worker.kill()
        return len(recorder.requests_to("works")) - EVENTS


def _start_worker(stack: Stack, *, without: bool) -> Child:
    argv = [sys.executable, "-c", WORKER.format(without=without)]
    env = {**stack.environment, "PYTHONPATH": str(ROOT)}
    return start_child("worker", argv, log=stack.folder / "logs" / "controlled.log", env=env)


async def _publish(stack: Stack, organization: str) -> None:
    with Publisher(stack.bootstrap_servers) as publisher:
        for number in range(EVENTS):
            await publisher.publish(type="user.created", organization_id=organization, data={"id": str(number)})
