"""What goes away and comes back: PostgreSQL, the mover, the worker. And what must never be seen anywhere."""

import asyncio
import base64
import time
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from confluent_kafka import Message

from compose.stack import Stack
from producers import Publisher
from schemas.topics import ATTEMPTS, declared_topics
from schemas.waits import parse_schedule
from tests.flows.conftest import WAITS, Organization, records_on
from tests.flows.recorder import Recorder, fails
from tests.machine import SLOW_MACHINE_S

pytestmark = [pytest.mark.slow, pytest.mark.flow, pytest.mark.kafka, pytest.mark.postgres, pytest.mark.timeout(120)]

EVENTS = 20


async def test_delivery_goes_on_without_postgresql(
    stack: Stack, organization: Organization, recorder: Recorder, publisher: Publisher
) -> None:
    await organization.subscribe(recorder.path("here"), "user.*")
    await asyncio.to_thread(stack.postgres.stop)
    try:
        for number in range(EVENTS):
            await publisher.publish(type="user.created", organization_id=organization.id, data={"id": str(number)})
        await recorder.until("here", lambda requests: len(requests) == EVENTS, within_s=30)
        assert (await organization.api.get("/readyz")).status_code == 503
        accepted = await organization.api.post("/api/v1/events", json={"type": "user.created", "data": {"id": "x"}})
        assert accepted.status_code == 202, "an event needs Kafka and no database"
    finally:
        await asyncio.to_thread(stack.postgres.start)
        await asyncio.to_thread(stack.postgres.wait_until_ready)
    async with asyncio.timeout(60):
        while (await organization.api.get("/readyz")).status_code != 200:  # noqa: ASYNC110 - no event of ours
            await asyncio.sleep(0.1)


@pytest.mark.alone
@pytest.mark.parametrize("killed", ["mover", "worker-0"])
async def test_a_kill_makes_no_retry_early_and_none_late_by_more_than_the_restart(
    killed: str, stack: Stack, organization: Organization, recorder: Recorder, publisher: Publisher
) -> None:
    created = await organization.subscribe(recorder.path("flaky", fails(3)), "user.*")
    for number in range(EVENTS):
        await publisher.publish(type="user.created", organization_id=organization.id, data={"id": str(number)})
    key = created["id"].encode()
    await records_on(stack.bootstrap_servers, ATTEMPTS, lambda record: record.key() == key, count=EVENTS)
    killed_at = time.time()
    stack.kill(killed)  # every first attempt is on record, every retry waits: nothing is in flight to be sent twice
    by_event: dict[str, list[float]] = {}
    for request in await recorder.until(
        "flaky", lambda requests: len({r.webhook_id for r in requests[EVENTS * 3 :]}) == EVENTS, within_s=40
    ):
        by_event.setdefault(request.webhook_id, []).append(request.at)
    await asyncio.to_thread(stack.wait_until_ready, killed)
    restarting_s = (stack.folder / "run" / f"{killed}.ready").stat().st_mtime - killed_at
    gaps = [[later - earlier for earlier, later in pairwise(times)] for times in by_event.values()]
    waits = [float(wait.removesuffix("s")) for wait in WAITS.split(",")]
    early = [gap for of_event in gaps for gap, wait in zip(of_event, waits, strict=False) if gap < wait]
    assert not early
    late = sorted(gap - wait for of_event in gaps for gap, wait in zip(of_event, waits, strict=False))
    print(f"{killed} killed: ready again after {restarting_s:.3f} s, latest retry {late[-1]:.3f} s after it was due")
    # A process that is started again needs that long to begin; what waits is late by no more than that and a second.
    assert 0 < restarting_s < 20
    assert late[len(late) // 2] <= restarting_s + 1.0
    assert late[-1] <= restarting_s + SLOW_MACHINE_S


async def test_secrets_are_found_nowhere(
    stack: Stack, organization: Organization, recorder: Recorder, publisher: Publisher
) -> None:
    created = await organization.subscribe(
        recorder.path("here", fails(1)), "user.*", headers={"X-Api-Key": "canary-of-a-header"}
    )
    password = "canary-of-a-password"
    await publisher.publish(
        type="user.created",
        organization_id=organization.id,
        data={"id": "u", "password": password},
        metadata={"nested": [{"api_key": password}]},
    )
    requests = await recorder.until("here", lambda requests: len(requests) == 2, within_s=60)
    assert requests[0].headers["x-api-key"] == "canary-of-a-header"
    assert password.encode() not in requests[0].body

    key = created["secret"].removeprefix("whsec_")
    master_key = (stack.folder / "master-keys").read_text().partition(":")[2]
    plain = [created["secret"], key, master_key, stack.admin_token, "canary-of-a-header", password]
    canaries = [*(each.encode() for each in plain), base64.b64decode(key), base64.b64decode(master_key)]
    canaries += [canary.hex().encode() for canary in canaries[-2:]]

    for log in (stack.folder / "logs").glob("*.log"):
        content = log.read_bytes()
        assert not [canary for canary in canaries if canary in content], log.name
    for topic in declared_topics(parse_schedule(WAITS).tiers):
        assert not await _holding(stack, topic.name, canaries), topic.name
    async with httpx.AsyncClient(base_url=stack.api_url, trust_env=False) as api:
        metrics = (await api.get("/metrics")).content
    assert not [canary for canary in canaries if canary in metrics]
    assert not _database_files_with(stack.folder / "postgres", canaries)


async def _holding(stack: Stack, topic: str, canaries: list[bytes]) -> list[Message]:
    def holds(record: Message) -> bool:
        parts = [record.key() or b"", record.value() or b"", repr(record.headers()).encode()]
        return any(canary in part for canary in canaries for part in parts)

    return await records_on(stack.bootstrap_servers, topic, holds, count=0)


def _database_files_with(folder: Path, canaries: list[bytes]) -> list[Path]:
    """Return the files of tables and of the write-ahead log that hold a canary."""
    files = [path for part in ("base", "global", "pg_wal") for path in (folder / part).rglob("*") if path.is_file()]
    return [path for path in files if any(canary in path.read_bytes() for canary in canaries)]
