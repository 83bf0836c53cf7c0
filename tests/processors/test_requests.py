"""The bytes of a request: one Host, one length, nothing that a header could add to it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from processors.judging import AddressBlocked
from processors.requests import UnsendableRequest, request_to, target_of


@pytest.mark.parametrize(
    ("url", "line", "host"),
    [
        ("https://a.example", "POST / HTTP/1.1", "a.example"),
        ("https://a.example:443/x?y=z", "POST /x?y=z HTTP/1.1", "a.example"),
        ("https://a.example:8443/x", "POST /x HTTP/1.1", "a.example:8443"),
        ("http://a.example:443/x", "POST /x HTTP/1.1", "a.example:443"),
        ("https://a.example./x", "POST /x HTTP/1.1", "a.example"),
        ("https://[2606:4700::1111]/x", "POST /x HTTP/1.1", "[2606:4700::1111]"),
        ("https://[2606:4700::1111]:8443/x", "POST /x HTTP/1.1", "[2606:4700::1111]:8443"),
        ("https://zoë.example/ü?q=ü", "POST /%C3%BC?q=%C3%BC HTTP/1.1", "xn--zo-ija.example"),
        ("https://user:password@a.example/x", "POST /x HTTP/1.1", "a.example"),
        ("https://a.example/x#secret", "POST /x HTTP/1.1", "a.example"),
    ],
)
def test_the_first_line_and_host_are_the_urls(url: str, line: str, host: str) -> None:
    assert target_of(URL(url)).beginning == f"{line}\r\nHost: {host}\r\n"


@pytest.mark.parametrize("url", ["ws://a.example/", "ftp://a.example/", "file://a.example/x"])
def test_another_scheme_is_refused(url: str) -> None:
    with pytest.raises(AddressBlocked):
        target_of(URL(url))


def test_a_url_without_a_host_is_unsendable() -> None:
    with pytest.raises(UnsendableRequest):
        target_of(URL("/hooks"))


HERE = target_of(URL("https://a.example/x"))


@pytest.mark.parametrize(
    "theirs",
    [
        {"Host": "b.example", "content-length": "1", "Transfer-Encoding": "chunked", "CONNECTION": "upgrade"},
        {"X-A": "first", "x-a": "second", "X-a": "1"},
        {},
    ],
)
def test_framing_is_ours_and_a_name_stands_there_once(theirs: dict[str, str]) -> None:
    head, _, body = request_to(HERE, {**theirs, "X-A": "1"}, b"12345").partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[:2] == [b"POST /x HTTP/1.1", b"Host: a.example"]
    assert sorted(head.lower().split(b"\r\n")[2:]) == [b"content-length: 5", b"x-a: 1"]
    assert body == b"12345"


@given(st.dictionaries(st.text(), st.text(), max_size=3), st.binary(max_size=20))
def test_no_header_adds_a_line(headers: dict[str, str], body: bytes) -> None:
    try:
        head, _, rest = request_to(HERE, headers, body).partition(b"\r\n\r\n")
    except (UnsendableRequest, UnicodeError):
        return
    assert rest == body
    assert len(head.split(b"\n")) == len(head.split(b"\r")) <= 3 + len(headers)
    assert head.endswith(b"\r\nContent-Length: %d" % len(body))
