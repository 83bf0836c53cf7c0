"""When a subscription is disabled: a table, and then once, with everything that belongs to it."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import orjson
import pytest
import pytest_asyncio

from api.projection.disabling import Change, Health, Limits, Reason, decisions
from producers.outbox import headers_from_json
from schemas.codec import decode
from schemas.ids import SubscriptionId
from schemas.records import Attempt, AttemptState, Event, Subscription
from schemas.topics import EVENTS, SUBSCRIPTIONS
from tests.api.projection.projecting import ORGANIZATION, Db, Stage, delivery, outcome, running, until_count

START = datetime(2026, 11, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
LIMITS = Limits(exhausted=3, failed=5, span=24 * HOUR)
OWED = delivery()
S, R, F, H = AttemptState.SUCCESS, AttemptState.RETRYING, AttemptState.FAILED, AttemptState.HELD


def came(state: AttemptState, hours: float = 0, **changes: Any) -> Attempt:
    return outcome(OWED, state, **{"started_at": START + hours * HOUR, **changes})


def reasons(health: dict[SubscriptionId, Health], attempts: list[Attempt]) -> list[Reason | None]:
    decided = decisions(health, attempts, LIMITS)
    return [decision.reason for decision in decided if decision.change is Change.DISABLED]


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
    assert reasons(health, attempts) == ([reason] if reason else [])


def test_it_is_decided_once_and_not_again_while_it_is_disabled() -> None:
    health = {OWED.subscription_id: Health(enabled=True, enabled_at=START)}
    assert len(reasons(health, [came(F)] * 9)) == 1
    assert decisions(health, [came(F)] * 9, LIMITS) == []


def test_what_came_in_several_batches_counts_together_and_enabling_forgets_it() -> None:
    counted: Any = {"failed_attempts": 2, "failing_since": START, "exhausted": 2}
    health = {OWED.subscription_id: Health(enabled=True, enabled_at=START, **counted)}
    assert reasons(health, [came(F, 1)]) == [Reason.EXHAUSTED]
    enabled_later = {OWED.subscription_id: Health(enabled=True, enabled_at=START + HOUR, **counted)}
    assert decisions(enabled_later, [came(F, 2)], LIMITS) == []
    assert enabled_later[OWED.subscription_id].failed_attempts == 1


WARNED, DISABLED, RECOVERED = Change.FAILING, Change.DISABLED, Change.RECOVERED
TROUBLED: Any = {"warned_at": START - HOUR, "troubled_since": START - 2 * HOUR}  # and enabled since


@pytest.mark.parametrize(
    ("known", "attempts", "changes"),
    [
        ({}, [came(F)], []),
        ({}, [came(F)] * 2, [WARNED]),  # 2 of 3
        ({}, [came(F)] * 3, [WARNED, DISABLED]),
        ({}, [came(R, hour) for hour in (0, 1, 11.9)], []),
        ({}, [came(R, hour) for hour in (0, 11, 12)], [WARNED]),  # 3 of 5, over 12 of 24 hours
        ({}, [came(R, 0), came(R, 13)], []),
        ({}, [came(F, status=410)], [DISABLED]),  # at once: there was no half of the way
        ({}, [came(F), came(F), came(S), came(S)], [WARNED, RECOVERED]),
        ({}, [came(F), came(F), came(S), came(F), came(F)], [WARNED, RECOVERED, WARNED]),
        ({}, [came(F), came(F), came(R), came(R)], [WARNED]),
        ({}, [came(F), came(S)], []),
        ({}, [came(F), came(F), came(S, is_test=True), came(H)], [WARNED]),
        ({}, [came(F)] * 3 + [came(S)], [WARNED, DISABLED]),  # it was under way: it is disabled all the same
        ({**TROUBLED}, [came(S)], [RECOVERED]),
        ({**TROUBLED}, [came(S, -1)], []),  # from before it was enabled
        ({**TROUBLED}, [came(F), came(F)], [WARNED]),  # its new life begins to fail as well
        ({**TROUBLED, "enabled": False}, [came(S)], []),
    ],
)
def test_who_is_told_what_and_when(known: dict[str, Any], attempts: list[Attempt], changes: list[Change]) -> None:
    health = {OWED.subscription_id: Health(**{"enabled": True, "enabled_at": START, **known})}
    assert [decision.change for decision in decisions(health, attempts, LIMITS)] == changes
    if changes[-1:] == [RECOVERED]:
        assert (health[OWED.subscription_id].troubled_since, health[OWED.subscription_id].warned_at) == (None, None)


def test_it_has_failed_since_the_first_failure_before_the_warning() -> None:
    health = {OWED.subscription_id: Health(enabled=True, enabled_at=START)}
    warned, recovered = decisions(health, [came(R, 1), came(F, 2), came(F, 3), came(S, 4)], LIMITS)
    assert (warned.failures.since, warned.failures.attempts, warned.failures.given_up) == (START + HOUR, 3, 2)
    assert (warned.failures.status, warned.failures.error_kind) == (500, "http")
    assert recovered.failures.since == START + HOUR


@pytest.mark.parametrize("is_done", [True, False])
def test_what_was_not_carried_out_is_not_taken_back(*, is_done: bool) -> None:
    """Somebody disabled it by hand, or deleted it, before the projection had its lock."""
    of = Health(enabled=True, enabled_at=START)
    warned, disabled = decisions({OWED.subscription_id: of}, [came(F)] * 3, LIMITS)
    of.settle(warned, is_done=is_done)
    assert (of.warned_at, of.troubled_since) == ((START, START) if is_done else (None, None))
    of.settle(disabled, is_done=is_done)
    assert of.troubled_since == (START if is_done else None)
    of = Health(enabled=True, enabled_at=START, **TROUBLED)
    (recovered,) = decisions({OWED.subscription_id: of}, [came(S)], LIMITS)
    of.settle(recovered, is_done=is_done)
    assert of.troubled_since == (None if is_done else TROUBLED["troubled_since"])


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
    told = await db.fetch("SELECT * FROM outbox WHERE topic = $1", SUBSCRIPTIONS)
    assert [(one["key"], decode(Subscription, one["value"]).enabled) for one in told] == [
        (OWED.subscription_id.encode(), False)
    ]
    health = await db.fetchrow("SELECT * FROM subscription_health")
    assert health is not None
    assert (health["failed_attempts"], health["exhausted"], health["last_success_at"]) == (6, 6, None)


@pytest.mark.kafka
@pytest.mark.postgres
async def test_each_change_is_an_event_in_the_outbox_once(bootstrap: str, upgraded_url: str, db: Db) -> None:
    stage, to = Stage(bootstrap, upgraded_url).create(), OWED.subscription_id
    await db.execute(INSERT, to, ORGANIZATION, datetime.now(UTC) - HOUR)
    await db.execute("UPDATE subscriptions SET url = 'https://example.com/in?token=x#y'")
    owed = [delivery(to) for _ in range(5)]
    async with running(stage.projector(limits=LIMITS)):
        stage.put(outcome(owed[0], F))
        await until_count(db, "attempts", 1)
        stage.put(outcome(owed[1], F), outcome(owed[2], F))
        await until_count(db, "attempts", 3)
        await db.execute("UPDATE subscriptions SET enabled = true, enabled_at = now()")
        good = outcome(owed[3], started_at=datetime.now(UTC) + HOUR)
        stage.put(good, outcome(owed[4], started_at=good.started_at))
        await until_count(db, "attempts", 5)
    rows = await db.fetch("SELECT * FROM outbox WHERE topic = $1 ORDER BY id", EVENTS)
    told = [decode(Event, row["value"]) for row in rows]
    assert [one.type for one in told] == [f"subscription.{name}" for name in ("failing", "disabled", "recovered")]
    assert {row["key"] for row in rows} == {to.encode()}
    assert {(one.key, one.organization_id) for one in told} == {(to, ORGANIZATION)}
    headers = dict(headers_from_json(orjson.loads(rows[0]["headers"])))
    assert (headers["ce_type"], headers["ce_subject"], headers["ce_id"]) == (
        b"subscription.failing",
        to.encode(),
        told[0].id.encode(),
    )
    first = owed[0].due_at + timedelta(milliseconds=1)
    failed = {"failing_since": first.isoformat(), "status": 500, "error_kind": "http"}
    said = [orjson.loads(one.data) for one in told]
    assert [each.pop("subscription_id") for each in said] == [to] * 3
    assert [each.pop("url") for each in said] == ["https://example.com/in"] * 3  # a query may hold a credential
    disabled_at = datetime.fromisoformat(said[1].pop("disabled_at"))
    assert abs(disabled_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert said == [
        {**failed, "failed_attempts": 2, "given_up": 2},
        {**failed, "failed_attempts": 3, "given_up": 3, "reason": "exhausted"},
        {"failing_since": first.isoformat(), "recovered_at": good.started_at.isoformat()},
    ]
