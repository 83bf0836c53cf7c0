"""Every page: what it lets in and out, whether everybody can use it, and what strangers' names do to it."""

from collections.abc import AsyncIterator
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio

from api.oauth.rendering import policy_of, source_of
from api.oauth.theming import theme_name, theme_of
from api.signed_links import LinkPurpose
from tests.api.oauth.browser import Page
from tests.api.oauth.scene import Scene

pytestmark = pytest.mark.postgres

EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}</title>&amp;"


async def _every_page(scene: Scene) -> AsyncIterator[tuple[str, httpx.Response]]:
    """Yield every page there is, as a signed-out and as a signed-in browser sees them."""
    get, post = scene.browser.get, scene.browser.post
    yield "sign in", await scene.authorize()
    yield "sign in alone", await get("/signin")
    form = Page(await get("/signin")).form_to("/signin").fields
    yield "wrong password", await post("/signin", data={**form, "email": EVIL, "password": "wrong password"})
    yield "signed out", await get("/signout")
    yield "invitation", await get("/invitation", params={"token": EVIL})
    yield "verification", await get("/verification", params={"token": EVIL})
    yield "reset", await get("/reset", params={"token": EVIL})
    yield "asking for a reset", await get("/reset")
    yield "a link that is none", await post("/verification", data={"token": EVIL})
    yield "a reset that is none", await post("/reset", data={"token": EVIL, "password": "a fine long passphrase"})
    yield (
        "a password too short",
        await post(
            "/reset",
            data={"token": scene.services.links.token_of(LinkPurpose.RESET, "lnk_none"), "password": "a"},
        ),
    )
    yield "an invitation that is none", await post("/invitation", data={"token": EVIL, "password": "a fine passphrase"})
    yield "mail on its way", await post("/reset/request", data={"email": "nobody@example.com"})
    yield "unknown client", await scene.authorize(client_id=EVIL)
    yield "unknown redirect", await scene.authorize(redirect_uri=f"https://x.example/{EVIL}")
    yield "no form", await post("/signin", json={})
    yield "an unknown file", await get(f"/oauth/assets/{quote(EVIL.replace('/', ''))}")
    yield "an unknown theme", await get("/oauth/themes/red.css")
    await scene.sign_in()
    yield "consent", await scene.authorize(state=EVIL)
    yield "signed in", await get("/signin")
    yield "signing out", await get("/signout")
    yield "invitation, signed in", await get("/invitation", params={"token": EVIL})
    yield "a wrong choice", await get("/oauth/consent", params={"choice": EVIL})
    yield "a wrong consent", await post("/oauth/consent", data={"form": EVIL, "decision": "allow"})
    other, _ = await scene.user(scene.organization_id, role="viewer")
    await scene.sign_in(other)
    foreign = await scene.organization(name=EVIL)
    app = await scene.application(foreign, name=EVIL, description=EVIL, homepage_url=f"javascript:{EVIL}")
    scene.client_id = app
    yield "unapproved", await scene.authorize()
    await scene.approve(scene.organization_id, app)
    yield "consent with nothing to grant", await scene.authorize(scope="subscriptions:create")
    yield "signed out by hand", await post("/signout", data=Page(await get("/signout")).form_to("/signout").fields)


@pytest_asyncio.fixture
async def evil_scene(scene: Scene) -> Scene:
    """Whoever could choose a name chose one that would be a script."""
    scene.organization_id = await scene.organization(name=EVIL, display_name=EVIL, logo_url=f"https://x.example/{EVIL}")
    scene.user_id, scene.email = await scene.user(scene.organization_id, name=EVIL)
    scene.client_id = await scene.application(
        name=EVIL, description=EVIL, logo_url=f"https://x.example/{EVIL}", homepage_url=f"https://x.example/{EVIL}"
    )
    return scene


async def test_no_page_can_be_framed_scripted_or_kept(evil_scene: Scene) -> None:
    async for name, answer in _every_page(evil_scene):
        headers = answer.headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy.pop("default-src") == "'none'", name
        assert policy.pop("style-src") == "'self'", name
        assert policy.pop("img-src") == "'self' https:", name
        assert policy.pop("frame-ancestors") == "'none'", name
        assert policy.pop("base-uri") == "'none'", name
        assert policy.pop("form-action") in {"'self'", "'self' https://client.example"}, name
        assert policy == {}, name
        assert headers["x-frame-options"] == "DENY", name
        assert headers["x-content-type-options"] == "nosniff", name
        assert headers["referrer-policy"] == "no-referrer", name
        assert headers["cache-control"] == "no-store", name
        assert "access-control-allow-origin" not in headers, name


async def test_everybody_can_use_every_page_and_no_name_is_markup(evil_scene: Scene) -> None:
    async for name, answer in _every_page(evil_scene):
        page = Page(answer)
        assert answer.text.startswith("<!doctype html>"), name
        assert page.named("html") == [{"lang": "en"}], name
        assert len(page.named("h1")) == 1, name
        assert len(page.named("title")) == 1, name
        assert page.texts["title"].strip() != "– Hookline", name
        asked = [each for tag in ("input", "select") for each in page.named(tag) if each.get("type") != "hidden"]
        assert {str(each.get("id")) for each in asked} <= page.labelled, name
        assert all(each.get("alt") for each in page.named("img")), name
        assert [tag for tag, _ in page.tags if tag in {"script", "style", "iframe", "object", "base"}] == [], name
        for _, attributes in page.tags:
            assert not [each for each in attributes if each.startswith("on") or each == "style"], name
        assert all(str(each["src"]).startswith("https://x.example/") for each in page.named("img")), name
        for link in page.named("a"):
            assert str(link["href"]).startswith(("https://x.example/", "/")), name
        assert [each for each in page.forms if not each.action.startswith("/")] == [], name


async def test_redirects_have_the_same_headers(signed_in: Scene) -> None:
    """A code in an address goes on in no Referer (RFC 9700, 4.2.4), and no answer is kept."""
    answers = [await signed_in.decide(await signed_in.authorize()), await signed_in.authorize(scope="unknown")]
    for answer in [*answers, await signed_in.authorize()]:
        assert answer.status_code == 303
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.content == b""


@pytest.mark.parametrize(
    ("uri", "source"),
    [
        ("https://client.example/callback?x=1", "https://client.example"),
        ("https://client.example:8443/callback", "https://client.example:8443"),
        ("http://127.0.0.1:50123/loop", "http://127.0.0.1:50123"),
        ("http://[::1]:50123/loop", "http:"),  # CSP's host-source has no brackets
        ("com.example.app:/callback", "com.example.app:"),
        ("https://client.example;script-src", "https://client.example"),
    ],
)
def test_a_form_may_end_at_the_client_that_asked_and_nowhere_else(uri: str, source: str) -> None:
    assert source_of(uri).startswith(source)
    if ";" not in uri:
        assert f"form-action 'self' {source};" in policy_of(uri)


async def test_pages_name_the_client_only_where_a_form_goes_on_to_it(scene: Scene) -> None:
    assert "form-action 'self' https://client.example;" in (await scene.authorize()).headers["content-security-policy"]
    assert "form-action 'self';" in (await scene.browser.get("/signin")).headers["content-security-policy"]


async def test_styles_are_ours_and_kept(scene: Scene) -> None:
    page = Page(await scene.authorize())
    hrefs = [str(each["href"]) for each in page.named("link")]
    assert len(hrefs) == 2
    for href in hrefs:
        answer = await scene.browser.get(href)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/css; charset=utf-8"
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "url(" not in answer.text
        assert "@import" not in answer.text


@pytest.mark.parametrize(
    "colour", ["red", "#fff", "#12345", "#1234567", "#12345g", "#112233;}", "#112233\n", "url(x)", "", "＃112233", None]
)
def test_what_is_no_colour_gives_way_to_ours(colour: str | None) -> None:
    assert theme_name(colour, colour) == theme_name(None, None)


@pytest.mark.parametrize("name", ["red", "112233", "112233-44556", "11223G-445566", "112233-445566\n"])
def test_a_theme_is_two_colours(name: str) -> None:
    assert theme_of(name) is None


@pytest.mark.parametrize(
    ("primary", "text"),
    [("#000000", "#ffffff"), ("#ffffff", "#000000"), ("#ffff00", "#000000"), ("#1f4b99", "#ffffff")],
)
def test_text_can_be_read_on_an_organizations_colour(primary: str, text: str) -> None:
    assert f"--on-primary: {text};" in str(theme_of(theme_name(primary, None)))


async def test_the_organizations_branding_is_on_its_consent_page(signed_in: Scene) -> None:
    branded = await signed_in.organization(
        name="acme",
        display_name="Acme & Sons",
        logo_url="https://acme.example/logo.svg",
        primary_color="#AABBCC",
        accent_color="#102030",
    )
    await signed_in.member(branded, signed_in.user_id)
    await signed_in.sign_in(organization_id=branded)
    await signed_in.approve(branded, signed_in.client_id)
    page = Page(await signed_in.authorize())
    assert "Acme & Sons" in page.texts["h1"]
    assert page.named("img")[0] == {"src": "https://acme.example/logo.svg", "alt": "Acme & Sons"}
    assert page.named("link")[1]["href"] == "/oauth/themes/aabbcc-102030.css"
