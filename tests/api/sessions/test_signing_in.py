"""Signing in: what a refusal tells, how often one may try, and what comes of it."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pwdlib.hashers.bcrypt import BcryptHasher

from api.sessions import signing_in
from api.users import passwords
from tests.api.conftest import client_of, settings_of
from tests.api.problem import problem_of
from tests.api.users.accounts import (
    ADDRESS,
    PASSWORD,
    browser_of,
    made_user,
    query,
    signed_in,
    told_of,
)

pytestmark = pytest.mark.postgres

SESSIONS = "/api/v1/sessions"


def body_of(user: dict[str, Any], **more: object) -> dict[str, object]:
    return {"email": user["email"], "password": PASSWORD, **more}


async def test_a_session_is_opened_with_its_cookie(api: httpx.AsyncClient, shared_url: str) -> None:
    user = await made_user(api)
    async with browser_of(api) as browser:
        response = await browser.post(SESSIONS, json=body_of(user), headers={"User-Agent": "A browser"})
        body = response.json()
        cookie = response.headers["set-cookie"]
        name, _, rest = cookie.partition("=")
        assert name == "__Host-hookline_session"
        attributes = sorted(each.strip().lower() for each in rest.split(";")[1:])
        assert attributes == ["httponly", "max-age=43200", "path=/", "samesite=lax", "secure"]
        assert response.headers["cache-control"] == "no-store"
        assert body["user"]["id"] == user["id"]
        assert body["organization"]["id"] == user["organization_id"]
        assert "users:read" in body["permissions"]
        assert (body["session"]["address"], body["session"]["user_agent"]) == (ADDRESS, "A browser")
        current = (await browser.get(f"{SESSIONS}/current")).json()
        assert (current["csrf_token"], current["session"]["id"]) == (body["csrf_token"], body["session"]["id"])
        assert current["user"]["last_login_at"] is not None
        secret = rest.partition(".")[0]
    rows = await query(shared_url, "SELECT * FROM sessions WHERE user_id = $1", user["id"])
    assert secret not in str(rows)
    assert body["csrf_token"] not in str(rows)
    name, data, _ = (await told_of(shared_url, user["id"]))[-1]
    assert name == "auth.login"
    assert data == {
        "user_id": user["id"],
        "method": "password",
        "ip_address": ADDRESS,
        "user_agent": "A browser",
        "session_id": body["session"]["id"],
    }
    (entry,) = await query(
        shared_url, "SELECT * FROM audit_log WHERE action = 'auth.login' AND actor_id = $1", user["id"]
    )
    assert (entry["address"], entry["actor_kind"], entry["user_agent"]) == (ADDRESS, "session", "A browser")
    assert entry["request_id"] == response.headers["x-request-id"]


async def test_in_development_the_cookie_goes_over_http(shared_url: str) -> None:
    async with client_of(settings_of(shared_url, development=True)) as api:
        api.headers["Hookline-Organization"] = f"org_{uuid4().hex}"
        user = await made_user(api)
        async with browser_of(api) as browser:
            response = await browser.post(SESSIONS, json=body_of(user))
            cookie = response.headers["set-cookie"]
            assert cookie.startswith("hookline_session=")
            assert "secure" not in cookie.lower()
            assert "httponly" in cookie.lower()
            assert (await browser.get(f"{SESSIONS}/current")).status_code == 200


async def test_a_cookie_that_the_browser_brings_is_never_adopted(api: httpx.AsyncClient) -> None:
    user, thief = await made_user(api), await made_user(api)
    async with browser_of(api) as attacker, browser_of(api) as browser:
        await signed_in(attacker, thief)
        planted = attacker.cookies["__Host-hookline_session"]
        for cookie in ("a-made-up-one", planted):
            headers = {"Cookie": f"__Host-hookline_session={cookie}"}
            answer = await browser.post(SESSIONS, json=body_of(user), headers=headers)
            assert answer.status_code == 201
            assert cookie not in answer.headers["set-cookie"]
        seen = await attacker.get(f"{SESSIONS}/current")  # what was planted is still the attacker's own
        assert seen.json()["user"]["id"] == thief["id"]
        opened = await asyncio.gather(*(browser.post(SESSIONS, json=body_of(user)) for _ in range(3)))
    assert len({each.headers["set-cookie"] for each in opened}) == 3


async def test_no_account_a_wrong_password_and_a_lock_are_answered_alike_and_not_too_soon(
    api: httpx.AsyncClient, shared_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, locked, without = await made_user(api), await made_user(api), await made_user(api, password=None)
    await api.post(f"/api/v1/users/{locked['id']}/lock", json={})
    hashed = []
    argon2 = passwords._ARGON2

    class Counting:
        hash = argon2.hash
        identify = argon2.identify
        check_needs_rehash = argon2.check_needs_rehash

        def verify(self, password: str, kept: str) -> bool:
            hashed.append(kept)
            return argon2.verify(password, kept)

    monkeypatch.setattr(passwords, "_ARGON2", Counting())
    tries = [
        {"email": known["email"], "password": "not the one"},
        {"email": known["email"], "password": ""},
        {"email": locked["email"], "password": PASSWORD},
        {"email": without["email"], "password": PASSWORD},
        {"email": f"{uuid4().hex}@example.com", "password": PASSWORD},
        {"email": "no address", "password": PASSWORD},
    ]
    answers = []
    async with browser_of(api) as browser:
        for each in tries:
            answer = await browser.post(SESSIONS, json=each)
            document = problem_of(answer, 401)
            del document["request_id"]
            assert answer.elapsed.total_seconds() >= signing_in.REFUSED_AFTER_S
            assert "set-cookie" not in answer.headers
            answers.append(document)
    assert answers == [answers[0]] * len(tries)
    assert len(hashed) == len(tries)  # one hash each, whoever it is
    name, data, _ = (await told_of(shared_url, known["id"]))[-1]
    assert (name, data["reason"], data["ip_address"]) == ("auth.failed", "wrong_password", ADDRESS)
    assert "not the one" not in str(await told_of(shared_url, known["id"]))
    assert (await told_of(shared_url, locked["id"]))[-1][1]["reason"] == "locked"
    entries = await query(
        shared_url, "SELECT * FROM audit_log WHERE action = 'auth.failed' AND actor_id = $1", known["id"]
    )
    assert [entry["actor_kind"] for entry in entries] == ["nobody", "nobody"]


@pytest.mark.parametrize(("change", "said"), [("must_reset", "has to be replaced"), ("unverified", "not verified")])
async def test_who_knows_the_password_is_told_what_to_do(
    api: httpx.AsyncClient, shared_url: str, change: str, said: str
) -> None:
    given: dict[str, object] = {"must_reset": True} if change == "must_reset" else {"verified": None}
    user = await made_user(api, **given)
    async with browser_of(api) as browser:
        refused = await browser.post(SESSIONS, json=body_of(user))
        document = problem_of(refused, 403)
        assert said in str(document["detail"])
        assert "/api/v1/password-resets" in str(document["detail"])
        assert "set-cookie" not in refused.headers
        problem_of(await browser.post(SESSIONS, json=body_of(user, password="not the one")), 401)
    told = [data["reason"] for name, data, _ in await told_of(shared_url, user["id"]) if name == "auth.failed"]
    assert told == [change, "wrong_password"]


async def test_a_bcrypt_hash_is_argon2_after_one_sign_in(api: httpx.AsyncClient, shared_url: str) -> None:
    user = await made_user(api)
    kept = BcryptHasher(rounds=4).hash(PASSWORD)
    await query(shared_url, "UPDATE users SET password_hash = $2 WHERE id = $1", user["id"], kept)
    async with browser_of(api) as browser:
        problem_of(await browser.post(SESSIONS, json=body_of(user, password="not the one")), 401)
        (row,) = await query(shared_url, "SELECT password_hash FROM users WHERE id = $1", user["id"])
        assert row[0] == kept
        await signed_in(browser, user)
        (row,) = await query(shared_url, "SELECT password_hash FROM users WHERE id = $1", user["id"])
        assert row[0].startswith("$argon2id$")
        await signed_in(browser, user)


async def test_tries_at_one_account_are_limited_from_however_many_addresses(api: httpx.AsyncClient) -> None:
    user, other = await made_user(api), await made_user(api)

    async def tried(number: int) -> int:
        # Every spelling of the address is the same account.
        email = [user["email"], user["email"].upper(), user["email"].replace("example", "ｅxample")][number % 3]
        async with browser_of(api, address=f"203.0.113.{number}") as browser:
            return (await browser.post(SESSIONS, json={"email": email, "password": f"try {number}"})).status_code

    assert sorted(await asyncio.gather(*(tried(number) for number in range(25)))) == [401] * 10 + [429] * 15
    async with browser_of(api) as browser:
        refused = await browser.post(SESSIONS, json=body_of(user))  # the right one too
        problem_of(refused, 429)
        assert 0 < int(refused.headers["retry-after"]) <= 15 * 60
        await signed_in(browser, other)


async def test_an_account_that_is_not_there_is_limited_alike(api: httpx.AsyncClient) -> None:
    body = {"email": f"{uuid4().hex}@example.com", "password": PASSWORD}

    async def tried(number: int) -> int:
        async with browser_of(api, address=f"203.0.113.{number}") as browser:
            return (await browser.post(SESSIONS, json=body)).status_code

    assert sorted(await asyncio.gather(*(tried(number) for number in range(12)))) == [401] * 10 + [429] * 2


async def test_tries_from_one_address_are_limited_over_however_many_accounts(api: httpx.AsyncClient) -> None:
    user = await made_user(api)
    async with browser_of(api, address="203.0.113.9") as attacker:
        bodies = [{"email": f"{uuid4().hex}@example.com", "password": "password1"} for _ in range(40)]
        answers = await asyncio.gather(*(attacker.post(SESSIONS, json=body) for body in bodies))
        assert sorted(each.status_code for each in answers) == [401] * 30 + [429] * 10
        problem_of(await attacker.post(SESSIONS, json=body_of(user)), 429)
    async with browser_of(api, address="203.0.113.10") as browser:
        await signed_in(browser, user)


async def test_signing_in_forgets_the_tries_before_it(api: httpx.AsyncClient) -> None:
    user = await made_user(api)
    for turn in range(3):
        async with browser_of(api, address=f"203.0.113.{turn}") as browser:
            bodies = [body_of(user, password="not the one")] * 8
            answers = await asyncio.gather(*(browser.post(SESSIONS, json=body) for body in bodies))
            assert {each.status_code for each in answers} == {401}
            await signed_in(browser, user)


async def test_a_user_acts_in_their_home_or_in_the_organization_they_name(
    api: httpx.AsyncClient, shared_url: str
) -> None:
    user = await made_user(api)
    second, third = f"org_{uuid4().hex}", f"org_{uuid4().hex}"
    for organization_id in (second, third):
        await query(
            shared_url,
            "INSERT INTO organizations (id, version, name, created_at, updated_at) VALUES ($1, 1, 'B', now(), now())",
            organization_id,
        )
    await query(shared_url, "INSERT INTO memberships VALUES ($1, $2, 'viewer', now(), now())", second, user["id"])
    async with browser_of(api) as browser:
        assert (await signed_in(browser, user))["organization"]["id"] == user["organization_id"]
        body = await signed_in(browser, user, organization_id=second)
        assert (body["organization"]["id"], "users:read" in body["permissions"]) == (second, False)
        problem_of(await browser.post(SESSIONS, json=body_of(user, organization_id=third)), 404)
        problem_of(await browser.post(SESSIONS, json=body_of(user, organization_id="a b")), 422)
        await query(
            shared_url,
            "DELETE FROM memberships WHERE user_id = $1 AND organization_id = $2",
            user["id"],
            user["organization_id"],
        )
        assert (await signed_in(browser, user))["organization"]["id"] == second
        await query(shared_url, "DELETE FROM memberships WHERE user_id = $1", user["id"])
        body = await signed_in(browser, user)  # a member of nothing has their own affairs
        assert (body["organization"]["id"], body["permissions"]) == (user["organization_id"], [])
        assert (await browser.get("/api/v1/me")).status_code == 200
        problem_of(await browser.get("/api/v1/users"), 403)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 201),
        ({"Sec-Fetch-Site": "none"}, 201),
        ({"Content-Type": "text/plain"}, 415),  # what a form of another site can send
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
async def test_another_site_signs_nobody_in(api: httpx.AsyncClient, headers: dict[str, str], status: int) -> None:
    user = await made_user(api)
    async with browser_of(api) as browser:
        answer = await browser.post(SESSIONS, json=body_of(user), headers=headers)
        assert answer.status_code == status
        assert ("set-cookie" in answer.headers) == (status == 201)
