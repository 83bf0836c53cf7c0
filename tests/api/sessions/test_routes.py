"""Sessions once they are open: the CSRF token, their end, where they act, and what people do about themselves."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest

from api.database import transaction_of
from api.sessions.cookies import SessionCookies
from api.sessions.looking_up import caller_of_session
from tests.api.problem import pointers_of, problem_of
from tests.api.users.accounts import PASSWORD, browser_of, made_user, query, services_of, signed_in, told_of

pytestmark = pytest.mark.postgres

SESSIONS = "/api/v1/sessions"
ME = "/api/v1/me"
UNKNOWN = "ses_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"


@pytest.mark.parametrize(
    ("token", "site", "status"),
    [
        ("its own", None, 200),
        ("its own", "same-origin", 200),
        ("its own", "none", 200),
        ("its own", "cross-site", 403),
        ("its own", "same-site", 403),
        ("none", None, 403),
        ("none", "same-origin", 403),
        ("wrong", None, 403),
        ("another session's", None, 403),
        ("another user's", None, 403),
        ("the cookie", None, 403),
    ],
)
async def test_what_changes_something_has_the_sessions_own_csrf_token(
    api: httpx.AsyncClient, token: str, site: str | None, status: int
) -> None:
    user, other = await made_user(api), await made_user(api)
    async with browser_of(api) as browser, browser_of(api) as second, browser_of(api) as third:
        own = (await signed_in(browser, user))["csrf_token"]
        tokens = {
            "its own": own,
            "none": None,
            "wrong": own[:-1] + ("A" if own[-1] != "A" else "B"),
            "another session's": (await signed_in(second, user))["csrf_token"],
            "another user's": (await signed_in(third, other))["csrf_token"],
            "the cookie": browser.cookies["__Host-hookline_session"],
        }
        del browser.headers["X-CSRF-Token"]
        given = {"X-CSRF-Token": tokens[token], "Sec-Fetch-Site": site}
        headers = {name: value for name, value in given.items() if value is not None}
        response = await browser.patch(ME, json={"name": "Grace"}, headers=headers)
        assert response.status_code == status, response.text
        assert (await browser.get(ME)).json()["user"]["name"] == ("Grace" if status == 200 else "Ada Lovelace")


async def test_signing_out_ends_the_session_and_takes_its_cookie_back(api: httpx.AsyncClient, shared_url: str) -> None:
    user = await made_user(api)
    async with browser_of(api) as browser, browser_of(api) as elsewhere:
        body = await signed_in(browser, user)
        await signed_in(elsewhere, user)
        cookie = browser.cookies["__Host-hookline_session"]
        response = await browser.delete(f"{SESSIONS}/current")
        assert response.status_code == 204
        cleared = response.headers["set-cookie"]
        assert cleared.startswith(('__Host-hookline_session="";', "__Host-hookline_session=;"))
        assert "Max-Age=0" in cleared
        assert not browser.cookies
        again = await browser.get(f"{SESSIONS}/current", headers={"Cookie": f"__Host-hookline_session={cookie}"})
        problem_of(again, 401)
        assert (await elsewhere.get(f"{SESSIONS}/current")).status_code == 200
    name, data, _ = (await told_of(shared_url, user["id"]))[-1]
    assert (name, data) == ("auth.logout", {"user_id": user["id"], "session_id": body["session"]["id"]})
    rows = await query(
        shared_url, "SELECT action FROM audit_log WHERE target_id = $1 ORDER BY id", body["session"]["id"]
    )
    assert [row["action"] for row in rows] == ["auth.login", "sign_out"]


async def test_ones_own_sessions_are_listed_and_ended_on_every_device(api: httpx.AsyncClient) -> None:
    user, other = await made_user(api), await made_user(api)
    async with browser_of(api) as browser, browser_of(api) as phone, browser_of(api) as theirs:
        here, there = await signed_in(browser, user), await signed_in(phone, user)
        foreign = await signed_in(theirs, other)
        listed = (await browser.get(SESSIONS)).json()["data"]
        assert [(each["id"], each["is_current"]) for each in listed] == [
            (here["session"]["id"], True),
            (there["session"]["id"], False),
        ]
        page = (await browser.get(SESSIONS, params={"limit": 1})).json()
        assert (len(page["data"]), page["has_more"]) == (1, True)
        for session_id in (foreign["session"]["id"], UNKNOWN, "x"):
            problem_of(await browser.delete(f"{SESSIONS}/{session_id}"), 404)
        assert (await theirs.get(ME)).status_code == 200
        assert (await browser.delete(f"{SESSIONS}/{there['session']['id']}")).status_code == 204
        problem_of(await phone.get(ME), 401)
        problem_of(await browser.delete(f"{SESSIONS}/{there['session']['id']}"), 404)


async def test_a_session_expires(api: httpx.AsyncClient, shared_url: str) -> None:
    user = await made_user(api)
    async with browser_of(api) as browser:
        body = await signed_in(browser, user)
        lasts = datetime.fromisoformat(body["session"]["expires_at"]) - datetime.now(UTC)
        assert timedelta(hours=11, minutes=59) < lasts <= timedelta(hours=12)
        assert (await browser.get(ME)).status_code == 200
        await query(shared_url, "UPDATE sessions SET expires_at = now() WHERE user_id = $1", user["id"])
        services = services_of(api)
        services.callers.forget()
        problem_of(await browser.get(ME), 401)
        cookie, cookies = browser.cookies["__Host-hookline_session"], SessionCookies(services.sealer)
    async with transaction_of(services.engine) as db:  # not only what calls it looks at the time
        assert await caller_of_session(db, cookie, None, cookies=cookies) is None


async def test_when_it_was_last_seen_is_written_at_most_once_a_minute(api: httpx.AsyncClient, shared_url: str) -> None:
    user = await made_user(api)

    async def seen_after(seconds_ago: int) -> bool:
        at = datetime.now(UTC) - timedelta(seconds=seconds_ago)
        await query(shared_url, "UPDATE sessions SET last_seen_at = $2 WHERE user_id = $1", user["id"], at)
        services_of(api).callers.forget()
        await browser.get(ME)
        (row,) = await query(shared_url, "SELECT last_seen_at FROM sessions WHERE user_id = $1", user["id"])
        return bool(row[0] > at)

    async with browser_of(api) as browser:
        await signed_in(browser, user)
        assert not await seen_after(50)
        assert await seen_after(70)


async def test_a_session_moves_to_another_organization_of_its_users(api: httpx.AsyncClient, shared_url: str) -> None:
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
        await signed_in(browser, user)
        assert (await browser.get(ME, headers={"Hookline-Organization": second})).json()["organization_id"] == second
        problem_of(await browser.get(ME, headers={"Hookline-Organization": third}), 401)
        problem_of(await browser.post(f"{SESSIONS}/current/organization", json={"organization_id": third}), 404)
        moved = await browser.post(f"{SESSIONS}/current/organization", json={"organization_id": second})
        assert moved.json()["organization"] == {"id": second, "name": "B"}
        assert moved.json()["csrf_token"] == browser.headers["X-CSRF-Token"]
        me = (await browser.get(ME)).json()
        assert (me["organization_id"], "subscriptions:read" in me["permissions"]) == (second, True)
        problem_of(await browser.get("/api/v1/users"), 403)
        await query(shared_url, "DELETE FROM memberships WHERE organization_id = $1", second)
        services_of(api).callers.forget()
        problem_of(await browser.get(ME), 401)  # who is no member any more acts there no more


async def test_another_password_is_chosen_by_showing_the_one_there_is(api: httpx.AsyncClient, shared_url: str) -> None:
    user = await made_user(api)
    async with browser_of(api) as browser, browser_of(api) as phone:
        await signed_in(browser, user)
        await signed_in(phone, user)
        at = f"{ME}/password"
        wrong = await browser.post(at, json={"current": "not the one", "new": "another good one"})
        assert pointers_of(wrong) == ["/current"]
        assert pointers_of(await browser.post(at, json={"current": PASSWORD, "new": "password1"})) == ["/new"]
        assert (await phone.get(ME)).status_code == 200
        changed = await browser.post(at, json={"current": PASSWORD, "new": "another good one"})
        assert changed.status_code == 204
        assert (await browser.get(ME)).status_code == 200
        problem_of(await phone.get(ME), 401)
        problem_of(await phone.post(SESSIONS, json={"email": user["email"], "password": PASSWORD}), 401)
        await signed_in(phone, user, password="another good one")
    told = [(name, data.get("method")) for name, data, _ in await told_of(shared_url, user["id"])]
    assert told.count(("user.password_changed", "change")) == 1
    assert "another good one" not in str(await query(shared_url, "SELECT * FROM audit_log"))


async def test_guessing_the_password_of_an_open_session_is_limited_too(api: httpx.AsyncClient) -> None:
    user = await made_user(api)
    async with browser_of(api) as browser:
        await signed_in(browser, user)
        bodies = [{"current": f"try {number}", "new": "another good one"} for number in range(12)]
        answers = await asyncio.gather(*(browser.post(f"{ME}/password", json=body) for body in bodies))
        assert sorted(each.status_code for each in answers) == [422] * 10 + [429] * 2


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", SESSIONS, None),
        ("GET", f"{SESSIONS}/current", None),
        ("DELETE", f"{SESSIONS}/current", None),
        ("DELETE", f"{SESSIONS}/{UNKNOWN}", None),
        ("POST", f"{SESSIONS}/current/organization", {"organization_id": "org_default"}),
        ("PATCH", ME, {"name": "Eve"}),
        ("POST", f"{ME}/password", {"current": PASSWORD, "new": "another good one"}),
    ],
)
async def test_what_is_no_browser_has_no_sessions_and_no_password(
    api: httpx.AsyncClient, method: str, path: str, body: dict[str, object] | None
) -> None:
    problem_of(await api.request(method, path, json=body), 403)
    async with browser_of(api) as nobody:
        problem_of(await nobody.request(method, path, json=body), 401)


async def test_whoever_calls_may_ask_who_they_are(api: httpx.AsyncClient) -> None:
    me = (await api.get(ME)).json()
    assert (me["kind"], me["user"], me["organization_id"]) == (
        "administrator",
        None,
        api.headers["Hookline-Organization"],
    )


async def test_the_csrf_token_is_kept_by_no_cache(api: httpx.AsyncClient) -> None:
    user = await made_user(api)
    async with browser_of(api) as browser:
        await signed_in(browser, user)
        assert (await browser.get(f"{SESSIONS}/current")).headers["cache-control"] == "no-store"
