"""When a subscription is disabled: a table, and then once, with everything that belongs to it."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from api.projection.disabling import Health, Limits, Reason, decisions
from schemas.codec import decode
from schemas.records import Attempt, AttemptState, Subscription
from tests.api.projection.projecting import Db, Stage, delivery, outcome, running, until_count

START = datetime(2026, 11, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
LIMITS = Limits(exhausted=3, failed=5, span=24 * HOUR)
OWED = delivery()
S, R, F, H = AttemptState.SUCCESS, AttemptState.RETRYING, AttemptState.FAILED, AttemptState.HELD


def came(state: AttemptState, hours: float = 0, **changes: Any) -> Attempt:
    return outcome(OWED, state, **{"started_at": START + hours * HOUR, **changes})


@pytest.mark.parametrize(
    ("attempts", "reason"),
    [
        ([came(F)] * 2, None),
        ([came(F)] * 3, Reason.EXHAUSTED),
        ([came(R), came(F), came(R), came(F), came(R), came(F)], Reason.EXHAUSTED),  # retries between do not matter
        ([came(F), came(F), came(S), came(F), came(F)], None),  # a success starts the count anew
        ([came(F, status=410)], Reason.GONE),
        ([came(F, status=410, is_test=True)], None),
        ([came(F, is_test=True)] * 9, None),
        ([came(F, duration_ms=0, error_kind="deleted")] * 9, None),  # nobody was asked
        ([came(H)] * 9, None),
        ([came(F), came(H), came(F), came(H), came(F)], Reason.EXHAUSTED),
        ([came(R, hour) for hour in (0, 1, 2, 23.9, 23.99)], None),  # not a day yet
        ([came(R, hour) for hour in (0, 1, 2, 3, 24)], Reason.FAILING),
        ([came(R, hour) for hour in (0, 24, 25, 26)], None),  # too few
        ([came(R, 0), came(S, 1), *(came(R, hour) for hour in (2, 3, 4, 5, 25.9))], None),
        ([came(F, -1)] * 9, None),  # from before it was enabled
        ([came(F, -1), came(F, -1), came(F), came(F)], None),
    ],
)
def test_what_disables_a_subscription(attempts: list[Attempt], reason: Reason | None) -> None:
    health = {OWED.subscription_id: Health(enabled=True, enabled_at=START)}
    assert [decision.reason for decision in decisions(health, attempts, LIMITS)] == ([reason] if reason else [])


def test_it_is_decided_once_and_not_again_while_it_is_disabled() -> None:
    health = {OWED.subscription_id: Health(enabled=True, enabled_at=START)}
    assert len(decisions(health, [came(F)] * 9, LIMITS)) == 1
    assert decisions(health, [came(F)] * 9, LIMITS) == []


def test_what_came_in_several_batches_counts_together_and_enabling_forgets_it() -> None:
    counted: Any = {"failed_attempts": 2, "failing_since": START, "exhausted": 2}
    health = {OWED.subscription_id: Health(enabled=True, enabled_at=START, **counted)}
    assert [decision.reason for decision in decisions(health, [came(F, 1)], LIMITS)] == [Reason.EXHAUSTED]
    enabled_later = {OWED.subscription_id: Health(enabled=True, enabled_at=START + HOUR, **counted)}
    assert decisions(enabled_later, [came(F, 2)], LIMITS) == []
    assert enabled_later[OWED.subscription_id].failed_attempts == 1


@pytest_asyncio.fixture
async def db(upgraded_url: str) -> AsyncIterator[Db]:
    connection = await asyncpg.connect(upgraded_url)
    yield connection
    await connection.close()


INSERT = """
INSERT INTO subscriptions (id, organization_id, version, url, event_types, secrets, timeout_ms, enabled, enabled_at,
    secrets_expire_at, metadata, created_at, updated_at)
VALUES ($1, $2, 1, 'https://example.com', '{*}', '{}', 5000, true, $3, '{}', '{}', $3, $3)
"""


@pytest.mark.kafka
@pytest.mark.postgres
async def test_a_subscription_is_disabled_with_reason_version_and_a_record_for_the_workers(
    bootstrap: str, upgraded_url: str, db: Db
) -> None:
    stage, owed = Stage(bootstrap, upgraded_url).create(), [delivery(OWED.subscription_id) for _ in range(6)]
    await db.execute(INSERT, OWED.subscription_id, OWED.organization_id, datetime.now(UTC) - HOUR)
    gone = delivery()
    async with running(stage.projector(limits=replace(LIMITS, exhausted=4))):
        stage.put(*(outcome(one, F) for one in owed), outcome(gone, F, status=410))  # the last one is nobody's
        await until_count(db, "attempts", 7)
    row = await db.fetchrow("SELECT * FROM subscriptions")
    assert row is not None
    assert (row["enabled"], row["disabled_reason"], row["version"]) == (False, "exhausted", 2)
    assert row["disabled_at"] is not None
    told = await db.fetch("SELECT * FROM outbox")
    assert [(one["key"], decode(Subscription, one["value"]).enabled) for one in told] == [
        (OWED.subscription_id.encode(), False)
    ]
    health = await db.fetchrow("SELECT * FROM subscription_health")
    assert health is not None
    assert (health["failed_attempts"], health["exhausted"], health["last_success_at"]) == (6, 6, None)
