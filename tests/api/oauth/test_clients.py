"""Redirect URIs: what may be registered, and that a given one is the registered one and nothing like it."""

import pytest

from api.oauth.redirects import checked_redirect_uri, is_registered
from schemas.errors import InvalidInput

GOOD = [
    "https://client.example/callback",
    "https://client.example",
    "https://client.example/",
    "https://client.example:8443/callback",
    "https://client.example/callback?tenant=7&next=%2Fhome",
    "https://xn--bcher-kva.example/callback",
    "https://192.0.2.7/callback",
    "https://[2001:db8::1]/callback",
    "http://127.0.0.1/callback",
    "http://127.0.0.1:9000/callback",
    "http://[::1]:9000/callback",
]
GOOD_FOR_PUBLIC = ["com.example.app:/callback", "com.example.app:/", "io.example-1.app:/a/b?c=d"]
BAD = [
    "",
    "callback",
    "/callback",
    "//client.example/callback",
    "client.example/callback",
    "http://client.example/callback",
    "http://localhost/callback",  # RFC 8252, 8.3
    "http://localhost:9000/callback",
    "http://127.0.0.2/callback",
    "http://127.1/callback",
    "http://2130706433/callback",
    "http://0x7f.0.0.1/callback",
    "http://[::ffff:127.0.0.1]/callback",
    "http://127.0.0.1.evil.example/callback",
    "http://127.0.0.1@evil.example/callback",
    "http://127.0.0.1:9000@evil.example/",
    "http://127.0.0.1:0/callback",
    "http://127.0.0.1:65536/callback",
    "https://client.example:65536/callback",
    "https://client.example:/callback",
    "https://client.example:080/callback",
    "https://*.example/callback",
    "https://client.example/*",
    "https://client.example/callback#fragment",
    "https://client.example/callback#",
    "https://user@client.example/callback",
    "https://user:password@client.example/callback",
    "https://client.example\\@evil.example/",
    "https:\\\\client.example/callback",
    "https:/client.example/callback",
    "https:client.example",
    "https:///callback",
    "https://client.example/../callback",
    "https://client.example/a/./b",
    "https://client.example/%2e%2e/callback",
    "https://client.example/call back",
    "https://client.example/callback\n",
    "https://client.example/call\tback",
    "https://client.example/callback\x00",
    "https://client.example/%zz",
    "https://clïent.example/callback",
    "https://client.example/é",
    "https://CLIENT.example/callback",
    "HTTPS://client.example/callback",
    "https://-client.example/callback",
    "https://client..example/callback",
    "https://client.example./callback",
    "https://client.example/callback?code=1",
    "https://client.example/callback?a=b&state=1",
    "https://client.example/callback?iss=1",
    "javascript:alert(1)",
    "data:text/html,x",
    "file:///etc/passwd",
    "ftp://client.example/",
    "app:/callback",  # no dot: anybody's
    "com.example.app://host/callback",
    "urn:ietf:wg:oauth:2.0:oob",
    "https://client.example/" + "a" * 2048,
]


@pytest.mark.parametrize("uri", GOOD)
def test_https_and_loopback_literals_may_be_registered_by_all(uri: str) -> None:
    assert checked_redirect_uri(uri, is_public=False) == checked_redirect_uri(uri, is_public=True) == uri
    assert is_registered(uri, [uri])


@pytest.mark.parametrize("uri", GOOD_FOR_PUBLIC)
def test_schemes_of_its_own_are_for_public_clients(uri: str) -> None:
    assert checked_redirect_uri(uri, is_public=True) == uri
    with pytest.raises(InvalidInput):
        checked_redirect_uri(uri, is_public=False)


@pytest.mark.parametrize("uri", BAD)
def test_nothing_else_may_be_registered(uri: str) -> None:
    for is_public in (False, True):
        with pytest.raises(InvalidInput) as refused:
            checked_redirect_uri(uri, is_public=is_public)
        assert refused.value.detail


REGISTERED = ["https://client.example/callback", "http://127.0.0.1:9000/callback", "http://[::1]/callback?a=b"]


@pytest.mark.parametrize(
    ("uri", "is_one"),
    [
        *((uri, True) for uri in REGISTERED),
        ("http://127.0.0.1:1/callback", True),  # RFC 8252, 7.3: any port of a loopback literal
        ("http://127.0.0.1:65535/callback", True),
        ("http://127.0.0.1/callback", True),
        ("http://[::1]:40000/callback?a=b", True),
        ("http://127.0.0.1:65536/callback", False),
        ("http://127.0.0.1:0/callback", False),
        ("http://127.0.0.1:/callback", False),
        ("http://127.0.0.1:9000/other", False),
        ("http://127.0.0.1:9000/callback?x", False),
        ("http://127.0.0.1:9000@evil.example/callback", False),
        ("http://127.0.0.1:9000.evil.example/callback", False),
        ("https://127.0.0.1:9000/callback", False),
        ("http://localhost:9000/callback", False),
        ("http://[::1]:9000/callback", False),  # another one's query
        ("http://127.0.0.1:9000/callback#x", False),
        ("https://client.example:443/callback", False),
        ("https://client.example:444/callback", False),
        ("https://client.example/callback/", False),
        ("https://client.example/Callback", False),
        ("https://client.example/callback?", False),
        ("https://client.example/callback#", False),
        ("https://client.example/callback%2F", False),
        ("https://client.example/%63allback", False),
        ("https://client.example/./callback", False),
        ("https://client.example/callback\n", False),
        (" https://client.example/callback", False),
        ("https://client.example.evil.example/callback", False),
        ("https://evil.example/https://client.example/callback", False),
        ("https://Client.example/callback", False),
        ("", False),
    ],
)
def test_a_given_one_is_compared_character_by_character(uri: str, *, is_one: bool) -> None:
    assert is_registered(uri, REGISTERED) is is_one
