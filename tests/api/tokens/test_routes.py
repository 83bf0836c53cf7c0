"""API tokens over REST: shown once, listed, changed, revoked, and never another organization's."""

import base64
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from schemas.codec import decode
from schemas.records import Event
from tests.api.problem import pointers_of, problem_of
from tests.api.subscriptions.making import rows_of
from tests.api.tokens.making import PATH, UNKNOWN, as_token, made

pytestmark = pytest.mark.postgres
ELSEWHERE = {"Hookline-Organization": "org_nobodys"}
TOMORROW = (datetime.now(UTC) + timedelta(days=1)).isoformat()
LATER = (datetime.now(UTC) + timedelta(days=2)).isoformat()


async def test_a_token_is_32_random_bytes_and_shown_once(api: httpx.AsyncClient) -> None:
    response = await api.post(PATH, json={"name": "Billing", "scopes": ["events:publish"]})
    token = response.json()
    assert response.status_code == 201
    assert re.fullmatch(r"hkl_[A-Za-z0-9_-]{43}", token["token"])
    assert len(base64.urlsafe_b64decode(token["token"][4:] + "=")) == 32
    assert token["prefix"] == token["token"][:12]
    assert response.headers["location"] == f"{PATH}/{token['id']}"
    for later in (await api.get(f"{PATH}/{token['id']}"), await api.get(PATH)):
        assert later.status_code == 200
        assert token["token"][12:] not in later.text
        assert '"token"' not in later.text


async def test_no_row_of_the_database_holds_the_token(api: httpx.AsyncClient, shared_url: str) -> None:
    token = (await made(api))["token"]
    repeated = {"Idempotency-Key": uuid4().hex}
    sealed = (
        await api.post(PATH, json={"name": "Sealed", "scopes": ["read"]}, headers=repeated)
    ).json()["token"]  # fmt: skip
    again = await api.post(PATH, json={"name": "Sealed", "scopes": ["read"]}, headers=repeated)
    assert again.json()["token"] == sealed
    tables = await rows_of(shared_url, "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'")
    assert "api_tokens" in [table["name"] for table in tables]
    for table in tables:
        for row in await rows_of(shared_url, f"SELECT t::text AS text FROM {table['name']} t"):
            for secret in (token, sealed):
                assert secret[12:] not in row["text"], table
                assert secret.encode()[12:].hex() not in row["text"], table


async def test_a_token_works_and_says_who_made_it(api: httpx.AsyncClient) -> None:
    maker = await made(api, scopes=["tokens:*", "read"])
    assert maker["created_by"] == "administrator"
    child = (await api.post(PATH, json={"name": "Child", "scopes": ["read"]}, headers=as_token(maker))).json()
    assert child["created_by"] == maker["id"]
    assert (await api.get("/api/v1/subscriptions", headers=as_token(child))).status_code == 200


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"name": "   "}, "/name"),
        ({"name": "a\nb"}, "/name"),
        ({"name": "x" * 101}, "/name"),
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["nothing"]}, "/scopes"),
        ({"scopes": ["read", "read"]}, "/scopes"),
        ({"scopes": ["quarantine:read"]}, "/scopes"),  # the operator's
        ({"scopes": ["*"]}, "/scopes"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "2127-01-01"}, "/expires_at"),
        ({"allowed_addresses": ["10.0.0.0/33"]}, "/allowed_addresses"),
        ({"allowed_addresses": ["10.0.0.1/8"]}, "/allowed_addresses"),
        ({"allowed_addresses": ["example.com"]}, "/allowed_addresses"),
        ({"allowed_addresses": [f"10.0.{n}.0/24" for n in range(51)]}, "/allowed_addresses"),
        ({"rate_limit": 0}, "/rate_limit"),
        ({"rate_limit": 100_001}, "/rate_limit"),
        ({"rate_limit": "10"}, "/rate_limit"),
        ({"token": "hkl_mine"}, "/token"),
    ],
)
async def test_what_does_not_hold_is_named(api: httpx.AsyncClient, body: dict[str, Any], pointer: str) -> None:
    response = await api.post(PATH, json={"name": "Billing", "scopes": ["read"], **body})
    assert pointer in pointers_of(response)


async def test_addresses_are_normalised(api: httpx.AsyncClient) -> None:
    token = await made(api, allowed_addresses=["203.0.113.7", "2001:DB8:0::/48", "203.0.113.7/32"])
    assert token["allowed_addresses"] == ["203.0.113.7/32", "2001:db8::/48"]


async def test_nobody_gives_what_they_do_not_have(api: httpx.AsyncClient) -> None:
    maker = await made(api, scopes=["tokens:create", "subscriptions:read"])
    for scope, status in [("subscriptions:read", 201), ("subscriptions:*", 422), ("read", 422), ("tokens:delete", 422)]:
        response = await api.post(PATH, json={"name": "Child", "scopes": [scope]}, headers=as_token(maker))
        assert response.status_code == status, scope
        if status == 422:
            assert pointers_of(response) == ["/scopes"]


async def test_a_token_gives_no_wider_bounds_than_its_own(api: httpx.AsyncClient) -> None:
    bounds = {"expires_at": TOMORROW, "allowed_addresses": ["127.0.0.0/8"], "rate_limit": 50}
    maker = await made(api, scopes=["tokens:*"], **bounds)

    async def child(**fields: object) -> httpx.Response:
        body = {"name": "Child", "scopes": ["tokens:read"], **fields}
        return await api.post(PATH, json=body, headers=as_token(maker))

    inherited = (await child()).json()
    for name in ("expires_at", "allowed_addresses", "rate_limit"):
        assert inherited[name] == maker[name]
    assert (await child(rate_limit=10, allowed_addresses=["127.0.0.1"])).json()["rate_limit"] == 10
    assert pointers_of(await child(expires_at=LATER)) == ["/expires_at"]
    assert pointers_of(await child(rate_limit=51)) == ["/rate_limit"]
    assert pointers_of(await child(allowed_addresses=["127.0.0.1", "10.0.0.0/8"])) == ["/allowed_addresses"]
    assert pointers_of(await child(allowed_addresses=["::1"])) == ["/allowed_addresses"]
    widened = await api.patch(f"{PATH}/{maker['id']}", json={"rate_limit": 51}, headers=as_token(maker))
    assert pointers_of(widened) == ["/rate_limit"]
    freed = await api.patch(f"{PATH}/{maker['id']}", json={"allowed_addresses": None}, headers=as_token(maker))
    assert freed.json()["allowed_addresses"] == ["127.0.0.0/8"]


async def test_tokens_are_listed_by_state(api: httpx.AsyncClient, shared_url: str) -> None:
    active, expired, revoked = [await made(api, name=name) for name in ("active", "expired", "revoked")]
    ended = "UPDATE api_tokens SET expires_at = now() - interval '1 s' WHERE id = $1"
    await rows_of(shared_url, ended, expired["id"])
    assert (await api.delete(f"{PATH}/{revoked['id']}")).status_code == 204
    for name, token in [("active", active), ("expired", expired), ("revoked", revoked)]:
        found = (await api.get(PATH, params={"state": name})).json()["data"]
        assert [(each["id"], each["state"]) for each in found] == [(token["id"], name)]
    assert len((await api.get(PATH)).json()["data"]) == 3
    problem_of(await api.get(PATH, params={"state": "gone"}), 422)


async def test_a_long_list_comes_in_pages(api: httpx.AsyncClient) -> None:
    ids = [(await made(api))["id"] for _ in range(5)]
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await api.get(PATH, params={"limit": 2, **cursor})).json()
        seen += [each["id"] for each in page["data"]]
        if not page["has_more"]:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == ids


async def test_a_patch_changes_what_it_names(api: httpx.AsyncClient) -> None:
    token = await made(api, rate_limit=10, allowed_addresses=["10.0.0.0/8"])
    where = f"{PATH}/{token['id']}"
    changed = (await api.patch(where, json={"name": "New", "rate_limit": None})).json()
    assert (changed["name"], changed["rate_limit"], changed["version"]) == ("New", None, 2)
    assert changed["allowed_addresses"] == ["10.0.0.0/8"]
    assert (await api.patch(where, json={})).json()["version"] == 2
    assert (await api.patch(where, json={"name": "New"})).json()["version"] == 2
    assert pointers_of(await api.patch(where, json={"scopes": ["read"]})) == ["/scopes"]


async def test_a_token_only_ends_earlier(api: httpx.AsyncClient) -> None:
    endless = await made(api)
    where = f"{PATH}/{endless['id']}"
    assert (await api.patch(where, json={"expires_at": LATER})).status_code == 200
    assert (await api.patch(where, json={"expires_at": TOMORROW})).status_code == 200
    for wanted in (LATER, None, "2020-01-01T00:00:00Z"):
        assert pointers_of(await api.patch(where, json={"expires_at": wanted})) == ["/expires_at"]
    assert (await api.patch(where, json={"expires_at": TOMORROW})).json()["version"] == 3  # as it is: nothing changes


async def test_a_change_can_be_bound_to_a_version(api: httpx.AsyncClient) -> None:
    token = await made(api)
    where = f"{PATH}/{token['id']}"
    seen = (await api.get(where)).headers["etag"]
    assert (await api.get(where, headers={"If-None-Match": seen})).status_code == 304
    assert (await api.patch(where, json={"name": "New"}, headers={"If-Match": seen})).headers["etag"] == '"2"'
    for method in ("PATCH", "DELETE"):
        body = {"json": {"name": "Newer"}} if method == "PATCH" else {}
        problem_of(await api.request(method, where, headers={"If-Match": seen}, **body), 412)  # type: ignore[arg-type] # a body or none
    assert (await api.get(where, headers={"If-None-Match": seen})).status_code == 200


async def test_revoking_twice_is_no_failure_and_it_stays_listed(api: httpx.AsyncClient) -> None:
    token = await made(api)
    where = f"{PATH}/{token['id']}"
    first, second = await api.delete(where), await api.delete(where)
    assert (first.status_code, second.status_code) == (204, 204)
    shown = (await api.get(where)).json()
    assert shown["state"] == "revoked"
    assert shown["version"] == 2
    problem_of(await api.patch(where, json={"name": "New"}), 409)


@pytest.mark.parametrize(("method", "tail"), [("GET", ""), ("GET", "/usage"), ("PATCH", ""), ("DELETE", "")])
async def test_another_organizations_token_is_not_there(api: httpx.AsyncClient, method: str, tail: str) -> None:
    token = await made(api)
    body = {"json": {"name": "Mine now"}} if method == "PATCH" else {}
    for identifier, headers in [(token["id"], ELSEWHERE), (UNKNOWN, {}), ("tok_x", {}), ("sub_" + UNKNOWN[4:], {})]:
        response = await api.request(method, f"{PATH}/{identifier}{tail}", headers=headers, **body)  # type: ignore[arg-type] # a body or none
        problem_of(response, 404)
    assert (await api.get(f"{PATH}/{token['id']}")).json()["name"] == "Billing"


async def test_every_change_is_an_event_without_the_token(api: httpx.AsyncClient, shared_url: str) -> None:
    token = await made(api, rate_limit=10)
    where = f"{PATH}/{token['id']}"
    await api.patch(where, json={"rate_limit": 20})
    await api.delete(where)
    await api.delete(where)
    events = await events_about(shared_url, token["id"])
    assert [event.type for event in events] == ["api_token.created", "api_token.updated", "api_token.revoked"]
    assert events[0].data is not None
    assert b'"scopes":["read"]' in events[0].data
    assert events[1].previous == b'{"rate_limit":10}'
    assert all(f'"token_id":"{token["id"]}"'.encode() in event.data for event in events)
    assert not any(token["token"][12:].encode() in event.data for event in events)


async def test_every_change_is_in_the_audit_log(api: httpx.AsyncClient, shared_url: str) -> None:
    token = await made(api, rate_limit=10)
    await api.patch(f"{PATH}/{token['id']}", json={"rate_limit": 20})
    await api.delete(f"{PATH}/{token['id']}")
    wanted = "SELECT action, changes::text FROM audit_log WHERE target_id = $1 ORDER BY id"
    rows = await rows_of(shared_url, wanted, token["id"])
    assert [row["action"] for row in rows] == ["create_api_token", "change_api_token", "revoke_api_token"]
    assert '"rate_limit": 10' in rows[1]["changes"]


async def events_about(url: str, key: str) -> list[Event]:
    rows = await rows_of(url, "SELECT value FROM outbox WHERE key = $1 ORDER BY id", key.encode())
    return [decode(Event, row["value"]) for row in rows]
