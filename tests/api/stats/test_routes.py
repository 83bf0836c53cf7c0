"""Totals over REST: sums of what the projection counted."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import insert

from api.projection.tables import HealthRow
from api.stats.durations import BUCKETS, bucket_of
from api.stats.tables import EVERY, CountsRow
from tests.api.logged import Log
from tests.api.problem import problem_of

pytestmark = pytest.mark.postgres


def today() -> date:
    return datetime.now(UTC).date()


async def counted(log: Log, *, durations_ms: list[int], **fields: Any) -> None:
    """Write what was counted on one day."""
    durations = [0] * BUCKETS
    for duration in durations_ms:
        durations[bucket_of(duration)] += 1
    kept = {"subscription_id": EVERY, "day": today(), "partition": 0, "organization_id": log.organization_id}
    numbers = dict.fromkeys(("pending", "retrying", "success", "failed", "held", "failed_attempts"), 0)
    row = {**kept, **numbers, "attempts": len(durations_ms), "duration_ms": sum(durations_ms), "durations": durations}
    async with log.engine.begin() as db:
        await db.execute(insert(CountsRow).values(**{**row, **fields}))


async def made_subscription(api: httpx.AsyncClient, *, enabled: bool = True) -> str:
    body = {"url": "https://93.184.216.34/in", "event_types": ["*"], "enabled": enabled}
    return str((await api.post("/api/v1/subscriptions", json=body)).json()["id"])


async def test_an_organization_without_anything_has_seven_days_of_nothing(api: httpx.AsyncClient) -> None:
    before = today()
    body = (await api.get("/api/v1/stats")).json()
    days = body.pop("days")
    assert days[-1]["day"] in {str(before), str(today())}
    assert [each["day"] for each in days] == sorted({each["day"] for each in days})
    assert len(days) == 7
    assert {(each["success"], each["failed"], each["retrying"]) for each in days} == {(0, 0, 0)}
    assert body == {
        "subscriptions": 0,
        "active": 0,
        "deliveries": 0,
        "success_rate": None,
        "failures": 0,
        "average_duration_ms": None,
        "p95_duration_ms": None,
        "pending": 0,
        "retrying": 0,
        "dead": 0,
        "held": 0,
    }


async def test_totals_are_summed_over_partitions_and_days(api: httpx.AsyncClient, log: Log) -> None:
    await made_subscription(api)
    await made_subscription(api, enabled=False)
    await counted(log, durations_ms=[10] * 90, success=80, failed=10, failed_attempts=20)
    await counted(log, durations_ms=[1000] * 10, partition=1, success=10, retrying=3, pending=2, held=1)
    await counted(log, durations_ms=[], day=today() - timedelta(days=6), failed=5)
    await counted(log, durations_ms=[], day=today() - timedelta(days=7), failed=5)
    body = (await api.get("/api/v1/stats")).json()
    assert (body["subscriptions"], body["active"]) == (2, 1)
    assert body["deliveries"] == 80 + 10 + 10 + 3 + 2 + 1 + 5 + 5
    assert body["success_rate"] == pytest.approx(90 / 110)
    assert (body["failures"], body["dead"], body["held"], body["pending"], body["retrying"]) == (20, 20, 1, 2, 3)
    assert body["average_duration_ms"] == pytest.approx((90 * 10 + 10 * 1000) / 100)
    assert 800 <= body["p95_duration_ms"] <= 1000
    assert [day["failed"] for day in body["days"]] == [5, 0, 0, 0, 0, 0, 10]
    assert (body["days"][-1]["success"], body["days"][-1]["retrying"]) == (90, 3)


async def test_a_subscriptions_totals_are_its_own_and_say_how_it_is_doing(api: httpx.AsyncClient, log: Log) -> None:
    mine, other = await made_subscription(api), await made_subscription(api)
    await counted(log, durations_ms=[10], subscription_id=mine, success=1)
    await counted(log, durations_ms=[10], subscription_id=other, failed=1, failed_attempts=1)
    moment = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
    health = {"subscription_id": other, "organization_id": log.organization_id, "failed_attempts": 4, "exhausted": 1}
    async with log.engine.begin() as db:
        await db.execute(insert(HealthRow).values(**health, failing_since=moment, last_attempt_at=moment))
    well = (await api.get(f"/api/v1/subscriptions/{mine}/stats")).json()
    failing = (await api.get(f"/api/v1/subscriptions/{other}/stats")).json()
    assert (well["deliveries"], well["success_rate"], well["consecutive_failures"]) == (1, 1.0, 0)
    assert (well["failing_since"], well["last_attempt_at"], len(well["days"])) == (None, None, 7)
    assert "subscriptions" not in well
    assert (failing["success_rate"], failing["failures"], failing["consecutive_failures"]) == (0.0, 1, 4)
    assert failing["failing_since"] == failing["last_attempt_at"] == "2026-11-21T09:30:00Z"
    assert failing["last_success_at"] is None


async def test_another_organizations_are_not_there(api: httpx.AsyncClient, log: Log) -> None:
    subscription_id = await made_subscription(api)
    await counted(log, durations_ms=[10], success=1)
    stranger = {"Hookline-Organization": "org_stranger"}
    problem_of(await api.get(f"/api/v1/subscriptions/{subscription_id}/stats", headers=stranger), 404)
    problem_of(await api.get("/api/v1/subscriptions/nonsense/stats"), 404)
    assert (await api.get("/api/v1/stats", headers=stranger)).json()["deliveries"] == 0
