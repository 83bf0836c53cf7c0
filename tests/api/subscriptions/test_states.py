"""How a subscription stands: enabled, disabled, paused or failing, shown and found alike."""

from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy import event

from api.database import engine_of, transaction_of
from api.subscriptions.tables import SubscriptionState, state_of, subscription_of, subscriptions_of
from schemas.ids import OrganizationId
from tests.api.conftest import client_of, settings_of
from tests.api.problem import problem_of
from tests.api.subscriptions.making import PATH, failed_in_a_row, made, rows_of

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize(
    ("enabled", "attempts", "seconds_ago", "state"),
    [
        (True, 0, 0, "enabled"),
        (True, 2, 0, "enabled"),
        (True, 3, 0, "failing"),
        (True, 300, 0, "failing"),
        (True, 300, 3600, "enabled"),  # before it was enabled: its new life has not begun to fail
        (False, 300, 0, "disabled"),
    ],
)
async def test_it_is_shown_and_found_as_it_stands(
    *, api: httpx.AsyncClient, shared_url: str, enabled: bool, attempts: int, seconds_ago: float, state: str
) -> None:
    body = await made(api, enabled=enabled)
    await failed_in_a_row(shared_url, body["id"], attempts, seconds_ago=seconds_ago)
    assert (await api.get(f"{PATH}/{body['id']}")).json()["state"] == state
    for asked in ("enabled", "disabled", "failing"):
        listed = (await api.get(PATH, params={"state": asked})).json()["data"]
        assert [item["state"] for item in listed] == ([state] if asked == state else [])


async def test_how_many_failures_are_failing_is_a_setting(shared_url: str) -> None:
    async with client_of(settings_of(shared_url, failing_after=1)) as api:
        body = await made(api)
        await failed_in_a_row(shared_url, body["id"], 1)
        assert (await api.get(f"{PATH}/{body['id']}")).json()["state"] == "failing"


async def test_who_asks_with_if_none_match_sees_that_it_fails(api: httpx.AsyncClient, shared_url: str) -> None:
    body = await made(api)
    at = f"{PATH}/{body['id']}"
    await failed_in_a_row(shared_url, body["id"], 3)
    seen = await api.get(at, headers={"If-None-Match": '"1"'})
    assert (seen.status_code, seen.json()["state"]) == (200, "failing")
    assert (await api.get(at, headers={"If-None-Match": seen.headers["etag"]})).status_code == 304
    # It is still version 1: both tags allow a change, and one of version 2 does not.
    problem_of(await api.patch(at, json={"description": "x"}, headers={"If-Match": '"2-failing"'}), 412)
    assert (await api.patch(at, json={"description": "x"}, headers={"If-Match": '"1"'})).status_code == 200
    assert (await api.patch(at, json={"description": "y"}, headers={"If-Match": '"2-failing"'})).status_code == 200


@pytest.mark.parametrize(
    "meanwhile",
    [
        "UPDATE subscriptions SET enabled = false, disabled_reason = 'gone' WHERE id = $1",
        "UPDATE subscriptions SET paused = true WHERE id = $1",
        "DELETE FROM subscriptions WHERE id = $1",
    ],
)
async def test_what_changes_between_two_readings_makes_no_answer_of_two_halves(
    api: httpx.AsyncClient, shared_url: str, meanwhile: str
) -> None:
    """It once said `disabled` without a reason: the row was read before, its state after."""
    body = await made(api)
    engine = engine_of(settings_of(shared_url))
    async with transaction_of(engine) as db:
        row = await subscription_of(db, OrganizationId(api.headers["Hookline-Organization"]), body["id"])
        assert row is not None
        await rows_of(shared_url, meanwhile, body["id"])
        assert await state_of(db, row, failing_after=3) is SubscriptionState.ENABLED
    await engine.dispose()


async def test_a_deleted_subscriptions_health_goes_with_it(api: httpx.AsyncClient, shared_url: str) -> None:
    body, other = await made(api), await made(api)
    for subscription_id in (body["id"], other["id"]):
        await failed_in_a_row(shared_url, subscription_id, 3)
    problem_of(await api.delete(f"{PATH}/{body['id']}", headers={"If-Match": '"7"'}), 412)
    left = "SELECT subscription_id FROM subscription_health WHERE organization_id = $1 ORDER BY 1"
    organization_id = api.headers["Hookline-Organization"]
    assert len(await rows_of(shared_url, left, organization_id)) == 2
    assert (await api.delete(f"{PATH}/{body['id']}")).status_code == 204
    assert [row[0] for row in await rows_of(shared_url, left, organization_id)] == [other["id"]]


@pytest.mark.parametrize("state", [None, *SubscriptionState])
async def test_a_list_is_read_by_indexes(upgraded_url: str, state: SubscriptionState | None) -> None:
    connection = await asyncpg.connect(upgraded_url)
    await connection.execute(
        """INSERT INTO subscriptions (id, organization_id, version, url, event_types, secrets, secrets_expire_at,
                                      timeout_ms, enabled, paused, metadata, created_at, updated_at)
           SELECT 'sub_' || lpad(n::text, 32, '0'), 'org_' || n % 100, 1, 'https://x/', '{*}', '{}', '{}',
                  1000, n % 3 > 0, n % 400 = 7, '{}', now(), now() FROM generate_series(1, 20000) n;
           INSERT INTO subscription_health
           SELECT id, organization_id, right(id, 3)::int / 100, now(), 0, now(), NULL, NULL FROM subscriptions;
           ANALYZE"""
    )
    await connection.close()
    engine = engine_of(settings_of(upgraded_url))
    asked: list[tuple[str, Any]] = []
    event.listen(engine.sync_engine, "before_cursor_execute", lambda *given: asked.append(given[2:4]))
    async with transaction_of(engine) as db:
        found = await subscriptions_of(db, OrganizationId("org_7"), failing_after=3, limit=26, state=state)
        assert len(asked) == 1
        statement, values = asked[0]
        lines = await (await db.connection()).exec_driver_sql(f"EXPLAIN {statement}", values)
        plan = "\n".join(line for (line,) in lines)
    await engine.dispose()
    assert [row.id for row, _ in found] == sorted(row.id for row, _ in found)
    assert len(found) == 26
    assert state is None or {standing for _, standing in found} == {state}
    assert "Seq Scan" not in plan, plan
    assert "subscription_health_pkey" in plan, plan
