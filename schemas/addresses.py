"""Which addresses a subscription may call: our own table, from the IANA special-purpose registries (RFC 6890).

`ipaddress.is_global` is no judge: its answers follow the interpreter's version, and on Python 3.11 it lets
192.0.0.9, 192.88.99.1, 224.0.0.1, 64:ff9b::a00:1 (NAT64 to 10.0.0.1), fec0::1 and 3fff::1 pass, and Azure's
168.63.129.16 everywhere. In IPv4 what is not listed may be called; in IPv6 only global unicast less what is.
"""

from bisect import bisect_right
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network


@dataclass(frozen=True, slots=True)
class Refused:
    """A range that is never called. `source` is where its meaning is defined."""

    network: IPv4Network | IPv6Network
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
