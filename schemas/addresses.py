"""Which addresses a subscription may call: our own table, from the IANA special-purpose registries (RFC 6890).

`ipaddress.is_global` is no judge: its answers follow the interpreter's version, and on Python 3.11 it lets
192.0.0.9, 192.88.99.1, 224.0.0.1, 64:ff9b::a00:1 (NAT64 to 10.0.0.1), fec0::1 and 3fff::1 pass, and Azure's
168.63.129.16 everywhere. In IPv4 what is not listed may be called; in IPv6 only global unicast less what is.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network

from schemas.errors import InvalidInput

MOST_NETWORKS = 50  # of one subscription: each is compared at every attempt
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Refused:
    """A range that is never called. `source` is where its meaning is defined."""

    network: Network
    reason: str
    source: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.source})"


def _v4(network: str, reason: str, source: str) -> Refused:
    return Refused(IPv4Network(network), reason, source)


def _v6(network: str, reason: str, source: str) -> Refused:
    return Refused(IPv6Network(network), reason, source)


REFUSED_IPV4 = (
    _v4("0.0.0.0/8", "this network", "RFC 1122, 3.2.1.3"),  # Linux connects 0.0.0.0 to itself
    _v4("10.0.0.0/8", "private", "RFC 1918"),
    _v4("100.64.0.0/10", "shared by carriers", "RFC 6598"),  # Alibaba's metadata: 100.100.100.200
    _v4("127.0.0.0/8", "loopback", "RFC 1122, 3.2.1.3"),
    _v4("168.63.129.16/32", "Azure's platform", "Azure's virtual public IP"),  # every VM reaches it
    _v4("169.254.0.0/16", "link-local", "RFC 3927"),  # most clouds' metadata: 169.254.169.254
    _v4("172.16.0.0/12", "private", "RFC 1918"),
    _v4("192.0.0.0/24", "protocol assignments", "RFC 6890"),  # Oracle's metadata: 192.0.0.192
    _v4("192.0.2.0/24", "documentation", "RFC 5737"),
    _v4("192.88.99.0/24", "6to4 relay", "RFC 7526"),
    _v4("192.168.0.0/16", "private", "RFC 1918"),
    _v4("198.18.0.0/15", "benchmarking", "RFC 2544"),
    _v4("198.51.100.0/24", "documentation", "RFC 5737"),
    _v4("203.0.113.0/24", "documentation", "RFC 5737"),
    _v4("224.0.0.0/4", "multicast", "RFC 5771"),
    _v4("240.0.0.0/4", "reserved or broadcast", "RFC 1112, RFC 919"),
)
# Outside of 2000::/3 all is refused, listed or not: those rows only say why.
REFUSED_IPV6 = (
    _v6("::/128", "unspecified", "RFC 4291, 2.5.2"),
    _v6("::1/128", "loopback", "RFC 4291, 2.5.3"),
    _v6("64:ff9b::/96", "NAT64", "RFC 6052"),
    _v6("64:ff9b:1::/48", "NAT64", "RFC 8215"),
    _v6("2001::/23", "protocol assignments, Teredo", "RFC 2928, RFC 4380"),
    _v6("2001:db8::/32", "documentation", "RFC 3849"),
    _v6("2002::/16", "6to4", "RFC 3056"),
    _v6("3fff::/20", "documentation", "RFC 9637"),
    _v6("fc00::/7", "unique local", "RFC 4193"),  # AWS's metadata: fd00:ec2::254
    _v6("fe80::/10", "link-local", "RFC 4291, 2.5.6"),
    _v6("ff00::/8", "multicast", "RFC 4291, 2.7"),
)
NOT_GLOBAL_UNICAST = "not global unicast (RFC 4291, 2.4)"
WITH_ZONE = "with a zone id (RFC 4007)"
NOT_AN_ADDRESS = "not an IP address"

# Ranges are disjoint and in order, so one search finds the only row that can hold a number.
_Ranges = tuple[list[int], list[int], list[str]]


def _ranges_of(rows: tuple[Refused, ...]) -> _Ranges:
    return (
        [int(row.network.network_address) for row in rows],
        [int(row.network.broadcast_address) for row in rows],
        [str(row) for row in rows],
    )


_IPV4_RANGES = _ranges_of(REFUSED_IPV4)
_IPV6_RANGES = _ranges_of(REFUSED_IPV6)


def refusal_of(address: str | IPv4Address | IPv6Address, *, allow_loopback: bool = False) -> str | None:
    """Return why `address` may not be called, such as "private (RFC 1918)"; None when it may.

    A string is read strictly (dotted quad without leading zeros, RFC 4291 text); what cannot be read is
    refused. An IPv4-mapped address (::ffff:0:0/96) is judged as the IPv4 address it reaches; any zone id is
    refused. `allow_loopback` lets 127.0.0.0/8 and ::1 pass and nothing else: a setting of development.
    """
    if isinstance(address, str):
        try:
            address = IPv6Address(address) if ":" in address else IPv4Address(address)
        except AddressValueError:
            return NOT_AN_ADDRESS
    number = int(address)
    if isinstance(address, IPv4Address):
        return _refusal_of_ipv4(number, allow_loopback=allow_loopback)
    if address.scope_id is not None:
        return WITH_ZONE
    if number >> 32 == 0xFFFF:
        return _refusal_of_ipv4(number & 0xFFFF_FFFF, allow_loopback=allow_loopback)
    if allow_loopback and number == 1:
        return None
    refusal = _row_of(number, _IPV6_RANGES)
    return NOT_GLOBAL_UNICAST if refusal is None and number >> 125 != 0b001 else refusal


def _refusal_of_ipv4(number: int, *, allow_loopback: bool) -> str | None:
    if allow_loopback and number >> 24 == 127:
        return None
    return _row_of(number, _IPV4_RANGES)


def _row_of(number: int, ranges: _Ranges) -> str | None:
    firsts, lasts, reasons = ranges
    row = bisect_right(firsts, number) - 1
    return reasons[row] if row >= 0 and number <= lasts[row] else None


# Neither netmasks nor zone ids, which `ipaddress` would read; without a prefix it is one address.
_NETWORK = re.compile(r"([0-9a-fA-F.:]{2,45})(?:/(0|[1-9][0-9]{0,2}))?")


def checked_networks(texts: Sequence[str], *, pointer: str = "") -> tuple[str, ...]:
    """Return CIDR blocks normalised, each once, in the order given: "8.8.8.8" becomes "8.8.8.8/32".

    At most 50. A block that lies in a refused range is accepted, and then nothing passes it: the list narrows the
    table and never widens it. Raises InvalidInput at `pointer` or at `pointer`/index, saying what to write.
    """
    if len(texts) > MOST_NETWORKS:
        raise InvalidInput(f"name at most {MOST_NETWORKS} address blocks, not {len(texts)}", pointer=pointer)
    return tuple(dict.fromkeys(str(_network_of(text, f"{pointer}/{index}")) for index, text in enumerate(texts)))


def networks_of(texts: Sequence[str]) -> tuple[Network, ...]:
    """Return what `checked_networks` has checked, parsed. Raises InvalidInput for anything else."""
    return tuple(_network_of(text, "") for text in texts)


def as_dialled(address: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a socket reaches: an IPv4-mapped one is IPv4. None for what is none or has a zone id."""
    try:
        found = IPv6Address(address) if ":" in address else IPv4Address(address)
    except AddressValueError:
        return None
    if isinstance(found, IPv4Address):
        return found
    return None if found.scope_id is not None else found.ipv4_mapped or found


def is_within(address: str, networks: Sequence[Network]) -> bool:
    """Return whether an address, as it is dialled, lies in one of the blocks; what cannot be dialled lies in none."""
    found = as_dialled(address)
    return found is not None and any(found in network for network in networks)


def _network_of(text: str, pointer: str) -> Network:
    parts = _NETWORK.fullmatch(text)
    if parts is None:
        raise InvalidInput("write an address block such as 8.8.8.0/24 or 2600:1f00::/24 (RFC 4632)", pointer=pointer)
    address, prefix = parts.groups()
    family = IPv6Network if ":" in address else IPv4Network
    try:
        network = family(text, strict=False)
    except ValueError as error:
        raise InvalidInput("write an address block such as 8.8.8.0/24 or 2600:1f00::/24", pointer=pointer) from error
    if isinstance(network, IPv6Network) and network.prefixlen >= 96 and network.network_address.ipv4_mapped:
        raise InvalidInput("write the IPv4 block itself instead of the IPv4-mapped one", pointer=pointer)
    if prefix is not None and str(network.network_address) != str(family(address).network_address):
        raise InvalidInput(f"write {network}, or {address} alone for one address", pointer=pointer)
    return network
