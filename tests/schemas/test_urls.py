"""Which URLs pass, and that yarl (whose parse aiohttp dials) reads the same host out of every one that does."""

# ruff: noqa: SIM905, E501 -- tables of tricks read better as words, and several on a line
import re
import socket
import unicodedata
from ipaddress import ip_address
from itertools import chain

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from yarl import URL

from schemas.addresses import refusal_of
from schemas.errors import InvalidInput
from schemas.urls import LONGEST_URL, checked_url, parse_ports
from tests.schemas.spellings import spellings_of
from tests.schemas.test_addresses import BAD, BAD_IPV4, BAD_IPV6, GOOD

A_63 = "a" * 63

ACCEPTED = [
    ("https://example.com", "https://example.com/"),
    ("https://example.com/", "https://example.com/"),
    ("HTTPS://EXAMPLE.COM/Path", "https://example.com/Path"),
    ("https://example.com:443/x", "https://example.com/x"),
    ("https://example.com:8443/x", "https://example.com:8443/x"),
    ("https://example.com./x", "https://example.com/x"),  # a trailing dot is the same name
    ("https://example.com。/x", "https://example.com/x"),
    ("https://example.com?a=1", "https://example.com/?a=1"),
    ("https://example.com/a?b=c&d=/?@:", "https://example.com/a?b=c&d=/?@:"),
    ("https://example.com/?", "https://example.com/?"),
    ("https://example.com/a@b:c", "https://example.com/a@b:c"),  # no user name: it stands in the path
    (
        "https://example.com/?u=https://user:pass@10.0.0.1/",
        "https://example.com/?u=https://user:pass@10.0.0.1/",
    ),
    ("https://example.com/%41%2f%00%zz", "https://example.com/%41%2f%00%zz"),
    ("https://example.com/ä/漢?ö=ü", "https://example.com/%C3%A4/%E6%BC%A2?%C3%B6=%C3%BC"),
    ('https://example.com/"<>^`{|}', "https://example.com/%22%3C%3E%5E%60%7B%7C%7D"),
    ("https://example.com/a[]?b[]=1", "https://example.com/a[]?b[]=1"),
    ("https://bücher.example/", "https://xn--bcher-kva.example/"),
    ("https://BÜCHER.example/", "https://xn--bcher-kva.example/"),
    ("https://bu\u0308cher.example/", "https://xn--bcher-kva.example/"),  # the same letter in two code points
    ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
    ("https://faß.example/", "https://xn--fa-hia.example/"),  # IDNA 2003 would have called fass.example
    ("https://例え。テスト/", "https://xn--r8jz45g.xn--zckzah/"),
    ("https://ｅｘａｍｐｌｅ．ｃｏｍ/", "https://example.com/"),
    ("https://ⓔⓧⓐⓜⓟⓛⓔ.com/", "https://example.com/"),
    ("https://127.0.0.1.example.com/", "https://127.0.0.1.example.com/"),  # a name, judged when it is dialled
    ("https://0x7f.example.com/", "https://0x7f.example.com/"),
    ("https://1.2.3.4a/", "https://1.2.3.4a/"),
    ("https://1.2.3.0xg/", "https://1.2.3.0xg/"),
    ("https://example.com1/", "https://example.com1/"),
    (f"https://{A_63}.example/", f"https://{A_63}.example/"),
    (
        "https://१२७.०.०.१/",
        "https://xn--e4bcp.xn--d4b.xn--d4b.xn--e4b/",
    ),  # digits to a reader, a name to UTS 46
    ("https://8.8.8.8/", "https://8.8.8.8/"),
    ("https://8.8.8.8./", "https://8.8.8.8/"),
    ("https://８.８.８.８/", "https://8.8.8.8/"),
    ("https://8。8。8。8/", "https://8.8.8.8/"),
    ("https://①.①.①.①/", "https://1.1.1.1/"),
    ("https://[2606:4700:0:0::1111]:8443/", "https://[2606:4700::1111]:8443/"),
    ("https://[2606:4700::ABCD]/", "https://[2606:4700::abcd]/"),
    ("https://[2606:4700::8.8.8.8]/", "https://[2606:4700::808:808]/"),
]

TRICKS = [
    # not https, or not a URL at all
    "", "https", "https:", "https:/", "https://", "https:///", "https:///example.com", "https:example.com",
    "https:/example.com", "//example.com", "/example.com", "example.com", "example.com:443", "http://example.com",
    "ftp://example.com", "file:///etc/passwd", "gopher://example.com", "javascript://example.com/%0aalert(1)",
    "data:text/plain,x", "ws://example.com", "httpss://example.com", "ｈttps://example.com", "https//example.com",
    "https;//example.com", "https:\\\\example.com", "://example.com", "unix:///var/run/docker.sock",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/", "jar:https://example.com!/", "url:https://example.com",
    "1https://example.com", "https\u200b://example.com", "https：//example.com", "https:∕∕example.com",
    # whitespace, controls, invisible characters
    " https://example.com", "https://example.com ", "\thttps://example.com", "https://example.com\n",
    "ht\ntps://example.com", "https://exam\tple.com", "https://example.com/\r\nHost: x", "https://example.com/\x00",
    "https://exa\x00mple.com", "https://example.com/\x7f", "https://example.com/\x85", "https://example.com/\x1f",
    "https://example.com/\ud800", "https://\udfff.example.com", "https://exam\u200bple.com", "https://exam\u00adple.com",
    "https://example.com/\u202egpj", "https://example.com/\u2028", "https://example\u3000.com", "https://\u00a0example.com",
    "https://example.com\ufeff/", "https://example.com/a b", "https://\u2060example.com",
    # backslashes
    "https://example.com\\@10.0.0.1", "https://example.com\\.evil.com", "https:\\example.com", "https://\\example.com",
    "https://example.com/\\..", "https:/\\example.com", "https://10.0.0.1\\.example.com",
    # userinfo
    "https://user@example.com", "https://user:pass@example.com", "https://@example.com", "https://:@example.com",
    "https://example.com@10.0.0.1", "https://example.com:443@10.0.0.1", "https://a@b@example.com",
    "https://example.com%40@10.0.0.1", "https://[::1]@example.com", "https://example.com@[::1]", "https://u@:443",
    # fragments
    "https://example.com#", "https://example.com/#x", "https://example.com#@10.0.0.1", "https://10.0.0.1#.example.com",
    "https://example.com?#", "https://#example.com",
    # ports
    "https://example.com:80", "https://example.com:22", "https://example.com:0", "https://example.com:0443",
    "https://example.com:65536", "https://example.com:99999", "https://example.com:443443", "https://example.com:-443",
    "https://example.com:+443", "https://example.com:", "https://example.com:https", "https://example.com:443:443",
    "https://example.com:４４３", "https://example.com:4_43", "https://example.com:443x", "https://example.com:0x1bb",
    "https://:443", "https://[2606:4700::1111]:", "https://[2606:4700::1111]:22", "https://example.com：443",
    # host names
    "https://exa_mple.com", "https://exam%70le.com", "https://example.com%00.evil.com", "https://%6c%6f.com",
    "https://example..com", "https://.example.com", "https://example.com..", "https://.", "https://..",
    "https://-example.com", "https://example-.com", "https://exam!ple.com", "https://exam$ple.com", "https://exam'.com",
    "https://exam;ple.com", "https://exam,ple.com", "https://exam=ple.com", "https://exam&ple.com", "https://*.example.com",
    "https://exam(ple).com", "https://exam~ple.com", "https://exam|ple.com", "https://{example}.com", "https://exam`.com",
    "https://exam^ple.com", 'https://exam"ple.com', "https://<example>.com", "https://a" + A_63 + ".com",
    "https://" + "a." * 127 + "com", "https://xn--.com", "https://xn--a.com", "https://xn--ls8h=.la", "https://xn--0.pt",
    "https://xn--a-.com", "https://example.com／.evil.com", "https://example.com／", "https://example.com＠10.0.0.1",
    "https://example.com＃x", "https://example.com？x", "https://example.com％00", "https://example℀.com",
    "https://example.com\u2044x", "https://\u0300a.com", "https://💩💩💩\uffff.com", "https://a\u2260b.com",
    "https://[example.com]", "https://[example.com", "https://example.com]", "https://exam[ple].com",
    # names that mean something else in every network
    "https://localhost", "https://LOCALHOST", "https://localhost.", "https://ｌocalhost", "https://ⓛocalhost",
    "https://localhost:8443", "https://a.localhost", "https://A.LocalHost.", "https://printer.local", "https://a.local.",
    "https://metadata.google.internal", "https://metadata.google.internal.", "https://a.internal", "https://intranet",
    "https://metadata", "https://kubernetes", "https://com", "https://xn--bcher-kva", "https://bücher",
    # loopback, every odd way to write it
    "https://127.0.0.1", "https://127.0.0.1.", "https://127.0.0.1:8443", "https://127.1", "https://127.0.1", "https://127.1.",
    "https://2130706433", "https://2130706433.", "https://017700000001", "https://0x7f000001", "https://0X7F000001",
    "https://0x7f.1", "https://0x7f.0x0.0x0.0x1", "https://0x7f.0.0.1", "https://127.0.0.0x1", "https://0177.0.0.1",
    "https://0177.0.0.01", "https://0177.1", "https://00127.0.0.1", "https://127.0.0.01", "https://127.000.000.001",
    "https://127.0.0.1.0", "https://127.0.0.256", "https://1.0x", "https://0x", "https://0x.0x", "https://127.0.0.0x",
    "https://１２７.０.０.１", "https://127。0。0。1", "https://127．0．0．1", "https://127｡0｡0｡1", "https://①②⑦.0.0.1",
    "https://𝟏𝟐𝟕.0.0.1", "https://¹²⁷.0.0.1", "https://⑴27.0.0.1", "https://０ｘ７ｆ.1", "https://0ⓧ7f.1", "https://127.0.0.1%00",
    "https://0", "https://0.", "https://00", "https://0.0.0.0", "https://0x0", "https://4294967295", "https://4294967296",
    "https://99999999999999999999", "https://1.2.3.4.5", "https://1.2.3.999", "https://example.com.1", "https://a.0x1f",
    "https://0xa9fea9fe", "https://2852039166", "https://0251.0376.0251.0376", "https://169.254.43518", "https://0xA9.254.0251.254",
    "https://169.16689662", "https://10.1", "https://192.168.257", "https://12.34", "https://8.8.8.010", "https://134744072",
    "https://127.0.0.1,example.com", "https://127.0.0.1;example.com", "https://127.0.0.1&example.com",
    # IPv6
    "https://[::1]", "https://[0:0:0:0:0:0:0:1]", "https://[0000::0001]:8443", "https://[::]", "https://[::ffff:127.0.0.1]",
    "https://[::ffff:7f00:1]", "https://[::FFFF:10.0.0.1]", "https://[0:0:0:0:0:ffff:a9fe:a9fe]", "https://[::127.0.0.1]",
    "https://[::ffff:8.8.8.8]", "https://[::ffff:808:808]",  # public, but Python versions spell it in two ways
    "https://[fe80::1%eth0]", "https://[fe80::1%25eth0]", "https://[2606:4700::1111%251]", "https://[2606:4700::1111%]",
    "https://[::1%25.example.com]", "https://[]", "https://[", "https://]", "https://[[::1]]", "https://[::1", "https://::1",
    "https://::1]", "https://[::1].example.com", "https://[::1]example.com", "https://example.com[::1]", "https://[::1][::1]",
    "https://[v1.example]", "https://[v7.::1]", "https://[127.0.0.1]", "https://[8.8.8.8]", "https://[2606:4700::１]",
    "https://[2606:4700::1111", "https://2606:4700::1111", "https://[2606:4700:::1111]", "https://[2606:4700::1111/64]",
    "https://[::ffff:127.1]", "https://[::ffff:0177.0.0.1]", "https://[2606:4700::08.8.8.8]", "https://[64:ff9b::a00:1]",
    "https://[2002:7f00:1::]", "https://[fd00:ec2::254]", "https://[g::1]", "https://[ 2606:4700::1111]", "https://［::1］",
    # digits that are not ASCII and stay so
    "https://١٢٧.example", "https://١٢٧.0.0.1", "https://127.0.0.١",
    # addresses inside, one per table row
    "https://10.255.255.255", "https://100.64.0.1", "https://172.31.255.255", "https://192.0.0.9", "https://192.0.2.1",
    "https://192.88.99.1", "https://192.168.0.1", "https://198.19.255.255", "https://198.51.100.7", "https://203.0.113.9",
    "https://224.0.0.1", "https://255.255.255.255", "https://168.63.129.16", "https://100.100.100.200",
    "https://169.254.169.254/latest/meta-data/", "https://[fd20:ce::254]/computeMetadata/v1/", "https://[ff02::1]",
    "https://[2001:db8::1]", "https://[2001::1]", "https://[3fff::1]", "https://[4000::1]", "https://[fec0::1]",
    # too long
    "https://example.com/" + "a" * LONGEST_URL, "https://example.com/" + "ä" * 500,
]  # fmt: skip


def _refusal(url: str, *, allow_http: bool = False, allow_loopback: bool = False) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        checked_url(url, allow_http=allow_http, allow_loopback=allow_loopback)
    return caught.value


@pytest.mark.parametrize(("given_url", "normalised"), ACCEPTED)
def test_an_accepted_url_is_normalised_and_yarl_reads_the_same_out_of_it(given_url: str, normalised: str) -> None:
    assert checked_url(given_url) == normalised
    assert checked_url(normalised) == normalised
    parsed, authority = URL(normalised), normalised.split("/")[2]
    assert parsed.host_subcomponent == authority.removesuffix(":8443")
    assert parsed.port == (8443 if authority.endswith(":8443") else 443)
    assert (parsed.user, parsed.password, parsed.fragment) == (None, None, "")
    assert (URL(given_url).raw_host or "").rstrip(".") == parsed.raw_host  # and out of what the customer wrote


def test_there_are_at_least_300_tricks_each_of_its_own() -> None:
    assert len(set(TRICKS)) == len(TRICKS) >= 300


@pytest.mark.parametrize("url", TRICKS)
def test_a_trick_is_refused_with_what_to_do_and_without_repeating_the_url(url: str) -> None:
    refusal = _refusal(url)
    assert re.match(r"(start|leave out|write|use|name|shorten) ", refusal.detail)
    assert len(url) < 12 or url not in str(refusal)
    assert "\n" not in str(refusal)
    assert refusal.pointer == ""


@pytest.mark.parametrize("address", BAD_IPV4)
def test_a_refused_ipv4_address_is_refused_in_every_way_to_write_it(address: str) -> None:
    for literal in spellings_of(address):
        _refusal(f"https://{literal}/")
        _refusal(f"https://{literal}:8443/")


@pytest.mark.parametrize("address", BAD_IPV6)
def test_a_refused_ipv6_address_is_refused_in_every_way_to_write_it(address: str) -> None:
    exploded = ip_address(address).exploded
    for literal in (address, address.upper(), exploded, f"{address}%eth0", f"{address}%25eth0"):
        _refusal(f"https://[{literal}]/")


@pytest.mark.parametrize("address", GOOD)
def test_a_public_address_in_its_plain_form_is_accepted_and_in_odd_ones_never_becomes_another(
    address: str,
) -> None:
    if ":" in address:
        if not address.startswith("::ffff:"):
            assert URL(checked_url(f"https://[{address}]/")).raw_host == ip_address(address).compressed
        return
    assert checked_url(f"https://{address}") == f"https://{address}/"
    for literal in spellings_of(address):
        try:
            assert checked_url(f"https://{literal}") == f"https://{address}/"
        except InvalidInput:
            continue


@pytest.mark.parametrize(
    ("url", "detail"),
    [
        ("http://example.com", "start the URL with https://"),
        ("https://10.0.0.1", "use a public host: 10.0.0.1 is refused, private (RFC 1918)"),
        ("https://[::1]", "use a public host: ::1 is refused, loopback (RFC 4291, 2.5.3)"),
        ("https://2130706433", "use a public host: 2130706433 is refused, not an IP address"),
        ("https://intranet", "use a public host name: intranet means something else in every network"),
        ("https://example.com:22", "use port 443 or 8443, not 22"),
        ("https://[fe80::1%25eth0]", "leave out the zone id (% and what follows) of the IPv6 address"),
        (
            "https://a:b@example.com",
            "leave out user name and password: put a secret into a header or the path",
        ),
    ],
)
def test_a_refusal_says_what_to_do(url: str, detail: str) -> None:
    assert _refusal(url).detail == detail


def test_the_longest_url_has_2048_characters() -> None:
    longest = "https://example.com/".ljust(LONGEST_URL, "a")
    assert checked_url(longest) == longest
    _refusal(longest + "a")
    _refusal("https://example.com?".ljust(LONGEST_URL, "a"))  # one more by the "/" that it lacks


def test_ports_are_a_setting() -> None:
    assert checked_url("https://example.com:9443/", ports=frozenset({9443})) == "https://example.com:9443/"
    with pytest.raises(InvalidInput, match="use port 9443, not 443"):
        checked_url("https://example.com/", ports=frozenset({9443}))


def test_ports_are_read_from_a_setting() -> None:
    assert parse_ports("443, 8443,443") == {443, 8443}
    assert parse_ports("65535") == {65535}
    for text in ("", ",", "443,", "0", "65536", "0443", "-1", "443-8443", "443 8443", "https", "４４３", "*"):
        with pytest.raises(InvalidInput, match=r"^write the ports as numbers from 1 to 65535 between commas"):
            parse_ports(text)


@pytest.mark.parametrize(
    ("url", "normalised"),
    [
        ("http://localhost:8000/hook", "http://localhost:8000/hook"),
        ("http://LOCALHOST.", "http://localhost/"),
        ("http://127.0.0.1:80", "http://127.0.0.1/"),
        ("http://127.255.255.255:1", "http://127.255.255.255:1/"),
        ("http://[::1]:65535/", "http://[::1]:65535/"),
        ("https://localhost:8000", "https://localhost:8000/"),
        ("http://example.com:443", "http://example.com:443/"),
        ("https://example.com:80", "https://example.com:80/"),
    ],
)
def test_development_allows_http_loopback_and_every_port(url: str, normalised: str) -> None:
    assert checked_url(url, allow_http=True, allow_loopback=True) == normalised
    _refusal(url)


def test_the_two_settings_of_development_stand_alone() -> None:
    assert checked_url("http://example.com:8080/", allow_http=True) == "http://example.com:8080/"
    assert checked_url("https://127.0.0.1:8080/", allow_loopback=True) == "https://127.0.0.1:8080/"
    _refusal("http://127.0.0.1/", allow_http=True)
    _refusal("http://127.0.0.1/", allow_loopback=True)
    assert _refusal("ftp://example.com", allow_http=True).detail == "start the URL with https:// or http://"


IN_DEVELOPMENT_TOO = [
    "http://2130706433", "http://127.1", "http://0x7f.1", "http://0177.0.0.1", "http://[::ffff:127.0.0.1]", "http://[::1%25lo]",
    "http://a.localhost", "http://printer.local", "http://a.internal", "http://intranet", "http://0.0.0.0", "http://10.0.0.1",
    "http://169.254.169.254", "http://u@localhost", "http://localhost:0", "http://localhost:65536", "ftp://localhost",
    "http://localhost/#", "http://localhost\\", "http://[fe80::1]",
]  # fmt: skip


@pytest.mark.parametrize("url", IN_DEVELOPMENT_TOO)
def test_development_allows_nothing_else(url: str) -> None:
    _refusal(url, allow_http=True, allow_loopback=True)


PIECES = st.sampled_from(
    "0 1 7f 127 0x7f 0177 255 256 10 169 254 . .. 。 ． １２７ ① localhost example com internal a xn-- ß İ ⓧ - _ % %2e @ : / ? # \\ "
    "[ ] :: ::1 ffff 2606:4700::1 %25eth0 :443 :8443 :80 \u00ad \u200d \u0660 ｡ ＠ ／ ： \t \n \x00".split(" ")
)
URLS = st.builds(
    "".join,
    st.tuples(st.sampled_from(["https://", "HTTPS://", "http://", ""]), st.lists(PIECES, max_size=9).map("".join)),
)


@settings(max_examples=600)
@given(URLS | st.text(max_size=60).map("https://{}".format) | st.text(max_size=60).map("https://example.com/{}".format))
@example("https://①.①.①.①")
def test_whatever_is_accepted_yarl_dials_at_the_host_that_was_judged(url: str) -> None:
    try:
        normalised = checked_url(url)
    except InvalidInput:
        return
    assert checked_url(normalised) == normalised
    assert normalised.isascii()
    parsed = URL(normalised)
    assert (parsed.scheme, parsed.user, parsed.fragment) == ("https", None, "")
    assert parsed.port in (443, 8443)
    authority = normalised.removeprefix("https://").partition("/")[0].removesuffix(":8443")
    assert parsed.host_subcomponent == authority
    assert URL(url).host_subcomponent in (authority, f"{authority}.")
    if _is_dialled_as_an_address(authority):
        assert refusal_of(authority.strip("[]")) is None


def _is_dialled_as_an_address(host: str) -> bool:
    """Whether the system would take `host` for an address, however oddly written, without asking DNS."""
    try:
        socket.inet_aton(host)
    except OSError:
        return host.startswith("[")
    return True


@pytest.mark.parametrize(
    "character",
    [
        character
        for character in map(chr, chain(range(0x20000), range(0xE0000, 0xF0000)))  # elsewhere are none, or ideographs
        if unicodedata.category(character) in ("Cc", "Zs", "Cf")
    ],
)
def test_no_control_space_or_invisible_character_passes_anywhere(character: str) -> None:
    for url in (
        f"https://{character}example.com/",
        f"https://example.com/{character}",
        f"https://example.com/?{character}",
    ):
        _refusal(url)


def test_every_bad_address_of_the_table_is_tried() -> None:
    assert set(BAD) == set(BAD_IPV4) | set(BAD_IPV6)
