"""Signing in and out on pages, and the links in e-mails."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import uuid_utils

from api.credentials import SESSION_COOKIE
from api.database import transaction_of
from api.members.tables import InvitationRow, MembershipRow
from api.sessions.tables import SessionRow
from api.signed_links import LinkPurpose
from api.users.tables import LinkRow, UserRow
from tests.api.oauth.browser import Page, answer_in
from tests.api.oauth.scene import PASSWORD, Scene

pytestmark = pytest.mark.postgres


async def test_signing_in_goes_on_with_the_request(scene: Scene) -> None:
    page = Page(await scene.authorize(state="a b&c=\udcff"))
    assert "Reporting" in page.text
    form = page.form_to("/signin").fields
    wrong = await scene.browser.post("/signin", data={**form, "email": scene.email, "password": "another password"})
    assert wrong.status_code == 403
    assert "www-authenticate" not in wrong.headers
    form = Page(wrong).form_to("/signin").fields
    assert form["email"] == scene.email
    assert form["password"] == ""
    done = await scene.browser.post("/signin", data={**form, "password": PASSWORD})
    assert done.status_code == 303
    assert done.headers["location"].startswith("/oauth/authorize?response_type=code&client_id=app_")
    cookie = next(each for each in done.headers.get_list("set-cookie") if each.startswith(SESSION_COOKIE))
    assert {"HttpOnly", "Secure", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    consent = await scene.browser.get(done.headers["location"])
    assert answer_in(await scene.decide(consent))["state"] == "a b&c=\udcff"


async def test_an_account_that_is_not_there_is_answered_as_a_wrong_password(scene: Scene) -> None:
    form = Page(await scene.browser.get("/signin")).form_to("/signin").fields
    texts = []
    for email in (scene.email, "nobody@example.com", "no address", "\udcff"):
        fields = {**form, "email": email.encode("utf-8", "replace").decode(), "password": "another password"}
        answer = await scene.browser.post("/signin", data=fields)
        assert answer.status_code == 403
        texts.append(Page(answer).texts["p"])
    assert len(set(texts)) == 1


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"locked_at": datetime.now(UTC)}, "or the account is locked"),
        ({"must_reset": True}, "has to be changed"),
        ({"verified_at": None}, "not verified"),
    ],
)
async def test_who_may_not_sign_in_is_told_why(scene: Scene, state: dict[str, Any], words: str) -> None:
    _, email = await scene.user(scene.organization_id, **state)
    form = Page(await scene.authorize()).form_to("/signin").fields
    answer = await scene.browser.post("/signin", data={**form, "email": email, "password": PASSWORD})
    assert answer.status_code == 403
    assert words in Page(answer).text
    assert SESSION_COOKIE not in answer.cookies


@pytest.mark.parametrize("state", [{"locked_at": datetime.now(UTC)}, {"must_reset": True}])
async def test_whoever_is_locked_in_between_is_back_at_signing_in(scene: Scene, state: dict[str, object]) -> None:
    user_id, _ = await scene.user(scene.organization_id)
    await scene.sign_in(user_id)
    page = await scene.authorize()
    async with transaction_of(scene.services.engine) as db:
        user = await db.get_one(UserRow, user_id)
        for name, value in state.items():
            setattr(user, name, value)
    assert Page(await scene.decide(page)).has_form("/signin")
    assert Page(await scene.authorize()).has_form("/signin")
    assert await scene.codes() == 0


async def test_tries_are_limited(scene: Scene) -> None:
    form = Page(await scene.browser.get("/signin")).form_to("/signin").fields
    statuses = []
    for _ in range(12):
        fields = {**form, "email": scene.email, "password": "another password"}
        statuses.append((await scene.browser.post("/signin", data=fields)).status_code)
        if statuses[-1] == 429:
            break
    assert statuses[-1] == 429
    answer = await scene.browser.post("/signin", data={**form, "email": scene.email, "password": PASSWORD})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert "Too many attempts" in Page(answer).text


async def test_signing_out_ends_the_session(signed_in: Scene) -> None:
    kept = signed_in.browser.cookies[SESSION_COOKIE]
    form = Page(await signed_in.browser.get("/signout")).form_to("/signout").fields
    assert Page(await signed_in.browser.get("/signin")).has_form("/signout")  # opening the page ended nothing
    other, _ = await signed_in.user(signed_in.organization_id)
    await signed_in.sign_in(other)
    assert (await signed_in.browser.post("/signout", data=form)).status_code == 403
    signed_in.browser.cookies.set(SESSION_COOKIE, kept, domain="api.example")
    done = await signed_in.browser.post("/signout", data=form)
    assert done.status_code == 200
    assert SESSION_COOKIE in done.headers["set-cookie"]
    signed_in.browser.cookies.set(SESSION_COOKIE, kept, domain="api.example")
    assert Page(await signed_in.authorize()).has_form("/signin")
    rows = {row.user_id: row.revoked_at for row in await signed_in.rows(SessionRow)}
    assert rows[signed_in.user_id] is not None
    assert rows[other] is None


async def _link(scene: Scene, user_id: str, email: str, purpose: LinkPurpose) -> str:
    now, link_id = datetime.now(UTC), f"lnk_{uuid_utils.uuid7().hex}"
    async with transaction_of(scene.services.engine) as db:
        db.add(
            LinkRow(
                id=link_id,
                user_id=user_id,
                purpose=purpose,
                email=email,
                created_at=now,
                expires_at=now + timedelta(hours=1),
            )
        )
    return scene.services.links.token_of(purpose, link_id)


async def _user(scene: Scene, user_id: str) -> UserRow:
    async with transaction_of(scene.services.engine) as db:
        return await db.get_one(UserRow, user_id)


async def test_a_link_verifies_when_its_form_is_sent_and_not_before(scene: Scene) -> None:
    user_id, email = await scene.user(scene.organization_id, verified_at=None)
    token = await _link(scene, user_id, email, LinkPurpose.VERIFICATION)
    opened = await scene.browser.get("/verification", params={"token": token})
    assert (await _user(scene, user_id)).verified_at is None
    fields = Page(opened).form_to("/verification").fields
    assert (await scene.browser.post("/verification", data=fields)).status_code == 200
    assert (await _user(scene, user_id)).verified_at is not None
    again = await scene.browser.post("/verification", data=fields)
    assert again.status_code == 422
    assert "The link is no link that can be used" in Page(again).text


async def test_a_link_resets_once_and_an_unfit_password_does_not_use_it_up(scene: Scene) -> None:
    before = (await _user(scene, scene.user_id)).password_hash
    token = await _link(scene, scene.user_id, scene.email, LinkPurpose.RESET)
    form = Page(await scene.browser.get("/reset", params={"token": token})).form_to("/reset").fields
    unfit = await scene.browser.post("/reset", data={**form, "password": "password1"})
    assert unfit.status_code == 422
    assert (await _user(scene, scene.user_id)).password_hash == before
    form = Page(unfit).form_to("/reset").fields
    done = await scene.browser.post("/reset", data={**form, "password": "nine purple giraffes"})
    assert done.status_code == 200
    assert (await _user(scene, scene.user_id)).password_hash != before
    assert (await scene.browser.post("/reset", data={**form, "password": "ten purple giraffes"})).status_code == 422


async def test_asking_for_a_link_says_the_same_of_every_address(scene: Scene) -> None:
    form = Page(await scene.browser.get("/reset")).form_to("/reset/request")
    answers = [
        await scene.browser.post(form.action, data={"email": email})
        for email in (scene.email, "nobody@example.com", "no address")
    ]
    assert len({Page(answer).text for answer in answers}) == 1


async def _invitation(scene: Scene, email: str) -> str:
    now, invitation_id = datetime.now(UTC), f"inv_{uuid_utils.uuid7().hex}"
    async with transaction_of(scene.services.engine) as db:
        db.add(
            InvitationRow(
                id=invitation_id,
                organization_id=scene.organization_id,
                email=email,
                role_id="viewer",
                invited_by="administrator",
                created_at=now,
                expires_at=now + timedelta(days=1),
            )
        )
    return scene.services.links.token_of(LinkPurpose.INVITATION, invitation_id)


async def test_an_invitation_is_accepted_by_a_new_user(scene: Scene) -> None:
    token = await _invitation(scene, f"{uuid_utils.uuid7().hex}@example.com")
    opened = await scene.browser.get("/invitation", params={"token": token})
    assert len(await scene.rows(MembershipRow)) == 1
    form = Page(opened).form_to("/invitation").fields
    unfit = await scene.browser.post("/invitation", data={**form, "name": "Alan Turing", "password": "short"})
    assert unfit.status_code == 422
    form = Page(unfit).form_to("/invitation").fields
    assert form["name"] == "Alan Turing"
    done = await scene.browser.post("/invitation", data={**form, "password": "nine purple giraffes"})
    assert done.status_code == 200
    assert len(await scene.rows(MembershipRow)) == 2
    again = await scene.browser.post("/invitation", data={**form, "password": "nine purple giraffes"})
    assert again.status_code == 409


async def test_an_invitation_is_accepted_by_who_is_signed_in_on_the_page_shown_to_them(signed_in: Scene) -> None:
    home = signed_in.organization_id
    signed_in.organization_id = await signed_in.organization(name="Second")
    token = await _invitation(signed_in, signed_in.email)
    form = Page(await signed_in.browser.get("/invitation", params={"token": token})).forms[0].fields
    other, _ = await signed_in.user(home)
    await signed_in.sign_in(other, home)
    assert (await signed_in.browser.post("/invitation", data=form)).status_code == 403
    await signed_in.sign_in(signed_in.user_id, home)
    assert (await signed_in.browser.post("/invitation", data=form)).status_code == 403  # another session of the same
    form = Page(await signed_in.browser.get("/invitation", params={"token": token})).forms[0].fields
    assert (await signed_in.browser.post("/invitation", data=form)).status_code == 200
    assert [row.user_id for row in await signed_in.rows(MembershipRow)] == [signed_in.user_id]
