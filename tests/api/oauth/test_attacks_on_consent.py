"""Getting a consent, or a session, that nobody gave: forged, replayed and framed forms."""

import asyncio
import time

import httpx
import pytest

from api.audit.tables import AuditRow
from api.credentials import SESSION_COOKIE
from api.oauth.forms import FormPurpose, forms_of
from tests.api.oauth.browser import Page, answer_in
from tests.api.oauth.scene import PASSWORD, ConsentRow, Scene

pytestmark = pytest.mark.postgres


async def _refused(scene: Scene, answer: httpx.Response, *statuses: int) -> None:
    assert answer.status_code in (statuses or (400, 403))
    assert "location" not in answer.headers
    assert Page(answer).named("h1")
    assert await scene.codes() == 0
    assert await scene.rows(ConsentRow) == []


async def _form(scene: Scene, **changed: str | None) -> dict[str, str]:
    return Page(await scene.authorize(**changed)).form_to("/oauth/consent").fields


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"decision": "allow"},
        {"form": "", "decision": "allow"},
        {"form": "made-up", "decision": "allow"},
        {"form": "é", "decision": "allow"},
        {"form": "a.b.c", "decision": "allow"},
    ],
)
async def test_no_token_no_consent(signed_in: Scene, fields: dict[str, str]) -> None:
    await _refused(signed_in, await signed_in.browser.post("/oauth/consent", data=fields))


async def test_a_token_is_good_for_the_session_that_it_was_shown_to(signed_in: Scene) -> None:
    form = await _form(signed_in)
    other, _ = await signed_in.user(signed_in.organization_id)
    await signed_in.sign_in(other)  # the attacker's own form, in the victim's browser
    await _refused(signed_in, await signed_in.browser.post("/oauth/consent", data={**form, "decision": "allow"}))


async def test_a_token_dies_with_its_session(signed_in: Scene) -> None:
    form = await _form(signed_in)
    await signed_in.sign_in()  # the same user, in another session
    await _refused(signed_in, await signed_in.browser.post("/oauth/consent", data={**form, "decision": "allow"}))
    signed_in.browser.cookies.delete(SESSION_COOKIE)
    answer = await signed_in.browser.post("/oauth/consent", data={**form, "decision": "allow"})
    assert Page(answer).has_form("/signin")
    assert await signed_in.codes() == 0


async def test_a_token_is_good_for_the_request_that_it_was_shown_for(signed_in: Scene) -> None:
    small, large = await _form(signed_in), await _form(signed_in, scope="read subscriptions:create")
    payload, moment, signature = large["form"].rsplit(".", 2)
    for mixed in (
        ".".join((payload, *small["form"].rsplit(".", 2)[1:])),
        ".".join((payload, moment, small["form"].rsplit(".", 1)[1])),
        f"{payload}.{moment}.{signature[:-1]}",
        f"{payload}.{signature}",
    ):
        answer = await signed_in.browser.post("/oauth/consent", data={"form": mixed, "decision": "allow"})
        await _refused(signed_in, answer)


@pytest.mark.parametrize("name", ["scope", "client_id", "redirect_uri", "state", "organization", "query"])
async def test_a_form_takes_nothing_beside_its_token(signed_in: Scene, name: str) -> None:
    form = await _form(signed_in)
    answer = await signed_in.browser.post("/oauth/consent", data={**form, "decision": "allow", name: "read"})
    await _refused(signed_in, answer)


async def test_a_field_that_comes_twice_is_refused(signed_in: Scene) -> None:
    form = await _form(signed_in)
    body = f"form={form['form']}&decision=deny&decision=allow"
    headers = {"content-type": "application/x-www-form-urlencoded"}
    await _refused(signed_in, await signed_in.browser.post("/oauth/consent", content=body, headers=headers))


@pytest.mark.parametrize("decision", ["", "yes", "ALLOW", "allow ", "allow,deny"])
async def test_only_allow_allows(signed_in: Scene, decision: str) -> None:
    form = await _form(signed_in)
    await _refused(signed_in, await signed_in.browser.post("/oauth/consent", data={**form, "decision": decision}))


async def test_a_form_is_a_form(signed_in: Scene) -> None:
    given = {**await _form(signed_in), "decision": "allow"}
    await _refused(signed_in, await signed_in.browser.post("/oauth/consent", json=given))
    await _refused(signed_in, await signed_in.browser.post("/oauth/consent", files={"form": b"x"}, data=given))
    plain = {"content-type": "text/plain"}
    await _refused(signed_in, await signed_in.browser.post("/oauth/consent", content="x", headers=plain))
    large = {**given, "form": "a" * 70_000}
    await _refused(signed_in, await signed_in.browser.post("/oauth/consent", data=large), 413)


async def test_get_allows_nothing(signed_in: Scene) -> None:
    form = await _form(signed_in)
    for query in ({**form, "decision": "allow"}, {"choice": form["form"], "organization": signed_in.organization_id}):
        await _refused(signed_in, await signed_in.browser.get("/oauth/consent", params=query))


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},  # a sibling's subdomain is another site to us
        {"sec-fetch-site": "cross-site", "origin": "https://api.example"},
        {"origin": "https://attacker.example"},
        {"origin": "https://api.example.attacker.example"},
        {"origin": "https://attacker.example", "referer": "https://api.example/"},
        {"origin": "file://"},
    ],
)
async def test_another_sites_page_sends_no_form(signed_in: Scene, headers: dict[str, str]) -> None:
    form = await _form(signed_in)
    for path in ("/oauth/consent", "/signin", "/signout"):
        answer = await signed_in.browser.post(path, data={**form, "decision": "allow"}, headers=headers)
        await _refused(signed_in, answer, 403)


@pytest.mark.parametrize(
    "headers",
    [{"origin": "null", "sec-fetch-site": "same-origin"}, {"origin": "null"}, {"origin": "https://api.example"}],
)
async def test_our_own_pages_do(signed_in: Scene, headers: dict[str, str]) -> None:
    answer = await signed_in.decide(await signed_in.authorize(), **headers)
    assert "code" in answer_in(answer)


async def test_a_form_is_answered_once(signed_in: Scene) -> None:
    page = await signed_in.authorize()
    assert "code" in answer_in(await signed_in.decide(page))
    again = await signed_in.decide(page)
    assert again.status_code == 409
    assert "location" not in again.headers
    assert await signed_in.codes() == 1


async def test_a_form_is_answered_once_also_by_ten_at_once(signed_in: Scene) -> None:
    page = await signed_in.authorize()
    answers = await asyncio.gather(*[signed_in.decide(page) for _ in range(10)])
    assert sorted(answer.status_code for answer in answers) == [303] + [409] * 9
    assert await signed_in.codes() == 1


async def test_another_purposes_value_is_no_token(signed_in: Scene) -> None:
    forms = forms_of(signed_in.services)
    form = forms.read(FormPurpose.CONSENT, (await _form(signed_in))["form"])
    for purpose in FormPurpose:
        if purpose is not FormPurpose.CONSENT:
            fields = {"form": forms.sign(purpose, form), "decision": "allow"}
            await _refused(signed_in, await signed_in.browser.post("/oauth/consent", data=fields))


async def test_a_form_ends(signed_in: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    form = await _form(signed_in)
    later = time.time() + 31 * 60
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: later)
    await _refused(signed_in, await signed_in.browser.post("/oauth/consent", data={**form, "decision": "allow"}))


async def test_what_an_application_lost_in_between_is_not_allowed(signed_in: Scene) -> None:
    foreign = await signed_in.organization(name="Other")
    signed_in.client_id = await signed_in.application(foreign)
    unapproved = await signed_in.authorize()
    assert unapproved.status_code == 403
    assert Page(unapproved).forms == []
    await signed_in.approve(signed_in.organization_id, signed_in.client_id)
    form = await _form(signed_in)
    forms = forms_of(signed_in.services)
    values = forms.read(FormPurpose.CONSENT, form["form"])
    other = await signed_in.organization(name="Not the user's")
    forged = forms.sign(FormPurpose.CONSENT, {**values, "organization": other})
    await _refused(
        signed_in, await signed_in.browser.post("/oauth/consent", data={"form": forged, "decision": "allow"}), 404
    )


async def test_nobody_is_signed_in_by_another_sites_form(scene: Scene) -> None:
    """Login CSRF (RFC 9700, 4.7): the attacker's form, with the attacker's password, in the victim's browser."""
    form = Page(await scene.authorize()).form_to("/signin").fields["form"]
    fields = {"form": form, "email": scene.email, "password": PASSWORD}
    scene.browser.cookies.clear()
    for cookie in (None, "a" * 43, "short"):
        if cookie is not None:
            scene.browser.cookies.set("__Host-hookline_form", cookie, domain="api.example")
        answer = await scene.browser.post("/signin", data=fields)
        await _refused(scene, answer, 403)
        assert SESSION_COOKIE not in answer.cookies


async def test_cancelling_is_an_answer_and_is_recorded(signed_in: Scene) -> None:
    answer = answer_in(await signed_in.decide(await signed_in.authorize(), "deny"))
    assert answer["error"] == "access_denied"
    assert (answer["state"], answer["iss"]) == ("xyz", "https://api.example")
    assert await signed_in.codes() == 0
    assert [row.action for row in await signed_in.rows(AuditRow)] == ["deny_consent"]
