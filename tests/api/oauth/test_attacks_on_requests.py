"""Authorization requests that ask for more, or for something else, than an application may (RFC 6749, RFC 7636)."""

import base64
import string
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, urlsplit

import pytest

from api.permissions import OPERATORS
from tests.api.oauth.browser import Page, answer_in
from tests.api.oauth.scene import CALLBACK, CHALLENGE, VERIFIER, Scene

pytestmark = pytest.mark.postgres

ISSUER = "https://api.example"

# What is changed in a request that holds, and the error that goes back to the client.
REFUSED: list[tuple[str, Mapping[str, str | None], str]] = [
    ("no response_type", {"response_type": None}, "invalid_request"),
    ("an empty response_type", {"response_type": ""}, "invalid_request"),
    *[
        (f"response_type {each!r}", {"response_type": each}, "unsupported_response_type")
        for each in (
            "token",
            "id_token",
            "code token",
            "code id_token",
            "none",
            "CODE",
            "code ",
            "code,token",
            "co\u0000de",
        )
    ],
    ("no PKCE", {"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
    ("an empty challenge", {"code_challenge": "", "code_challenge_method": ""}, "invalid_request"),
    ("a method without a challenge", {"code_challenge": None}, "invalid_request"),
    ("plain", {"code_challenge": VERIFIER, "code_challenge_method": "plain"}, "invalid_request"),
    ("plain by default", {"code_challenge": VERIFIER, "code_challenge_method": None}, "invalid_request"),
    ("plain by an empty method", {"code_challenge_method": ""}, "invalid_request"),
    *[
        (f"method {each!r}", {"code_challenge_method": each}, "invalid_request")
        for each in ("s256", "S512", "S256 ", "none", "S256,plain", "Ｓ256")
    ],
    *[
        (f"challenge {each!r}", {"code_challenge": each}, "invalid_request")
        for each in (
            CHALLENGE + "=",
            CHALLENGE[:-1],
            CHALLENGE + "a",
            CHALLENGE[:-1] + "+",
            CHALLENGE[:-1] + "/",
            CHALLENGE[:-1] + "é",
            CHALLENGE + "\n",
            " " + CHALLENGE,
            "a" * 128,
            base64.b16encode(b"\x01" * 32).decode(),
        )
    ],
    *[
        (f"scope {each!r}", {"scope": each}, "invalid_scope")
        for each in (
            "unknown",
            "read unknown",
            "write",  # beyond the application
            "read write",
            "tokens:create",
            "subscriptions:*",
            "subscriptions:update",
            "*",
            "*:*",
            ":*",
            ":",
            "admin",
            "owner",
            "openid",
            "READ",
            "read,write",
            "read\twrite",
            "read\n",
            " read",
            "read ",
            "read  subscriptions:create",
            "read\u0000",
            "read\udcff",
            "ｒead",
            "limits:*",
            *sorted(OPERATORS),
        )
    ],
    ("an oversized scope", {"scope": "read " * 1000}, "invalid_request"),
    ("an oversized challenge", {"code_challenge": "a" * 3000}, "invalid_request"),
    ("an oversized state", {"state": "a" * 3000}, "invalid_request"),
    ("an oversized unknown parameter", {"other": "a" * 3000}, "invalid_request"),
]

STATES = [
    "plain",
    "a b+c%20d&e=f#g?h/i",
    "&code=stolen&iss=https://attacker.example",
    "äöü€𝄞",
    "\udcff\udc80",  # bytes that are no UTF-8
    '"><script>alert(1)</script>',
    "\r\nSet-Cookie: a=b",
    "\x00\x1b",
    string.printable,
    "{{7*7}}${7*7}",
    "https://attacker.example/",
]


async def test_the_client_is_told_and_gets_no_code(signed_in: Scene) -> None:
    for index, (name, changed, error) in enumerate(REFUSED):
        await signed_in.limits_are_fresh(index // 20)
        answer = await signed_in.authorize(**changed)
        found = answer_in(answer)
        assert answer.headers["location"].startswith(f"{CALLBACK}?"), name
        assert found.pop("error") == error, name
        assert found.pop("state") == changed.get("state", "xyz"), name
        assert found.pop("iss") == ISSUER, name  # RFC 9207: in errors too, against mix-up
        description = found.pop("error_description")
        assert description.isascii(), name
        assert '"' not in description, name
        assert found == {}, name
    assert await signed_in.codes() == 0


@pytest.mark.parametrize(
    "name", ["response_type", "scope", "state", "code_challenge", "code_challenge_method", "other"]
)
async def test_a_parameter_that_comes_twice_is_refused(signed_in: Scene, name: str) -> None:
    value = signed_in.asking(other="x")[name]
    found = answer_in(await signed_in.authorize((name, value), other="x"))
    assert found["error"] == "invalid_request"
    assert found["iss"] == ISSUER
    assert found.get("state") == (None if name == "state" else "xyz")  # neither of two is the client's


@pytest.mark.parametrize("state", STATES)
async def test_state_comes_back_untouched(signed_in: Scene, state: str) -> None:
    page = await signed_in.authorize(state=state)
    assert Page(page).named("script") == []
    for answer in (
        await signed_in.decide(page),
        await signed_in.authorize(state=state, scope="unknown"),
        await signed_in.authorize(state=state),  # without a page in between
    ):
        location = answer.headers["location"]
        assert location.isascii()
        assert location.isprintable()
        pairs = parse_qsl(urlsplit(location).query, keep_blank_values=True, errors="surrogateescape")
        assert dict(pairs)["state"] == state
        assert sorted(name for name, _ in pairs) in (
            ["code", "iss", "state"],
            ["error", "error_description", "iss", "state"],
        )


async def test_no_state_means_none_in_the_answer(signed_in: Scene) -> None:
    for missing in (None, ""):
        assert "state" not in answer_in(await signed_in.authorize(state=missing, scope="unknown"))


async def test_a_waived_pkce_is_not_waived_for_who_begins_it(signed_in: Scene) -> None:
    signed_in.client_id = await signed_in.application(requires_pkce=False)
    without = await signed_in.authorize(code_challenge=None, code_challenge_method=None)
    assert "code" in answer_in(await signed_in.decide(without))
    for changed in ({"code_challenge_method": "plain"}, {"code_challenge_method": None}, {"code_challenge": "short"}):
        assert answer_in(await signed_in.authorize(**changed))["error"] == "invalid_request"
    assert answer_in(await signed_in.authorize(code_challenge=None))["error"] == "invalid_request"


async def test_pkce_is_never_waived_for_a_public_client(signed_in: Scene) -> None:
    signed_in.client_id = await signed_in.application(requires_pkce=False, kind="public")
    answer = await signed_in.authorize(code_challenge=None, code_challenge_method=None)
    assert answer_in(answer)["error"] == "invalid_request"


async def test_a_client_that_is_not_registered_for_codes_gets_none(signed_in: Scene) -> None:
    signed_in.client_id = await signed_in.application(grants=["client_credentials"])
    assert answer_in(await signed_in.authorize())["error"] == "unauthorized_client"


async def test_a_request_that_is_too_large_is_no_redirect(signed_in: Scene) -> None:
    assert (await signed_in.authorize(other="a" * 9000)).status_code == 400
    assert (await signed_in.authorize(*[(f"p{index}", "x") for index in range(60)])).status_code == 400


async def test_no_other_parameter_says_where_to_go(signed_in: Scene) -> None:
    target = "https://attacker.example/"
    names = ("next", "url", "return_to", "continue", "error", "error_uri", "iss", "request_uri", "request")
    for name in (*names, "response_mode", "prompt", "organization", "form", "choice"):
        page = await signed_in.authorize(**{name: target})
        assert target not in page.text, name
        location = (await signed_in.decide(page, "deny")).headers["location"]
        assert location.startswith(f"{CALLBACK}?"), name
        assert quote(target, safe="") not in location, name
        await signed_in.limits_are_fresh(len(name))


async def test_it_takes_get_only(signed_in: Scene) -> None:
    answer = await signed_in.browser.post("/oauth/authorize", data=signed_in.asking())
    assert answer.status_code == 405
    assert "location" not in answer.headers


async def test_a_bearer_token_signs_nobody_in(scene: Scene) -> None:
    scene.browser.headers["Authorization"] = "Bearer an-administrators-token"
    page = Page(await scene.authorize())
    assert page.has_form("/signin")


async def test_requests_are_limited_by_client_and_address(signed_in: Scene) -> None:
    statuses = [(await signed_in.authorize(scope="unknown")).status_code for _ in range(31)]
    assert statuses == [303] * 30 + [429]
    limited = await signed_in.authorize()
    assert "location" not in limited.headers
    assert int(limited.headers["retry-after"]) > 0
    assert Page(limited).named("h1")
    await signed_in.limits_are_fresh(9)
    assert (await signed_in.authorize()).status_code == 200
