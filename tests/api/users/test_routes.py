"""`/api/v1/users`: the accounts whose home an organization is."""

import hashlib
from typing import Any
from uuid import uuid4

import httpx
import pytest

from api.signed_links import LinkPurpose
from tests.api.problem import pointers_of, problem_of
from tests.api.users.accounts import (
    PASSWORD,
    browser_of,
    made_user,
    query,
    signed_in,
    tokens_sent_to,
    told_of,
)

pytestmark = pytest.mark.postgres

PATH = "/api/v1/users"
UNKNOWN = "usr_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"


async def kept_hash(url: str, user_id: str) -> str | None:
    (row,) = await query(url, "SELECT password_hash FROM users WHERE id = $1", user_id)
    return None if row[0] is None else str(row[0])


async def test_a_user_is_made_told_and_sent_a_link(api: httpx.AsyncClient, shared_url: str) -> None:
    user = await made_user(api, verified=None, role="developer")
    assert user["state"] == "unverified"
    assert user["organization_id"] == api.headers["Hookline-Organization"]
    assert user["has_password"]
    assert PASSWORD not in str(user)
    assert str(await kept_hash(shared_url, user["id"])).startswith("$argon2id$")
    (created, joined, assigned) = await told_of(shared_url, user["id"])
    assert created[0] == "user.created"
    assert created[1]["email"] == user["email"]
    assert (joined[0], joined[1]["role"]) == ("member.joined", "developer")
    assert assigned[:2] == (
        "role.assigned",
        {"user_id": user["id"], "role": "developer", "assigned_by": "administrator"},
    )
    assert len(await tokens_sent_to(api, shared_url, user["email"], LinkPurpose.VERIFICATION)) == 1
    shown = await api.get(f"{PATH}/{user['id']}")
    assert shown.json() == user
    assert shown.headers["etag"] == '"1"'


async def test_a_user_may_have_no_password_and_no_role(api: httpx.AsyncClient, shared_url: str) -> None:
    user = await made_user(api, password=None, role=None)
    assert not user["has_password"]
    assert await kept_hash(shared_url, user["id"]) is None
    assert await query(shared_url, "SELECT 1 FROM memberships WHERE user_id = $1", user["id"]) == []


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({"email": "nobody"}, "/email"),
        ({"name": ""}, "/name"),
        ({"name": "a\nb"}, "/name"),
        ({"password": "short"}, "/password"),
        ({"password": "Password1"}, "/password"),
        ({"role": "emperor"}, "/role"),
        ({"admin": True}, "/admin"),
        ({"verified": "yes"}, "/verified"),
    ],
)
async def test_what_does_not_hold_is_refused_and_makes_nobody(
    api: httpx.AsyncClient, given: dict[str, object], pointer: str
) -> None:
    body = {"email": f"{uuid4().hex}@example.com", "name": "Ada", **given}
    assert pointers_of(await api.post(PATH, json=body)) == [pointer]
    assert (await api.get(PATH)).json()["data"] == []


async def test_an_address_is_one_account_whatever_its_case_and_organization(api: httpx.AsyncClient) -> None:
    user = await made_user(api)
    again = {"email": user["email"].upper(), "name": "Eve"}
    problem_of(await api.post(PATH, json=again), 409)
    elsewhere = {"Hookline-Organization": f"org_{uuid4().hex}"}
    problem_of(await api.post(PATH, json=again, headers=elsewhere), 409)


async def test_users_are_listed_a_page_at_a_time_and_found_by_address(api: httpx.AsyncClient) -> None:
    users = [await made_user(api, password=None) for _ in range(3)]
    first = (await api.get(PATH, params={"limit": 2})).json()
    second = (await api.get(PATH, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [each["id"] for each in first["data"] + second["data"]] == [each["id"] for each in users]
    assert not second["has_more"]
    found = (await api.get(PATH, params={"email": users[1]["email"].upper()})).json()["data"]
    assert [each["id"] for each in found] == [users[1]["id"]]
    assert (await api.get(PATH, params={"email": "no address"})).json()["data"] == []


@pytest.mark.parametrize(
    ("method", "after", "body"),
    [
        ("GET", "", None),
        ("PATCH", "", {"name": "Eve"}),
        ("DELETE", "", None),
        ("POST", "/lock", {}),
        ("POST", "/unlock", None),
        ("POST", "/send-verification", None),
        ("POST", "/send-reset", None),
    ],
)
async def test_a_user_of_another_home_is_not_there(
    api: httpx.AsyncClient, shared_url: str, method: str, after: str, body: dict[str, object] | None
) -> None:
    user = await made_user(api, password=None)
    other = f"org_{uuid4().hex}"
    elsewhere = {"Hookline-Organization": other}
    await made_user(api, password=None)
    response = await api.post(
        PATH, headers=elsewhere, json={"email": f"{uuid4().hex}@example.com", "name": "B", "verified": True}
    )
    assert response.status_code == 201
    await query(  # a member is no user of the organization's
        shared_url, "INSERT INTO memberships VALUES ($1, $2, 'viewer', now(), now())", other, user["id"]
    )
    for user_id in (user["id"], UNKNOWN, "usr_x", "x" * 300):
        at = f"{PATH}/{user_id}{after}"
        problem_of(await api.request(method, at, headers=elsewhere, json=body), 404)
    assert (await api.get(f"{PATH}/{user['id']}")).json() == user


async def test_a_change_is_told_with_what_was_before(api: httpx.AsyncClient, shared_url: str) -> None:
    user = await made_user(api)
    response = await api.patch(f"{PATH}/{user['id']}", json={"name": "Grace", "email": user["email"]})
    assert response.json()["name"] == "Grace"
    assert response.headers["etag"] == '"2"'
    name, data, previous = (await told_of(shared_url, user["id"]))[-1]
    assert (name, data["changed"], previous) == ("user.updated", ["name"], {"name": "Ada Lovelace"})
    before = len(await told_of(shared_url, user["id"]))
    assert (await api.patch(f"{PATH}/{user['id']}", json={})).json()["name"] == "Grace"
    assert len(await told_of(shared_url, user["id"])) == before
    stale = await api.patch(f"{PATH}/{user['id']}", json={"name": "Eve"}, headers={"If-Match": '"1"'})
    problem_of(stale, 412)


async def test_another_address_has_to_be_verified_again(api: httpx.AsyncClient, shared_url: str) -> None:
    user, other = await made_user(api), await made_user(api)
    at, email = f"{PATH}/{user['id']}", f"{uuid4().hex}@example.com"
    await api.post(f"{at}/send-reset")
    (old_link,) = await tokens_sent_to(api, shared_url, user["email"], LinkPurpose.RESET)
    changed = (await api.patch(at, json={"email": email})).json()
    assert (changed["email"], changed["state"]) == (email, "unverified")
    _, data, previous = (await told_of(shared_url, user["id"]))[-1]
    assert data["email"] == email
    assert previous["email"] == user["email"]
    async with browser_of(api) as browser:
        # What went to the address of before opens nothing: it may be somebody else's now.
        reset = {"token": old_link, "password": "another good one"}
        assert pointers_of(await browser.post("/api/v1/password-resets/confirm", json=reset)) == ["/token"]
        (token,) = await tokens_sent_to(api, shared_url, email, LinkPurpose.VERIFICATION)
        assert (await browser.post(f"{PATH}/verify", json={"token": token})).status_code == 204
    assert (await api.get(at)).json()["state"] == "active"
    problem_of(await api.patch(at, json={"email": other["email"].title()}), 409)


async def test_a_lock_ends_sessions_and_grants_until_it_is_unlocked(api: httpx.AsyncClient, shared_url: str) -> None:
    user = await made_user(api)
    at = f"{PATH}/{user['id']}"
    async with browser_of(api) as browser:
        await signed_in(browser, user)
        await granted(shared_url, user)
        locked = (await api.post(f"{at}/lock", json={"reason": "left the company"})).json()
        assert (locked["state"], locked["locked_reason"]) == ("locked", "left the company")
        problem_of(await browser.get("/api/v1/sessions/current"), 401)
        problem_of(await browser.post("/api/v1/sessions", json={"email": user["email"], "password": PASSWORD}), 401)
        problem_of(await api.post(f"{at}/lock", json={}), 409)
        problem_of(await api.post(f"{at}/send-reset"), 409)
        assert (await api.post(f"{at}/unlock")).json()["state"] == "active"
        problem_of(await browser.get("/api/v1/sessions/current"), 401)  # what ended stays ended
        await signed_in(browser, user)
    (grant,) = await query(shared_url, "SELECT * FROM oauth_grants WHERE user_id = $1", user["id"])
    assert (grant["revoked_at"] is None, grant["revoked_reason"]) == (False, "user_locked")
    told = [name for name, _, _ in await told_of(shared_url, user["id"]) if name.startswith("user.")]
    assert told == ["user.created", "user.locked", "user.unlocked"]
    problem_of(await api.post(f"{at}/unlock"), 409)


async def granted(url: str, user: dict[str, Any]) -> None:
    application = f"app_{uuid4().hex}"
    columns = await query(
        url,
        "SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns "
        "WHERE table_name = 'applications'",
    )
    fills = {"text": "''", "boolean": "false", "ARRAY": "'{}'", "integer": "1", "jsonb": "'{}'", "bytea": "''"}
    given = {"id": f"'{application}'", "organization_id": f"'{user['organization_id']}'"}
    values = {
        each["column_name"]: given.get(each["column_name"], fills.get(each["data_type"], "now()"))
        for each in columns
        if each["is_nullable"] == "NO" and each["column_default"] is None
    }
    await query(url, f"INSERT INTO applications ({', '.join(values)}) VALUES ({', '.join(values.values())})")
    await query(
        url,
        "INSERT INTO oauth_grants (id, organization_id, application_id, user_id, scopes, created_at, expires_at) "
        "VALUES ($1, $2, $3, $4, '{read}', now(), now() + interval '1 day')",
        f"grt_{uuid4().hex}",
        user["organization_id"],
        application,
        user["id"],
    )


async def test_who_must_reset_is_signed_in_nowhere(api: httpx.AsyncClient, shared_url: str) -> None:
    user = await made_user(api)
    async with browser_of(api) as browser:
        await signed_in(browser, user)
        changed = (await api.patch(f"{PATH}/{user['id']}", json={"must_reset": True})).json()
        assert changed["state"] == "must_reset"
        problem_of(await browser.get("/api/v1/me"), 401)
        # Taking it back opens no session again.
        await api.patch(f"{PATH}/{user['id']}", json={"must_reset": False})
        problem_of(await browser.get("/api/v1/me"), 401)


async def test_a_deleted_user_is_gone_with_what_was_theirs(api: httpx.AsyncClient, shared_url: str) -> None:
    user = await made_user(api, verified=None)
    await query(shared_url, "UPDATE users SET verified_at = now() WHERE id = $1", user["id"])
    async with browser_of(api) as browser:
        await signed_in(browser, user)
        await granted(shared_url, user)
        assert (await api.delete(f"{PATH}/{user['id']}")).status_code == 204
        problem_of(await browser.get("/api/v1/me"), 401)
    problem_of(await api.get(f"{PATH}/{user['id']}"), 404)
    for table in ("memberships", "sessions", "user_links", "oauth_grants"):
        assert await query(shared_url, f"SELECT 1 FROM {table} WHERE user_id = $1", user["id"]) == []
    name, data, previous = (await told_of(shared_url, user["id"]))[-1]
    assert (name, data["id"], previous["email"]) == ("user.deleted", user["id"], user["email"])


async def test_changes_are_in_the_audit_log_with_what_was_before(api: httpx.AsyncClient, shared_url: str) -> None:
    user = await made_user(api)
    await api.patch(f"{PATH}/{user['id']}", json={"name": "Grace"})
    await api.post(f"{PATH}/{user['id']}/lock", json={"reason": "x"})
    rows = await query(shared_url, "SELECT * FROM audit_log WHERE target_id = $1 ORDER BY id", user["id"])
    assert [row["action"] for row in rows] == ["create_user", "change_user", "lock_user"]
    assert rows[1]["changes"] == '{"name": "Ada Lovelace"}'
    assert PASSWORD not in str(rows)


async def test_mail_to_one_account_has_an_end(api: httpx.AsyncClient) -> None:
    user = await made_user(api)
    answers = [await api.post(f"{PATH}/{user['id']}/send-reset") for _ in range(6)]
    assert [each.status_code for each in answers] == [202] * 5 + [429]
    assert answers[-1].headers["retry-after"] == "3600"
    problem_of(await api.post(f"{PATH}/{user['id']}/send-verification"), 409)  # it is verified


async def test_a_password_cannot_be_guessed_from_what_makes_a_post_idempotent(
    api: httpx.AsyncClient, shared_url: str
) -> None:
    body = f'{{"email":"{uuid4().hex}@example.com","name":"Ada","password":"{PASSWORD}"}}'.encode()
    headers = {"Idempotency-Key": uuid4().hex, "Content-Type": "application/json"}
    first = await api.post(PATH, content=body, headers=headers)
    assert first.status_code == 201, first.text
    assert (await api.post(PATH, content=body, headers=headers)).json() == first.json()
    (row,) = await query(shared_url, "SELECT * FROM idempotency_keys WHERE key = $1", headers["Idempotency-Key"])
    guesses = [
        hashlib.sha256(b"".join(len(each).to_bytes(8, "big") + each for each in parts)).digest()
        for parts in ((b"POST", PATH.encode(), b"", body), (b"", b"POST", PATH.encode(), b"", body))
    ]
    assert row["fingerprint"] not in guesses


async def test_who_has_a_user_already_is_told_how_long_to_keep_it(api: httpx.AsyncClient) -> None:
    at = f"{PATH}/{(await made_user(api))['id']}"
    etag = (await api.get(at)).headers["etag"]
    again = await api.get(at, headers={"If-None-Match": etag})
    assert (again.status_code, again.headers["cache-control"]) == (304, "private, max-age=10")
    assert (await api.get(at, headers={"If-Match": '"7"'})).status_code == 412
