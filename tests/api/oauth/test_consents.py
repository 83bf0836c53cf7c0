"""`/api/v1/consents`: seeing what one allowed, and taking it back."""

import orjson
import pytest

from tests.api.conftest import TOKEN
from tests.api.oauth.browser import answer_in
from tests.api.oauth.scene import CALLBACK, VERIFIER, ConsentRow, GrantRow, Scene
from tests.api.problem import problem_of

pytestmark = pytest.mark.postgres

PATH = "/api/v1/consents"


async def test_they_are_listed_and_taken_back(signed_in: Scene) -> None:
    token = await signed_in.sign_in()
    await signed_in.decide(await signed_in.authorize())
    (listed,) = (await signed_in.browser.get(PATH)).json()["data"]
    assert (listed["application_id"], listed["application_name"]) == (signed_in.client_id, "Reporting")
    assert listed["scopes"] == ["read"]
    unproved = await signed_in.browser.delete(f"{PATH}/{signed_in.client_id}")
    problem_of(unproved, 403)  # CSRF
    done = await signed_in.browser.delete(f"{PATH}/{signed_in.client_id}", headers={"X-CSRF-Token": token})
    assert done.status_code == 204
    assert (await signed_in.browser.get(PATH)).json()["data"] == []
    (grant,) = await signed_in.rows(GrantRow)
    assert (grant.revoked_at is not None, grant.revoked_reason) == (True, "consent_revoked")
    assert (await signed_in.authorize()).status_code == 200  # asked again
    again = await signed_in.browser.delete(f"{PATH}/{signed_in.client_id}", headers={"X-CSRF-Token": token})
    problem_of(again, 404)


async def test_nobody_elses_are_seen_or_taken_back(signed_in: Scene) -> None:
    await signed_in.decide(await signed_in.authorize())
    other, _ = await signed_in.user(signed_in.organization_id)
    foreign = await signed_in.organization(name="Foreign")
    await signed_in.member(foreign, signed_in.user_id)
    for user_id, organization_id in ((other, signed_in.organization_id), (signed_in.user_id, foreign)):
        headers = {"X-CSRF-Token": await signed_in.sign_in(user_id, organization_id)}
        assert (await signed_in.browser.get(PATH)).json()["data"] == []
        problem_of(await signed_in.browser.delete(f"{PATH}/{signed_in.client_id}", headers=headers), 404)
    assert len(await signed_in.rows(ConsentRow)) == 1


async def test_who_is_no_user_has_none(signed_in: Scene) -> None:
    await signed_in.decide(await signed_in.authorize())
    headers = {"Authorization": f"Bearer {TOKEN}", "Hookline-Organization": signed_in.organization_id}
    assert (await signed_in.browser.get(PATH, headers=headers)).json()["data"] == []
    problem_of(await signed_in.browser.delete(f"{PATH}/{signed_in.client_id}", headers=headers), 404)
    signed_in.browser.cookies.clear()
    problem_of(await signed_in.browser.get(PATH), 401)
    problem_of(await signed_in.browser.delete(f"{PATH}/app_x%00"), 401)


async def test_several_come_page_by_page(signed_in: Scene) -> None:
    clients = sorted([signed_in.client_id, *[await signed_in.application() for _ in range(2)]])
    for client_id in clients:
        signed_in.client_id = client_id
        await signed_in.decide(await signed_in.authorize())
    first = (await signed_in.browser.get(PATH, params={"limit": 2})).json()
    second = (await signed_in.browser.get(PATH, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [each["application_id"] for each in [*first["data"], *second["data"]]] == clients
    assert (first["has_more"], second["has_more"]) == (True, False)


async def test_allowing_more_and_taking_back_are_events(signed_in: Scene) -> None:
    token = await signed_in.sign_in()
    await signed_in.decide(await signed_in.authorize())
    await signed_in.decide(await signed_in.authorize(scope="subscriptions:create"))
    await signed_in.browser.delete(f"{PATH}/{signed_in.client_id}", headers={"X-CSRF-Token": token})
    events = await signed_in.events_about(signed_in.user_id)
    found = [
        (each.type, orjson.loads(each.data)["scopes"], None if each.previous is None else orjson.loads(each.previous))
        for each in events
        if each.type.startswith("consent.")
    ]
    assert found == [
        ("consent.granted", ["read"], None),
        ("consent.granted", ["read", "subscriptions:create"], {"scopes": ["read"]}),
        ("consent.revoked", [], {"scopes": ["read", "subscriptions:create"]}),
    ]


async def test_an_application_sees_its_own_and_loses_what_it_was_given(signed_in: Scene) -> None:
    other = signed_in.client_id
    await signed_in.decide(await signed_in.authorize())
    signed_in.client_id = await signed_in.application(kind="public")
    code = answer_in(await signed_in.decide(await signed_in.authorize()))["code"]
    signed_in.browser.cookies.clear()
    given = {"grant_type": "authorization_code", "client_id": signed_in.client_id, "code": code}
    asked = {**given, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    answer = await signed_in.browser.post("/oauth/token", data=asked)
    assert answer.status_code == 200, answer.text
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    (seen,) = (await signed_in.browser.get(PATH, headers=headers)).json()["data"]
    assert seen["application_id"] == signed_in.client_id
    problem_of(await signed_in.browser.delete(f"{PATH}/{other}", headers=headers), 404)
    gone = await signed_in.browser.delete(f"{PATH}/{signed_in.client_id}", headers=headers)
    assert gone.status_code == 204
    problem_of(await signed_in.browser.get(PATH, headers=headers), 401)
    assert [row.application_id for row in await signed_in.rows(ConsentRow)] == [other]
