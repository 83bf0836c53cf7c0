"""Every waiting tier, waits shortened, one partition busy, the mover and the worker killed while records wait.

How late they are is printed and not claimed here: it was measured on a saturated machine only, where it was over a
second. tests/processors/test_mover.py claims it of the mover.
"""

import asyncio
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from compose.stack import Stack
from producers import Publisher
from schemas.codec import decode
from schemas.records import Attempt, AttemptState
from schemas.topics import ATTEMPTS
from schemas.waits import parse_schedule
from tests.flows.conftest import records_on
from tests.flows.in_force import METERED, in_force
from tests.flows.recorder import Recorder, always

pytestmark = [
    pytest.mark.slow,
    pytest.mark.flow,
    pytest.mark.kafka,
    pytest.mark.postgres,
    pytest.mark.alone,
    pytest.mark.timeout(180),
]

WAITS = "200ms,500ms,1s,2s,3s,5s"
SCHEDULE = parse_schedule(WAITS)
DELIVERIES = 420  # 2,520 records through the tiers
PER_S = 30
SUBSCRIPTIONS = 8  # the first has 90 % of the deliveries, and so has its partition
JITTER = 0.04


@dataclass
class Away:
    """When processes were killed, and when what was killed was ready again."""

    times: list[tuple[float, float]] = field(default_factory=list)

    def within(self, begin: float, end: float) -> float:
        """Return for how many of the seconds from `begin` to `end` something was away."""
        return sum(max(0.0, min(end, ended) - max(begin, began)) for began, ended in self.times)


async def test_all_tiers_under_kills_are_never_early_and_count_exactly(servers_folder: Path) -> None:
    env = {
        "HOOKLINE_RETRY_WAITS": WAITS,
        "HOOKLINE_RETRY_JITTER": str(JITTER),
        "HOOKLINE_LOG_LEVEL": "info",
        # All of these fail, within the minute that a breaker looks at: its waits are not the ones that are measured.
        "HOOKLINE_BREAKER_LEAST_ATTEMPTS": "1000000",
        **METERED,
    }
    stack = Stack(servers_folder / "waits", env=env)
    await asyncio.to_thread(stack.start)
    try:
        async with Recorder() as recorder:
            organizations = [f"org_{uuid4().hex[:12]}" for _ in range(SUBSCRIPTIONS)]
            for number, organization in enumerate(organizations):
                await _subscribe(stack, recorder.path(f"{number}", always(500)), organization)
            await in_force(stack)
            await asyncio.to_thread(stack.hold, "projector")  # it would disable what always fails
            away = Away()
            await asyncio.gather(_publish(stack, organizations), _kill(stack, away))
            found = await records_on(
                stack.bootstrap_servers,
                ATTEMPTS,
                lambda message: decode(Attempt, message.value()).state is AttemptState.FAILED,
                count=DELIVERIES,
                within_s=60,
            )
            assert found
            everything = await records_on(stack.bootstrap_servers, ATTEMPTS, lambda _: True, count=1)
            requests = Counter(
                request.webhook_id for number in range(SUBSCRIPTIONS) for request in recorder.requests_to(f"{number}")
            )
    finally:
        await asyncio.to_thread(stack.stop)
    _judge([decode(Attempt, message.value()) for message in everything], requests, away)


def _judge(attempts: list[Attempt], requests: Counter[str], away: Away) -> None:
    by_delivery: defaultdict[str, dict[int, Attempt]] = defaultdict(dict)
    ends: defaultdict[tuple[str, int], list[datetime]] = defaultdict(list)
    for attempt in attempts:
        by_delivery[attempt.delivery_id].setdefault(attempt.attempt, attempt)
        assert attempt.started_at is not None
        ends[attempt.delivery_id, attempt.attempt].append(attempt.started_at)
    assert len(by_delivery) == DELIVERIES
    wrong = Counter(tuple(sorted(each)) for each in by_delivery.values() if sorted(each) != [*range(1, 8)])
    assert not wrong, f"attempts of a delivery: {wrong}"
    late_s: list[float] = []
    own_late_s: list[float] = []
    for each in attempts:
        if each.attempt == 1:
            continue
        wait = SCHEDULE.waits[each.attempt - 2]
        first_failed_at = min(ends[each.delivery_id, each.attempt - 1])
        assert each.started_at is not None
        assert each.started_at >= each.due_at, "early"
        # Of an attempt that a kill cut off after its retry was written, only the second is logged.
        assert each.due_at - first_failed_at >= wait or requests[each.event_id] > SCHEDULE.attempts, "due early"
        late = (each.started_at - each.due_at).total_seconds()
        late_s.append(late)
        own_late_s.append(late - away.within(each.due_at.timestamp(), each.started_at.timestamp()))
    twice = requests.total() - DELIVERIES * SCHEDULE.attempts
    print(f"{DELIVERIES} deliveries, {len(late_s)} waits over 6 tiers; away {_spans(away)}; {twice} sent twice")
    print(f"late: p50 {_at(late_s, 0.5)} p99 {_at(late_s, 0.99)} max {_at(late_s, 1)} s;", end=" ")
    print(f"less the time that a process was away: p99 {_at(own_late_s, 0.99)} max {_at(own_late_s, 1)} s")
    assert 0 <= twice <= DELIVERIES * SCHEDULE.attempts * 0.03


def _spans(away: Away) -> str:
    return ", ".join(f"{ended - began:.1f} s" for began, ended in away.times)


def _at(values: list[float], share: float) -> float:
    return round(sorted(values)[min(int(len(values) * share), len(values) - 1)], 3) if values else 0.0


async def _subscribe(stack: Stack, url: str, organization: str) -> None:
    headers = {"Authorization": f"Bearer {stack.admin_token}", "Hookline-Organization": organization}
    async with httpx.AsyncClient(base_url=stack.api_url, headers=headers, trust_env=False) as api:
        answer = await api.post("/api/v1/subscriptions", json={"url": url, "event_types": ["user.*"]})
        assert answer.status_code == 201


async def _publish(stack: Stack, organizations: list[str]) -> None:
    with Publisher(stack.bootstrap_servers, source="/tests") as publisher:
        began = time.monotonic()
        for number in range(DELIVERIES):
            to = 0 if number % 10 else 1 + number // 10 % (SUBSCRIPTIONS - 1)
            publisher.publish(type="user.created", organization_id=organizations[to], data={"id": str(number)})
            await asyncio.sleep(max(0.0, began + number / PER_S - time.monotonic()))


async def _kill(stack: Stack, away: Away) -> None:
    for name in ("mover", "worker-0", "mover"):
        await asyncio.sleep(4)
        began = time.time()
        await asyncio.to_thread(stack.kill, name)
        await asyncio.sleep(0.3)  # the stack has noticed
        await asyncio.to_thread(stack.wait_until_ready, name)
        away.times.append((began, time.time()))
