"""One stack for the stories that do not break it; those that do start their own."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from confluent_kafka import OFFSET_BEGINNING, OFFSET_INVALID, Consumer, Message, TopicPartition

from compose.stack import Stack
from producers import Publisher
from tests.flows.in_force import METERED, in_force
from tests.flows.recorder import Recorder

WAITS = "1s,1s,2s"
ATTEMPTS = 4


@pytest.fixture(scope="session")
def stack(servers_folder: Path) -> Iterator[Stack]:
    """Return a running stack with one worker and short waits."""
    settings = {
        "HOOKLINE_RETRY_WAITS": WAITS,
        # With waits of a second all retries come within the minute that a breaker looks at: here they are the story.
        "HOOKLINE_BREAKER_LEAST_ATTEMPTS": "1000000",
        **METERED,
    }
    running = Stack(servers_folder / "stack", env=settings)
    running.start()
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
async def recorder() -> AsyncIterator[Recorder]:
    async with Recorder() as serving:
        yield serving


@pytest.fixture(scope="session")
def publisher(stack: Stack) -> Iterator[Publisher]:
    with Publisher(stack.bootstrap_servers, source="/tests") as publishing:
        yield publishing


@dataclass(frozen=True)
class Organization:
    """An organization of one test's own, and the API as its administrator sees it."""

    id: str
    api: httpx.AsyncClient
    stack: Stack

    async def in_force(self) -> None:
        """Wait until every worker knows what the API has answered so far."""
        await in_force(self.stack)

    async def subscribe(self, url: str, *event_types: str, **more: object) -> dict[str, str]:
        """Create a subscription, wait until it is in force, and return what the API answered."""
        body = {"url": url, "event_types": list(event_types) or ["*"], **more}
        answer = await self.api.post("/api/v1/subscriptions", json=body)
        assert answer.status_code == 201, answer.text
        created: dict[str, str] = answer.json()
        await self.in_force()
        return created

    async def get(self, path: str, **parameters: object) -> Any:
        """Return what the API answers to a GET below /api/v1, which must succeed."""
        answer = await self.api.get(f"/api/v1{path}", params=parameters)  # type: ignore[arg-type] # texts and numbers
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: object = None, *, status: int) -> Any:
        """Return what the API answers to a POST below /api/v1, which must have this status."""
        answer = await self.api.post(f"/api/v1{path}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def until(
        self, path: str, reached: Callable[[Any], bool], *, within_s: float = 60, **parameters: object
    ) -> Any:
        """Return the same once `reached` holds for it: what the log says comes a little after what happened."""
        deadline = time.monotonic() + within_s
        while not reached(found := await self.get(path, **parameters)):
            assert time.monotonic() < deadline, f"{path} after {within_s} s: {found}"
            await asyncio.sleep(0.05)
        return found


@pytest.fixture
async def organization(stack: Stack) -> AsyncIterator[Organization]:
    identifier = f"org_{uuid4().hex[:12]}"
    headers = {"Authorization": f"Bearer {stack.admin_token}", "Hookline-Organization": identifier}
    async with httpx.AsyncClient(base_url=stack.api_url, headers=headers, trust_env=False) as api:
        yield Organization(identifier, api, stack)


def _read(
    bootstrap: str, topic: str, wanted: Callable[[Message], bool], is_enough: Callable[[int], bool], within_s: float
) -> list[Message]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"tests-{uuid4().hex}"})
    try:
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        places = [TopicPartition(topic, each, OFFSET_BEGINNING) for each in partitions]
        marks = {each: consumer.get_watermark_offsets(TopicPartition(topic, each), timeout=30) for each in partitions}
        ends = {each: high for each, (low, high) in marks.items() if low < high}
        consumer.assign(places)
        found: list[Message] = []
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            records = consumer.consume(1000, timeout=0.1)
            found += [record for record in records if record.error() is None and wanted(record)]
            unread = [
                place for place in consumer.position(places) if place.offset < ends.get(place.partition, OFFSET_INVALID)
            ]
            if not unread and is_enough(len(found)):
                return found
        raise AssertionError(f"{len(found)} on {topic} after {within_s} s")
    finally:
        consumer.close()


async def records_on(
    bootstrap: str, topic: str, wanted: Callable[[Message], bool], *, count: int, within_s: float = 60
) -> list[Message]:
    """Return all of a topic's records that are wanted, once it is read to its end and there are `count`."""
    return await asyncio.to_thread(_read, bootstrap, topic, wanted, lambda found: found >= count, within_s)
