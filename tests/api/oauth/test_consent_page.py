"""The consent page: what it says, whom it asks for which organization, and when it asks again."""

import pytest

from api.audit.tables import AuditRow
from tests.api.oauth.browser import Page, answer_in
from tests.api.oauth.scene import ConsentRow, GrantRow, Scene

pytestmark = pytest.mark.postgres


async def test_it_says_who_asks_for_what_and_where_it_goes(signed_in: Scene) -> None:
    maker = await signed_in.organization(name="Maker Inc.")
    signed_in.client_id = await signed_in.application(
        maker,
        name="Nightly reports",
        description="Sends a report each night.",
        logo_url="https://maker.example/logo.png",
        homepage_url="https://maker.example/",
        scopes=["read", "subscriptions:*"],
    )
    await signed_in.approve(signed_in.organization_id, signed_in.client_id)
    page = Page(await signed_in.authorize(scope=None))
    assert page.texts["h1"] == "Allow Nightly reports to act for you in Acme?"
    for words in ("Maker Inc.", "Sends a report each night.", "client.example", "Ada Lovelace"):
        assert words in page.text
    assert {"src": "https://maker.example/logo.png", "alt": "Nightly reports"} in page.named("img")
    assert "See subscriptions, deliveries, replays and events" in page.text  # read
    for words in ("Create webhook subscriptions", "Delete webhook subscriptions", "Send test events"):  # each of :*
        assert words in page.text
    assert page.form_to("/oauth/consent").buttons == [("decision", "allow"), ("decision", "deny")]


async def test_what_the_user_does_not_have_is_said_and_not_granted(scene: Scene) -> None:
    viewer, _ = await scene.user(scene.organization_id, role="viewer")
    await scene.sign_in(viewer)
    answer = await scene.authorize(scope="deliveries:read subscriptions:create")
    assert '<li class="withheld"><span>Create webhook subscriptions</span> – not granted' in answer.text
    assert "code" in answer_in(await scene.decide(answer))
    (grant,) = await scene.rows(GrantRow)
    (consent,) = await scene.rows(ConsentRow)
    assert grant.scopes == consent.scopes == ["deliveries:read"]


async def test_what_is_had_in_part_is_said_to_be(scene: Scene) -> None:
    scene.client_id = await scene.application(scopes=["write"])
    operator, _ = await scene.user(scene.organization_id, role="operator")
    await scene.sign_in(operator)
    text = Page(await scene.authorize(scope="write")).text
    assert "without: Create webhook subscriptions" in text
    assert "you do not have this yourself" in text


async def test_where_there_is_nothing_to_grant_there_is_nothing_to_allow(scene: Scene) -> None:
    viewer, _ = await scene.user(scene.organization_id, role="viewer")
    await scene.sign_in(viewer)
    page = await scene.authorize(scope="subscriptions:create")
    assert Page(page).form_to("/oauth/consent").buttons == [("decision", "deny")]
    forced = answer_in(await scene.decide(page, "allow"))
    assert forced["error"] == "access_denied"
    assert await scene.codes() == 0


async def test_an_application_that_is_not_approved_is_told_to_nobody_but_the_user(scene: Scene) -> None:
    other = await scene.organization(name="Other")
    scene.client_id = await scene.application(other)
    viewer, _ = await scene.user(scene.organization_id, role="viewer")
    await scene.user(scene.organization_id, role="admin", name="Grace Hopper")
    await scene.sign_in(viewer)
    answer = await scene.authorize()
    assert answer.status_code == 403
    assert "location" not in answer.headers
    page = Page(answer)
    assert "An administrator must approve Reporting" in page.texts["h1"]
    assert "Grace Hopper" in page.text
    assert "Ada Lovelace" in page.text  # the owner; the viewer has the same name and is none
    assert page.text.count("Ada Lovelace") == 1
    await scene.approve(scene.organization_id, scene.client_id)
    assert (await scene.authorize()).status_code == 200


async def test_a_user_of_several_organizations_chooses_one(signed_in: Scene) -> None:
    second = await signed_in.organization(name="Second", display_name="The second")
    await signed_in.member(second, signed_in.user_id, role="viewer")
    await signed_in.approve(second, signed_in.client_id)
    page = Page(await signed_in.authorize())
    form = page.form_to("/oauth/consent") if len(page.forms) == 1 else page.forms[1]
    assert (form.method, form.action) == ("get", "/oauth/consent")
    options = [(each["value"], "selected" in each) for each in page.named("option")]
    assert sorted(options) == sorted([(signed_in.organization_id, True), (second, False)])
    chosen = await signed_in.browser.get(form.action, params={"choice": form.fields["choice"], "organization": second})
    assert "The second" in Page(chosen).texts["h1"]
    values = {**Page(chosen).forms[0].fields, "decision": "allow"}
    assert "code" in answer_in(await signed_in.browser.post("/oauth/consent", data=values))
    assert await signed_in.rows(GrantRow) == []
    signed_in.organization_id = second
    assert [grant.organization_id for grant in await signed_in.rows(GrantRow)] == [second]
    # The next time it is asked again: which organization it is for is the user's to say.
    assert (await signed_in.authorize()).status_code == 200


async def test_an_organization_of_others_cannot_be_chosen(signed_in: Scene) -> None:
    second = await signed_in.organization(name="Second")
    await signed_in.member(second, signed_in.user_id)
    choice = Page(await signed_in.authorize()).forms[1].fields["choice"]
    foreign = await signed_in.organization(name="Foreign")
    await signed_in.approve(foreign, signed_in.client_id)
    for organization in (foreign, "org_unknown", "", "' OR 1=1", "\x00"):
        params = {"choice": choice, "organization": organization}
        answer = await signed_in.browser.get("/oauth/consent", params=params)
        assert answer.status_code == 404, organization
        assert "Foreign" not in answer.text


async def test_a_program_that_cannot_be_told_from_others_is_asked_about_each_time(signed_in: Scene) -> None:
    """RFC 8252, 8.6: whoever listens on the loopback port would get a code without anybody noticing."""
    loopback = "http://127.0.0.1/loop"
    https = "https://client.example/callback"
    signed_in.client_id = await signed_in.application(kind="public", redirect_uris=[loopback, https])
    for uri, again in (("http://127.0.0.1:5000/loop", 200), (loopback, 200), (https, 303)):
        page = await signed_in.authorize(redirect_uri=uri)
        if page.status_code == 200:
            assert "code" in answer_in(await signed_in.decide(page))
        assert (await signed_in.authorize(redirect_uri=uri)).status_code == again, uri


async def test_what_was_allowed_is_in_the_audit_log(signed_in: Scene) -> None:
    await signed_in.decide(await signed_in.authorize())
    await signed_in.authorize()
    entries = sorted(await signed_in.rows(AuditRow), key=lambda row: row.id)
    assert [row.action for row in entries] == ["grant_consent", "authorize_application"]
    for entry in entries:
        assert (entry.actor_id, entry.target_id) == (signed_in.user_id, signed_in.client_id)
        assert entry.changes == {"asked": ["read"], "granted": ["read"]}
