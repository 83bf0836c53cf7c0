"""Links in e-mails: each is used once, in time, for what it was sent for; whether an account is there shows nowhere."""

import asyncio
from uuid import uuid4

import httpx
import pytest

from api.signed_links import LinkPurpose
from api.users import resetting
from api.users.evenly import no_sooner_than
from tests.api.problem import pointers_of, problem_of
from tests.api.users.accounts import (
    PASSWORD,
    browser_of,
    made_user,
    query,
    services_of,
    signed_in,
    tokens_sent_to,
    told_of,
)

pytestmark = pytest.mark.postgres

RESETS = "/api/v1/password-resets"
VERIFY = "/api/v1/users/verify"
ANOTHER = "another good one"


async def asked(browser: httpx.AsyncClient, email: str) -> None:
    response = await browser.post(RESETS, json={"email": email})
    assert (response.status_code, response.content) == (202, b"")


async def test_a_link_verifies_an_address_once(api: httpx.AsyncClient, shared_url: str) -> None:
    user = await made_user(api, verified=None)
    (token,) = await tokens_sent_to(api, shared_url, user["email"], LinkPurpose.VERIFICATION)
    async with browser_of(api) as browser:
        refused = await browser.post("/api/v1/sessions", json={"email": user["email"], "password": PASSWORD})
        assert "not verified" in str(problem_of(refused, 403)["detail"])
        assert (await browser.post(VERIFY, json={"token": token})).status_code == 204
        assert pointers_of(await browser.post(VERIFY, json={"token": token})) == ["/token"]
        await signed_in(browser, user)
    names = [name for name, _, _ in await told_of(shared_url, user["id"])]
    assert names.count("user.verified") == 1


async def test_a_reset_ends_sessions_grants_and_other_links(api: httpx.AsyncClient, shared_url: str) -> None:
    user = await made_user(api)
    async with browser_of(api) as browser, browser_of(api) as thief:
        await signed_in(thief, user)
        await asked(browser, user["email"].upper())
        await asked(browser, user["email"])
        first, second = await tokens_sent_to(api, shared_url, user["email"], LinkPurpose.RESET)
        weak = await browser.post(f"{RESETS}/confirm", json={"token": first, "password": "password1"})
        assert pointers_of(weak) == ["/password"]
        confirmed = await browser.post(f"{RESETS}/confirm", json={"token": first, "password": ANOTHER})
        assert confirmed.status_code == 204
        for token in (first, second):
            again = await browser.post(f"{RESETS}/confirm", json={"token": token, "password": "yet another one"})
            assert pointers_of(again) == ["/token"]
        problem_of(await thief.get("/api/v1/me"), 401)
        problem_of(await browser.post("/api/v1/sessions", json={"email": user["email"], "password": PASSWORD}), 401)
        await signed_in(browser, user, password=ANOTHER)
    names = [name for name, _, _ in await told_of(shared_url, user["id"])]
    assert names.count("user.password_changed") == 1
    assert ANOTHER not in str(await told_of(shared_url, user["id"]))


async def test_a_reset_lets_in_who_must_reset_or_was_never_verified(api: httpx.AsyncClient, shared_url: str) -> None:
    user = await made_user(api, verified=None, password=None, must_reset=True)
    async with browser_of(api) as browser:
        await asked(browser, user["email"])
        (token,) = await tokens_sent_to(api, shared_url, user["email"], LinkPurpose.RESET)
        await browser.post(f"{RESETS}/confirm", json={"token": token, "password": ANOTHER})
        await signed_in(browser, user, password=ANOTHER)
    assert (await api.get(f"/api/v1/users/{user['id']}")).json()["state"] == "active"


async def test_of_twenty_uses_at_once_one_succeeds(api: httpx.AsyncClient, shared_url: str) -> None:
    user = await made_user(api)
    async with browser_of(api) as browser:
        await asked(browser, user["email"])
        (token,) = await tokens_sent_to(api, shared_url, user["email"], LinkPurpose.RESET)
        bodies = [{"token": token, "password": f"another good one {number}"} for number in range(20)]
        answers = await asyncio.gather(*(browser.post(f"{RESETS}/confirm", json=body) for body in bodies))
        assert sorted(each.status_code for each in answers) == [204] + [422] * 19
        chosen = next(body for body, each in zip(bodies, answers, strict=True) if each.status_code == 204)
        await signed_in(browser, user, password=chosen["password"])


async def test_two_links_of_one_user_do_not_wait_for_each_other(api: httpx.AsyncClient, shared_url: str) -> None:
    user = await made_user(api)
    async with browser_of(api) as browser:
        for _ in range(4):
            await asked(browser, user["email"])
        tokens = await tokens_sent_to(api, shared_url, user["email"], LinkPurpose.RESET)
        bodies = [{"token": token, "password": ANOTHER} for token in tokens]
        answers = await asyncio.gather(*(browser.post(f"{RESETS}/confirm", json=body) for body in bodies))
    assert sorted(each.status_code for each in answers) == [204, 422, 422, 422]


@pytest.mark.parametrize(
    "wrong", ["made up", "other purpose", "unsigned", "another's signature", "expired", "long", "é"]
)
async def test_what_is_no_link_is_answered_alike(api: httpx.AsyncClient, shared_url: str, wrong: str) -> None:
    user = await made_user(api, verified=None)
    (token,) = await tokens_sent_to(api, shared_url, user["email"], LinkPurpose.VERIFICATION)
    (row,) = await query(shared_url, "SELECT id FROM user_links WHERE user_id = $1", user["id"])
    if wrong == "expired":
        await query(shared_url, "UPDATE user_links SET expires_at = now() WHERE user_id = $1", user["id"])
    given = {
        "made up": services_of(api).links.token_of(LinkPurpose.VERIFICATION, f"lnk_{uuid4().hex}"),
        "other purpose": services_of(api).links.token_of(LinkPurpose.RESET, row["id"]),
        "unsigned": row["id"],
        "another's signature": f"{row['id']}.{services_of(api).links.token_of(LinkPurpose.RESET, 'x')[2:]}",
        "expired": token,
        "long": "x" * 300,
        "é": "é",
    }[wrong]
    async with browser_of(api) as browser:
        document = problem_of(await browser.post(VERIFY, json={"token": given}), 422)
        assert document["detail"] == "/token: is no link that can be used (any more): ask for a new one"
        reset = await browser.post(f"{RESETS}/confirm", json={"token": given, "password": ANOTHER})
        if wrong != "other purpose":
            assert problem_of(reset, 422)["detail"] == document["detail"]
        else:  # a link's row has its purpose too: the signature of another one does not help
            assert pointers_of(reset) == ["/token"]


async def test_whether_there_is_an_account_shows_neither_in_the_answer_nor_in_its_time(
    api: httpx.AsyncClient, shared_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, locked = await made_user(api), await made_user(api)
    await api.post(f"/api/v1/users/{locked['id']}/lock", json={})
    floors = []

    def noted(seconds: float) -> object:
        floors.append(seconds)
        return floor(seconds)

    floor = no_sooner_than
    monkeypatch.setattr(resetting, "no_sooner_than", noted)
    answers = []
    async with browser_of(api) as browser:
        for email in (known["email"], locked["email"], f"{uuid4().hex}@example.com", "no address"):
            answer = await browser.post(RESETS, json={"email": email})
            headers = {
                name: value for name, value in answer.headers.items() if name not in {"x-request-id", "ratelimit"}
            }
            answers.append((answer.status_code, answer.content, headers, answer.elapsed.total_seconds() >= 0.2))
    assert answers == [answers[0]] * 4
    assert answers[0][3]
    assert floors == [0.2] * 4
    assert len(await tokens_sent_to(api, shared_url, known["email"], LinkPurpose.RESET)) == 1
    assert await tokens_sent_to(api, shared_url, locked["email"], LinkPurpose.RESET) == []


async def test_asking_has_a_limit_by_address_and_mails_one_by_account(api: httpx.AsyncClient, shared_url: str) -> None:
    user = await made_user(api)
    async with browser_of(api, address="192.0.2.77") as browser:
        answers = await asyncio.gather(*(browser.post(RESETS, json={"email": user["email"]}) for _ in range(31)))
    assert sorted(each.status_code for each in answers) == [202] * 30 + [429]
    assert len(await tokens_sent_to(api, shared_url, user["email"], LinkPurpose.RESET)) == 5
