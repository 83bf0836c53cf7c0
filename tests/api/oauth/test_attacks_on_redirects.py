"""Redirect URIs that an attacker tries: none is ever redirected to (RFC 9700, 4.1 and 4.11)."""

import pytest
import pytest_asyncio

from tests.api.oauth.browser import Page, answer_in
from tests.api.oauth.scene import CALLBACK, Scene

pytestmark = pytest.mark.postgres

LOOPBACK = "http://127.0.0.1/loop"
LOOPBACK_6 = "http://[::1]/loop"
WITH_QUERY = "https://client.example/with?tenant=1"

VARIANTS = {
    "another host": "https://attacker.example/callback",
    "a host that ends alike": "https://evilclient.example/callback",
    "a host that begins alike": "https://client.example.attacker.example/callback",
    "a subdomain": "https://evil.client.example/callback",
    "user name before another host": "https://client.example@attacker.example/callback",
    "user name and password before another host": "https://client.example:443@attacker.example/callback",
    "user name before the right host": "https://someone@client.example/callback",
    "an empty user name": "https://@client.example/callback",
    "a path that goes on": "https://client.example/callback/more",
    "a path that goes on without a slash": "https://client.example/callbackmore",
    "a path cut short": "https://client.example/call",
    "no path": "https://client.example",
    "a slash at the end": "https://client.example/callback/",
    "a dot at the host's end": "https://client.example./callback",
    "a dot at the path's end": "https://client.example/callback.",
    "upper case in the host": "https://CLIENT.example/callback",
    "upper case in the scheme": "HTTPS://client.example/callback",
    "upper case in the path": "https://client.example/Callback",
    "traversal": "https://client.example/callback/../redirect",
    "traversal that comes back": "https://client.example/x/../callback",
    "encoded traversal": "https://client.example/callback/%2e%2e/redirect",
    "a dot segment": "https://client.example/./callback",
    "two slashes": "https://client.example//callback",
    "an encoded letter": "https://client.example/%63allback",
    "an encoded slash": "https://client.example%2fcallback",
    "encoded twice": "https%3A%2F%2Fclient.example%2Fcallback",
    "a backslash": "https://client.example\\callback",
    "a backslash before another host": "https://attacker.example\\@client.example/callback",
    "backslashes for slashes": "https:\\\\client.example\\callback",
    "the default port": "https://client.example:443/callback",
    "another port": "https://client.example:8443/callback",
    "an empty port": "https://client.example:/callback",
    "http": "http://client.example/callback",
    "no scheme": "//client.example/callback",
    "one slash": "https:/client.example/callback",
    "three slashes": "https:///client.example/callback",
    "a fragment": "https://client.example/callback#x",
    "an empty fragment": "https://client.example/callback#",
    "a query added": "https://client.example/callback?next=https://attacker.example",
    "an empty query added": "https://client.example/callback?",
    "a path parameter": "https://client.example/callback;x=1",
    "a query left out": "https://client.example/with",
    "a query changed": "https://client.example/with?tenant=2",
    "a query that goes on": "https://client.example/with?tenant=1&code=stolen",
    "IDN that looks alike": "https://сlient.example/callback",
    "punycode": "https://xn--lient-2qd.example/callback",
    "a fullwidth dot": "https://client.example。/callback",
    "a fullwidth slash": "https://client.example／callback",
    "a space before": " https://client.example/callback",
    "a space after": "https://client.example/callback ",
    "a tab inside": "https://client.example/call\tback",
    "a newline after": "https://client.example/callback\n",
    "a header": "https://client.example/callback\r\nSet-Cookie: a=b",
    "NUL": "https://client.example/callback\x00",
    "no UTF-8": "https://client.example/callback\udcff",
    "a dot": ".",
    "relative": "/callback",
    "javascript": "javascript:alert(1)//client.example/callback",
    "data": "data:text/html,<script>alert(1)</script>",
    "file": "file:///etc/passwd",
    "a view of the source": "view-source:https://client.example/callback",
    "a wildcard": "https://*.example/callback",
    "very long": "https://client.example/callback" + "a" * 3000,
    "two of them": "https://client.example/callback https://attacker.example/",
    "localhost for the literal": "http://localhost/loop",
    "another loopback address": "http://127.0.0.2/loop",
    "loopback as one number": "http://2130706433/loop",
    "loopback in octal": "http://0177.0.0.1/loop",
    "loopback in short": "http://127.1/loop",
    "loopback with https": "https://127.0.0.1/loop",
    "loopback with another path": "http://127.0.0.1:8080/other",
    "loopback with a user name": "http://127.0.0.1@attacker.example/loop",
    "loopback and a host": "http://127.0.0.1.attacker.example/loop",
    "loopback with port 0": "http://127.0.0.1:0/loop",
    "loopback with a port too large": "http://127.0.0.1:65536/loop",
    "loopback with a signed port": "http://127.0.0.1:+80/loop",
    "loopback with two ports": "http://127.0.0.1:80:81/loop",
    "loopback with a fullwidth port": "http://127.0.0.1:８０/loop",
    "loopback written out in IPv6": "http://[0:0:0:0:0:0:0:1]/loop",
    "loopback of IPv4 in IPv6": "http://[::ffff:127.0.0.1]/loop",
    "loopback with a zone": "http://[::1%25lo]/loop",
    "any address": "http://0.0.0.0/loop",
}


@pytest_asyncio.fixture
async def consented(signed_in: Scene) -> Scene:
    """Whoever the code would be for is signed in and agreed before: nothing but the URI stands in the way."""
    signed_in.client_id = await signed_in.application(redirect_uris=[CALLBACK, WITH_QUERY, LOOPBACK, LOOPBACK_6])
    await signed_in.decide(await signed_in.authorize())
    assert "code" in answer_in(await signed_in.authorize())
    return signed_in


async def test_none_of_many_variants_is_redirected_to(consented: Scene) -> None:
    before = await consented.codes()
    for index, (name, uri) in enumerate(VARIANTS.items()):
        await consented.limits_are_fresh(index)
        for changes in ({}, {"response_type": None}, {"scope": "*"}):  # nor is an error
            answer = await consented.authorize(redirect_uri=uri, **changes)
            assert answer.status_code == 400, name
            assert "location" not in answer.headers, name
            assert uri.encode("utf-8", "replace").decode() not in Page(answer).text or uri == ".", name
    assert await consented.codes() == before


@pytest.mark.parametrize(
    "uris",
    [
        [CALLBACK, "https://attacker.example/"],
        ["https://attacker.example/", CALLBACK],
        [CALLBACK, CALLBACK],
        [CALLBACK, ""],
        ["", CALLBACK],
    ],
)
async def test_several_are_no_redirect(consented: Scene, uris: list[str]) -> None:
    answer = await consented.authorize(*[("redirect_uri", uri) for uri in uris], redirect_uri=None)
    assert answer.status_code == 400
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    "name", ["redirect_uri[]", "Redirect_uri", "redirectUri", "redirect_uri ", "redirect_url", "next"]
)
async def test_other_names_mean_nothing(consented: Scene, name: str) -> None:
    answer = await consented.authorize((name, "https://attacker.example/"))
    assert answer.headers["location"].startswith(f"{CALLBACK}?")


async def test_it_may_be_left_out_only_where_one_is_registered(signed_in: Scene) -> None:
    page = await signed_in.authorize(redirect_uri=None)
    assert (await signed_in.decide(page)).headers["location"].startswith(f"{CALLBACK}?")
    signed_in.client_id = await signed_in.application(redirect_uris=[CALLBACK, WITH_QUERY])
    for missing in (None, ""):
        assert (await signed_in.authorize(redirect_uri=missing)).status_code == 400
    signed_in.client_id = await signed_in.application(redirect_uris=[])
    assert (await signed_in.authorize(redirect_uri=None)).status_code == 400


async def test_another_clients_is_no_redirect(signed_in: Scene) -> None:
    await signed_in.application(redirect_uris=["https://other.example/callback"])
    answer = await signed_in.authorize(redirect_uri="https://other.example/callback")
    assert answer.status_code == 400
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("uri", "begins"),
    [
        (WITH_QUERY, "https://client.example/with?tenant=1&code="),  # its query stays (RFC 6749, 3.1.2)
        ("http://127.0.0.1:50123/loop", "http://127.0.0.1:50123/loop?code="),  # RFC 8252, 7.3
        ("http://[::1]:50123/loop", "http://[::1]:50123/loop?code="),
    ],
)
async def test_what_is_registered_is_redirected_to(consented: Scene, uri: str, begins: str) -> None:
    assert (await consented.authorize(redirect_uri=uri)).headers["location"].startswith(begins)


@pytest.mark.parametrize(
    "client_id",
    [
        "",
        "app_unknown",
        "' OR 1=1 --",
        "app_" + "0" * 32,
        "\x00",
        "\udcff",
        "a" * 5000,
        "<script>",
        "https://attacker.example/",
    ],
)
async def test_an_unknown_client_is_no_redirect(signed_in: Scene, client_id: str) -> None:
    answer = await signed_in.authorize(client_id=client_id, redirect_uri="https://attacker.example/")
    assert answer.status_code == 400
    assert "location" not in answer.headers


async def test_a_client_that_is_named_twice_or_switched_off_is_no_redirect(signed_in: Scene) -> None:
    other = await signed_in.application(enabled=False)
    assert (await signed_in.authorize(("client_id", signed_in.client_id))).status_code == 400
    assert (await signed_in.authorize(("client_id", other))).status_code == 400
    assert (await signed_in.authorize(client_id=other)).status_code == 400
    assert (await signed_in.authorize(client_id=None)).status_code == 400
    assert await signed_in.codes() == 0
