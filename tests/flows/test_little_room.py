"""A worker that may hold little of each partition works everything off all the same."""

import asyncio
from pathlib import Path

import httpx
import pytest

from compose.stack import Stack
from producers import Publisher
from tests.flows.in_force import METERED, in_force
from tests.flows.recorder import Recorder

pytestmark = [pytest.mark.slow, pytest.mark.flow, pytest.mark.kafka, pytest.mark.postgres, pytest.mark.timeout(240)]

SUBSCRIPTIONS = 10
LITTLE = 60  # events, ten times what the worker may hold of a partition


async def test_a_worker_with_little_room_holds_partitions_back_and_goes_on(servers_folder: Path) -> None:
    stack = Stack(
        servers_folder / "little-room",
        env={"HOOKLINE_MOST_HELD_RECORDS": "10", "HOOKLINE_MOST_IN_FLIGHT": "8", "HOOKLINE_PARTITIONS": "2", **METERED},
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
    await in_force(stack)
