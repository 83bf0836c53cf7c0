"""Workers are killed again and again under load; nothing is lost, little is sent twice."""

import asyncio
from collections import Counter
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from compose.stack import Stack
from producers import Publisher
from tests.flows.recorder import Recorder

pytestmark = [pytest.mark.flow, pytest.mark.kafka, pytest.mark.postgres, pytest.mark.timeout(240)]

EVENTS = 2000
SUBSCRIPTIONS = 10
KILLS = 6
KILL_EVERY_S = 3.0
EVENTS_PER_S = 100
MOST_TWICE = 0.03
LITTLE = 60  # events, ten times what the worker of the second story may hold of a partition


@pytest.mark.alone
async def test_two_workers_six_kills_nothing_lost_and_at_most_three_percent_twice(servers_folder: Path) -> None:
    stack = Stack(servers_folder / "kills", workers=2, env={"HOOKLINE_RETRY_WAITS": "1s,1s,1s,1s,1s"})
    await asyncio.to_thread(stack.start)
    try:
        async with Recorder() as recorder:
            organization = f"org_{uuid4().hex[:12]}"
            await _subscribe(stack, recorder, organization)
            published, _ = await asyncio.gather(_publish(stack, organization), _kill_in_rotation(stack))
            owed = {(f"{number}", event_id) for number in range(SUBSCRIPTIONS) for event_id in published}
            for number in range(SUBSCRIPTIONS):
                await recorder.until(
                    f"{number}", lambda requests: len({r.webhook_id for r in requests}) == EVENTS, within_s=90
                )
            arrived = Counter(
                (f"{number}", request.webhook_id)
                for number in range(SUBSCRIPTIONS)
                for request in recorder.requests_to(f"{number}")
            )
    finally:
        await asyncio.to_thread(stack.stop)
    assert set(arrived) == owed
    twice = sum(count - 1 for count in arrived.values())
    print(f"{len(owed)} deliveries, {KILLS} kill -9: 0 lost, {twice} sent twice ({twice / len(owed):.2%})")
    assert twice <= len(owed) * MOST_TWICE


async def test_a_worker_with_little_room_holds_partitions_back_and_goes_on(servers_folder: Path) -> None:
    stack = Stack(
        servers_folder / "little-room",
        env={"HOOKLINE_MOST_HELD_RECORDS": "10", "HOOKLINE_MOST_IN_FLIGHT": "8", "HOOKLINE_PARTITIONS": "2"},
    )
    await asyncio.to_thread(stack.start)
    try:
        async with Recorder() as recorder:
            await _subscribe(stack, recorder, "org_little")
            worker = stack.child("worker-0").pid
            with Publisher(stack.bootstrap_servers) as publisher:
                for number in range(LITTLE):
                    publisher.publish(type="user.created", organization_id="org_little", data={"id": str(number)})
            for number in range(SUBSCRIPTIONS):
                await recorder.until(f"{number}", lambda requests: len(requests) >= LITTLE, within_s=60)
            assert stack.child("worker-0").pid == worker, "it was not started again"
            assert (
                sum(len(recorder.requests_to(f"{number}")) for number in range(SUBSCRIPTIONS)) == LITTLE * SUBSCRIPTIONS
            )
    finally:
        await asyncio.to_thread(stack.stop)


async def _subscribe(stack: Stack, recorder: Recorder, organization: str) -> None:
    headers = {"Authorization": f"Bearer {stack.admin_token}", "Hookline-Organization": organization}
    async with httpx.AsyncClient(base_url=stack.api_url, headers=headers, trust_env=False) as api:
        for number in range(SUBSCRIPTIONS):
            body = {"url": recorder.path(f"{number}"), "event_types": ["user.*"]}
            assert (await api.post("/api/v1/subscriptions", json=body)).status_code == 201
    await asyncio.sleep(2.0)  # in force everywhere


async def _publish(stack: Stack, organization: str) -> list[str]:
    """Publish at a steady rate over all the kills; return the ids that Kafka acknowledged."""
    with Publisher(stack.bootstrap_servers, source="/tests") as publisher:
        receipts = []
        for number in range(EVENTS):
            receipts.append(
                publisher.publish(type="user.created", organization_id=organization, data={"id": str(number)})
            )
            await asyncio.sleep(1 / EVENTS_PER_S)
        return [await receipt for receipt in receipts]


async def _kill_in_rotation(stack: Stack) -> None:
    for kill in range(KILLS):
        await asyncio.sleep(KILL_EVERY_S)
        await asyncio.to_thread(stack.wait_until_ready, f"worker-{kill % 2}")
        stack.kill(f"worker-{kill % 2}")
