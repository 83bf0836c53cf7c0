"""Which URLs a subscription may name: RFC 3986 read narrowly, host names by IDNA UTS-46.

Read by a grammar of our own and not by `urllib.parse`, which drops tabs and line breaks: what parsers disagree
about (userinfo, backslashes, odd numbers) is refused, so that the host judged here is the host dialled.
"""

import re
from ipaddress import AddressValueError, IPv6Address
from unicodedata import category
from urllib.parse import quote

import idna

from schemas.addresses import refusal_of
from schemas.errors import InvalidInput

LONGEST_URL = 2048  # characters
PORTS = frozenset({443, 8443})
DEFAULT_PORTS = {"https": 443, "http": 80}

# Controls, invisible formatting (bidi overrides, zero-width), surrogates, every kind of space.
_FORBIDDEN = frozenset({"Cc", "Cf", "Cs", "Zs", "Zl", "Zp"})
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^#]*)(#.*)?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_AUTHORITY = re.compile(rf"(\[[^\]]*\]|[^:\[\]]*)(?::({_PORT.pattern}))?")
# A host that ends so is an IPv4 address to inet_aton and to WHATWG's parser (URL Standard, 3.5).
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PRIVATE_SUFFIXES = (".localhost", ".local", ".internal")  # RFC 6761, RFC 6762, ICANN 2024-07-29
_KEPT = "%!$&'()*+,;=:@/?[]~-._"  # RFC 3986, 2.2, and the brackets that queries use all the same


def checked_url(
    url: str, *, allow_http: bool = False, allow_loopback: bool = False, ports: frozenset[int] = PORTS
) -> str:
    """Return `url` normalised: lower-case scheme, ASCII host, no default port, no trailing dot, a path.

    `allow_http` and `allow_loopback` are settings of development: plain http; 127.0.0.0/8, ::1 and
    `localhost`; and with either of them every port. A name is not looked up: the guard judges its addresses
    when it dials. Normalising twice changes nothing. Raises InvalidInput, whose detail says what to do and
    does not repeat the URL, which may hold a secret.
    """
    _check_characters(url)
    parts = _URL.fullmatch(url)
    scheme = parts[1].lower() if parts else ""
    if not parts or scheme not in DEFAULT_PORTS or (scheme == "http" and not allow_http):
        raise InvalidInput(f"start the URL with https://{' or http://' if allow_http else ''}")
    authority = parts[2]
    if parts[4] is not None:
        raise InvalidInput("leave out the fragment (# and what follows): it is never sent")
    if "@" in authority:
        raise InvalidInput("leave out user name and password: put a secret into a header or the path")
    named = _AUTHORITY.fullmatch(authority)
    if not named:
        raise InvalidInput("write host[:port], the port as a number from 1 to 65535, an IPv6 address in brackets")
    host = _checked_host(named[1], allow_loopback=allow_loopback)
    port = int(named[2] or DEFAULT_PORTS[scheme])
    _check_port(port, ports=frozenset(range(1, 65536)) if allow_http or allow_loopback else ports)
    target = quote(parts[3], safe=_KEPT)
    return _within_length(
        f"{scheme}://{host}{'' if port == DEFAULT_PORTS[scheme] else f':{port}'}"
        f"{target if target.startswith('/') else f'/{target}'}"
    )


def parse_ports(text: str) -> frozenset[int]:
    """Return the ports of a setting, "443,8443"; raises InvalidInput for what is no port, and for none."""
    ports = [port.strip() for port in text.split(",")]
    if not all(_PORT.fullmatch(port) and int(port) <= 65535 for port in ports):
        raise InvalidInput("write the ports as numbers from 1 to 65535 between commas, such as 443,8443")
    return frozenset(map(int, ports))


def _check_characters(url: str) -> None:
    _within_length(url)
    if "\\" in url or any(category(character) in _FORBIDDEN for character in url):
        raise InvalidInput("leave out spaces, backslashes, control and invisible characters, or percent-encode them")


def _within_length(url: str) -> str:
    if len(url) > LONGEST_URL:
        raise InvalidInput(f"shorten the URL to {LONGEST_URL:,} characters, percent-encoding included")
    return url


def _check_port(port: int, *, ports: frozenset[int]) -> None:
    if port not in ports:
        allowed = "1 to 65535" if len(ports) > 9 else " or ".join(map(str, sorted(ports)))
        raise InvalidInput(f"use port {allowed}, not {port}")


def _checked_host(host: str, *, allow_loopback: bool) -> str:
    if host.startswith("["):
        return f"[{_checked_ipv6(host[1:-1], allow_loopback=allow_loopback)}]"
    try:
        name = idna.encode(host, uts46=True, std3_rules=True).decode("ascii").removesuffix(".")
    except UnicodeError as error:
        raise InvalidInput("name a host of letters, digits and hyphens (IDNA, UTS 46)") from error
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        _check_address(name, allow_loopback=allow_loopback)
    elif not (allow_loopback and name == "localhost"):
        _check_public(name)
    return name


def _checked_ipv6(literal: str, *, allow_loopback: bool) -> str:
    if "%" in literal:
        raise InvalidInput("leave out the zone id (% and what follows) of the IPv6 address")
    try:
        address = IPv6Address(literal)
    except AddressValueError as error:
        raise InvalidInput("write an IPv6 address between the brackets (RFC 4291, 2.2)") from error
    _check_address(address.compressed, allow_loopback=allow_loopback)
    if address.ipv4_mapped:  # it would be dialled as IPv4, and Python versions disagree about its spelling
        raise InvalidInput("write the IPv4 address itself instead of the IPv4-mapped one")
    return address.compressed


def _check_address(address: str, *, allow_loopback: bool) -> None:
    if (refusal := refusal_of(address, allow_loopback=allow_loopback)) is not None:
        raise InvalidInput(f"use a public host: {address} is refused, {refusal}")


def _check_public(name: str) -> None:
    if "." not in name or name.endswith(_PRIVATE_SUFFIXES):
        raise InvalidInput(f"use a public host name: {name} means something else in every network")
