"""Who did what to what: every change leaves one entry, with it or not at all, and nobody can change an entry."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio

from tests.api.problem import parameters_of, problem_of
from tests.api.subscriptions.making import ELSEWHERE, PATH, made

pytestmark = pytest.mark.postgres

AUDIT = "/api/v1/audit"
Database = "asyncpg.Connection[asyncpg.Record]"


@pytest_asyncio.fixture
async def db(shared_url: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    connection = await asyncpg.connect(shared_url)
    yield connection
    await connection.close()


async def entries(api: httpx.AsyncClient, **params: Any) -> list[dict[str, Any]]:
    response = await api.get(AUDIT, params=params)
    assert response.status_code == 200, response.text
    return list(response.json()["data"])


async def test_an_entry_says_who_did_what_to_what_from_where(api: httpx.AsyncClient) -> None:
    began = datetime.now(UTC)
    answer = await api.post(
        PATH,
        json={"url": "https://93.184.216.34/in", "event_types": ["*"]},
        headers={"User-Agent": "curl/8\x01", "X-Request-Id": "req-1"},
    )
    [entry] = await entries(api)
    assert entry.pop("id").startswith("aud_")
    assert began <= datetime.fromisoformat(entry.pop("at")) <= datetime.now(UTC)
    assert entry == {
        "actor": {"kind": "administrator", "id": "administrator", "name": "administrator", "application_id": None},
        "action": "create_subscription",
        "target_kind": "subscriptions",
        "target_id": answer.json()["id"],
        "changes": None,
        "address": "127.0.0.1",
        "user_agent": "curl/8",
        "request_id": "req-1",
    }


async def test_every_change_leaves_one_entry_and_what_changed_nothing_none(api: httpx.AsyncClient) -> None:
    it = (await made(api))["id"]
    at = f"{PATH}/{it}"
    for method, path, body in (
        ("PATCH", at, {"description": "x"}),
        ("PUT", at, {"url": "https://93.184.216.34/", "event_types": ["*"]}),
        ("POST", f"{at}/disable", None),
        ("POST", f"{at}/enable", None),
        ("POST", f"{at}/rotate-secret", None),
        ("DELETE", at, None),
    ):
        assert (await api.request(method, path, json=body)).status_code < 300, path
    for method, path, body in (("GET", at, None), ("DELETE", at, None), ("POST", PATH, {"url": "x"})):
        await api.request(method, path, json=body)
    assert [(entry["action"], entry["target_id"]) for entry in reversed(await entries(api))] == [
        ("create_subscription", it), ("change_subscription", it), ("replace_subscription", it),
        ("disable_subscription", it), ("enable_subscription", it), ("rotate_subscription_secret", it),
        ("delete_subscription", it),
    ]  # fmt: skip


async def test_a_repeat_under_the_same_key_is_one_entry(api: httpx.AsyncClient) -> None:
    body = {"url": "https://93.184.216.34/in", "event_types": ["*"]}
    for _ in range(3):
        assert (await api.post(PATH, json=body, headers={"Idempotency-Key": "one"})).status_code == 201
    assert len(await entries(api)) == 1


async def test_an_entry_and_its_change_are_there_together_or_not_at_all(
    api: httpx.AsyncClient, db: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    organization_id = api.headers["Hookline-Organization"]
    full = f"CHECK (organization_id <> '{organization_id}') NOT VALID"
    await db.execute(f"ALTER TABLE audit_log ADD CONSTRAINT full_log {full}")
    try:
        problem_of(await api.post(PATH, json={"url": "https://93.184.216.34/in", "event_types": ["*"]}), 500)
    finally:
        await db.execute("ALTER TABLE audit_log DROP CONSTRAINT full_log")
    assert (await api.get(PATH)).json()["data"] == []
    told = "SELECT 1 FROM outbox WHERE position($1::bytea IN value) > 0"
    assert await db.fetch(told, organization_id.encode()) == []


async def test_no_secret_is_in_an_entry(api: httpx.AsyncClient, db: "asyncpg.Connection[asyncpg.Record]") -> None:
    canary = "canary-5f1e0b"
    body = {
        "url": "https://93.184.216.34/in",
        "event_types": ["*"],
        "headers": {"Authorization": f"Bearer {canary}"},
    }
    answer = await api.post(PATH, json=body, headers={"Idempotency-Key": f"key-{canary}"})
    at = answer.headers["location"]
    await api.patch(at, json={"headers": {"X-Api-Key": canary}})
    rotated = await api.post(f"{at}/rotate-secret")
    shown = [answer.json()["secret"], rotated.json()["secret"], canary]
    rows = await db.fetch("SELECT * FROM audit_log WHERE organization_id = $1", api.headers["Hookline-Organization"])
    assert len(rows) == 3
    for row in rows:
        assert not any(secret in repr(tuple(row.values())) for secret in shown)


async def test_lists_are_filtered_and_newest_first(api: httpx.AsyncClient) -> None:
    first, second = [(await made(api))["id"] for _ in range(2)]
    await api.delete(f"{PATH}/{first}")
    everything = await entries(api)
    assert [entry["target_id"] for entry in everything] == [first, second, first]
    assert len(await entries(api, target=first)) == 2
    assert len(await entries(api, action="delete_subscription")) == 1
    assert len(await entries(api, actor="administrator")) == 3
    assert await entries(api, actor="somebody") == []
    middle = everything[1]["at"]
    assert [entry["target_id"] for entry in await entries(api, since=middle)] == [first, second]
    assert [entry["target_id"] for entry in await entries(api, until=middle)] == [first]
    problem = await api.get(AUDIT, params={"since": middle, "until": everything[2]["at"]})
    assert parameters_of(problem) == ["until"]


async def test_pages_meet(api: httpx.AsyncClient) -> None:
    made_ids = [(await made(api))["id"] for _ in range(5)]
    seen, cursor = [], None
    while True:
        page = (await api.get(AUDIT, params={"limit": 2, **({"cursor": cursor} if cursor else {})})).json()
        seen += [entry["target_id"] for entry in page["data"]]
        if not (cursor := page["next_cursor"]):
            break
    assert seen == made_ids[::-1]


async def test_anothers_entries_are_not_shown(api: httpx.AsyncClient) -> None:
    it = (await made(api))["id"]
    assert (await api.get(AUDIT, headers=ELSEWHERE, params={"target": it})).json()["data"] == []
    exported = await api.get(f"{AUDIT}/export?format=jsonl", headers=ELSEWHERE)
    assert it not in exported.text


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET actor_name = 'nobody'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "UPDATE audit_log SET actor_name = 'nobody' WHERE false",
        "MERGE INTO audit_log USING (SELECT 1) AS one ON true WHEN MATCHED THEN DELETE",
    ],
)
async def test_nobody_changes_an_entry_not_even_who_owns_the_table(
    db: "asyncpg.Connection[asyncpg.Record]", statement: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await db.execute(statement)


async def test_a_moment_at_the_edges_is_fine(api: httpx.AsyncClient) -> None:
    for params in ({"since": "0001-01-01T00:00:00Z"}, {"until": "9999-12-31T23:59:59Z"}):
        assert (await api.get(AUDIT, params=params)).status_code == 200
    for params in ({"until": "0001-01-01T00:00:00Z"}, {"since": "9999-12-31T23:59:59Z"}):
        assert (await api.get(f"{AUDIT}/export", params={"format": "csv", **params})).status_code in {200, 422}


async def test_a_span_of_more_than_a_year_is_not_exported(api: httpx.AsyncClient) -> None:
    since = (datetime.now(UTC) - timedelta(days=367)).isoformat()
    document = problem_of(await api.get(f"{AUDIT}/export", params={"format": "csv", "since": since}), 422)
    assert "year by year" in str(document["detail"])
    assert parameters_of(await api.get(f"{AUDIT}/export")) == ["format"]
