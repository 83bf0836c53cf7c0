"""The address table, against a second one written here and judged by `ipaddress` membership."""

# ruff: noqa: SIM905 -- a table of addresses reads better as words than as a list of quoted words
import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.addresses import REFUSED_IPV4, REFUSED_IPV6, Refused, refusal_of

REFUSED = tuple(
    map(
        ip_network,
        "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 168.63.129.16/32 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 "
        "192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 "
        "240.0.0.0/4 ::/3 2001::/23 2001:db8::/32 2002::/16 3fff::/20 4000::/2 8000::/1".split(),
    )
)
MAPPED = IPv6Network("::ffff:0:0/96")

BAD_IPV4 = (
    "0.0.0.0 0.0.0.1 0.1.2.3 0.255.255.255 "
    "10.0.0.0 10.0.0.1 10.1.2.3 10.96.0.1 10.128.0.1 10.255.255.255 "
    "100.64.0.0 100.64.0.1 100.100.100.200 100.127.255.255 "  # Alibaba's metadata
    "127.0.0.0 127.0.0.1 127.0.0.2 127.0.1.1 127.1.1.1 127.127.127.127 127.255.255.254 127.255.255.255 "
    "168.63.129.16 "  # Azure's platform
    "169.254.0.0 169.254.0.1 169.254.169.123 169.254.169.253 169.254.169.254 169.254.170.2 169.254.170.23 "
    "169.254.255.255 "  # AWS time, DNS, metadata, ECS and EKS credentials
    "172.16.0.0 172.16.0.1 172.17.0.1 172.18.0.2 172.20.10.1 172.31.255.255 "
    "192.0.0.0 192.0.0.1 192.0.0.8 192.0.0.9 192.0.0.10 192.0.0.170 192.0.0.171 192.0.0.192 192.0.0.255 "
    "192.0.2.0 192.0.2.1 192.0.2.255 192.88.99.0 192.88.99.1 192.88.99.2 192.88.99.255 "
    "192.168.0.0 192.168.0.1 192.168.1.1 192.168.49.2 192.168.99.100 192.168.122.1 192.168.255.255 "
    "198.18.0.0 198.18.0.1 198.19.0.1 198.19.255.255 198.51.100.0 198.51.100.1 198.51.100.255 "
    "203.0.113.0 203.0.113.1 203.0.113.255 "
    "224.0.0.0 224.0.0.1 224.0.0.251 224.0.1.1 232.0.0.1 233.252.0.1 239.255.255.250 239.255.255.255 "
    "240.0.0.0 240.0.0.1 250.1.2.3 255.0.0.0 255.255.255.254 255.255.255.255"
).split()
BAD_IPV6 = (
    ":: ::1 ::2 ::7f00:1 ::127.0.0.1 ::a00:1 ::10.0.0.1 ::8.8.8.8 ::fffe:0:0 ::1:0:0:0 "  # IPv4-compatible
    "::ffff:0:127.0.0.1 ::ffff:0:8.8.8.8 "  # IPv4-translated (RFC 2765)
    "64:ff9b:: 64:ff9b::7f00:1 64:ff9b::10.0.0.1 64:ff9b::169.254.169.254 64:ff9b::8.8.8.8 64:ff9b::ffff:ffff "
    "64:ff9b:1:: 64:ff9b:1::10.0.0.1 64:ff9b:1:ffff:ffff:ffff:ffff:ffff 64:ff9b:2::1 "
    "100:: 100::1 100:0:0:1::1 1000::1 1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
    "2001:: 2001::1 2001:0:7f00:1:: 2001:1::1 2001:1::2 2001:1::3 2001:2::1 2001:3::1 2001:4:112::1 2001:10::1 "
    "2001:20::1 2001:30::1 2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff "
    "2001:db8:: 2001:db8::1 2001:db8:85a3::8a2e:370:7334 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff "
    "2002:: 2002:7f00:1:: 2002:a00:1::1 2002:a9fe:a9fe:: 2002:c0a8:101::1 2002:808:808::1 "
    "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff 3fff:: 3fff::1 3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff "
    "4000:: 4000::1 5f00::1 6000::1 8000::1 a000::1 c000::1 e000::1 f000::1 fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
    "fc00:: fc00::1 fd00::1 fd00:ec2::23 fd00:ec2::253 fd00:ec2::254 fd12:3456:789a::1 fd20:ce::254 "
    "fd7a:115c:a1e0::1 fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff fe00::1 fe7f::1 "
    "fe80:: fe80::1 fe80::a9fe:a9fe fe80::5efe:10.0.0.1 febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
    "fec0:: fec0::1 feff::1 ff00:: ff01::1 ff02::1 ff02::2 ff02::fb ff05::2 ff0e::1 "
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
    "::ffff:0.0.0.0 ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:10.0.0.1 ::ffff:a9fe:a9fe ::ffff:169.254.169.254 "
    "::ffff:172.16.0.1 ::ffff:192.168.0.1 ::ffff:100.64.0.1 ::ffff:224.0.0.1 ::ffff:255.255.255.255 "
    "0:0:0:0:0:ffff:7f00:0001 ::FFFF:127.0.0.1"
).split()
BAD = tuple(BAD_IPV4 + BAD_IPV6)

GOOD = tuple(
    (
        "1.0.0.0 1.1.1.1 8.8.8.8 9.9.9.9 9.255.255.255 11.0.0.0 93.184.216.34 100.63.255.255 100.128.0.0 "
        "126.255.255.255 128.0.0.0 168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 "
        "191.255.255.255 192.0.1.0 192.0.1.255 192.0.3.0 192.31.196.1 192.52.193.1 192.88.98.255 192.88.100.0 "
        "192.167.255.255 192.169.0.0 192.175.48.1 198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0 "
        "203.0.112.255 203.0.114.0 223.255.255.255 "
        "2000:: 2000::1 2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff 2001:200:: 2001:4860:4860::8888 "
        "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff 2001:db9:: 2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff 2003:: "
        "2606:4700::1111 2620:fe::fe 2a00:1450:4001:830::200e 3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff 3fff:1000:: "
        "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
        "::ffff:8.8.8.8 ::ffff:808:808 ::ffff:1.1.1.1"
    ).split()
)


def oracle_refuses(address: IPv4Address | IPv6Address) -> bool:
    """Return whether the second table refuses an address."""
    if isinstance(address, IPv6Address) and address in MAPPED:
        address = IPv4Address(int(address) - int(MAPPED.network_address))
    return any(address in network for network in REFUSED)


def test_there_are_at_least_140_bad_addresses_in_the_table() -> None:
    assert len(BAD) >= 140
    assert len(set(BAD)) == len(BAD)


@pytest.mark.parametrize("address", BAD)
def test_a_bad_address_is_refused_as_text_and_as_an_object(address: str) -> None:
    reason = refusal_of(address)
    assert reason
    assert refusal_of(ip_address(address)) == reason
    assert refusal_of(address.upper()) == reason
    assert refusal_of(ip_address(address).exploded) == reason


@pytest.mark.parametrize("address", BAD_IPV4)
def test_an_ipv4_mapped_address_is_judged_as_the_ipv4_address(address: str) -> None:
    assert refusal_of(f"::ffff:{address}") == refusal_of(address)
    assert refusal_of(f"::ffff:{address}", allow_loopback=True) == refusal_of(address, allow_loopback=True)


@pytest.mark.parametrize("address", GOOD)
def test_a_public_address_may_be_called(address: str) -> None:
    assert refusal_of(address) is None
    assert refusal_of(ip_address(address)) is None
    assert refusal_of(address, allow_loopback=True) is None


@pytest.mark.parametrize("network", REFUSED, ids=str)
def test_a_range_is_refused_from_its_first_to_its_last_and_no_further(
    network: IPv6Network,
) -> None:
    first, last = network.network_address, network.broadcast_address
    assert refusal_of(first)
    assert refusal_of(last)
    for neighbour in (int(first) - 1, int(last) + 1):
        if 0 <= neighbour < 2**network.max_prefixlen:
            beside = type(first)(neighbour)
            assert bool(refusal_of(beside)) == oracle_refuses(beside)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("10.1.2.3", "private (RFC 1918)"),
        ("127.0.0.1", "loopback (RFC 1122, 3.2.1.3)"),
        ("169.254.169.254", "link-local (RFC 3927)"),
        ("::1", "loopback (RFC 4291, 2.5.3)"),
        ("64:ff9b::a00:1", "NAT64 (RFC 6052)"),
        ("2002:a00:1::", "6to4 (RFC 3056)"),
        ("4000::1", "not global unicast (RFC 4291, 2.4)"),
        ("fe80::1%eth0", "with a zone id (RFC 4007)"),
        ("2606:4700::1111%1", "with a zone id (RFC 4007)"),  # global, and still nobody's business
        ("::ffff:8.8.8.8%1", "with a zone id (RFC 4007)"),
    ],
)
def test_a_refusal_names_its_reason_and_source(address: str, reason: str) -> None:
    assert refusal_of(address) == reason


@pytest.mark.parametrize(
    "text",
    "|localhost|example.com|127.1|2130706433|0x7f.1|0x7f000001|0177.0.0.1|010.8.8.8|8.8.8.08|8.8.8|8.8.8.8.8|8.8.8.8.|"
    "256.8.8.8|8.8.8.8/32| 8.8.8.8|8.8.8.8 |8.8.8.8\n|8.8.8.8\x00|８.8.8.8|٨.8.8.8|8。8.8.8|-8.8.8.8|+8.8.8.8|[::1]|"
    "::1::|1::2::3|:::|::1%|fe80::1%a%b|::ffff:127.1|::ffff:0127.0.0.1|2606:4700::1111/64|2606:4700::11111|"
    "2606:4700::１|8.8.8.8:443|g::1".split("|"),
)
def test_what_is_not_strictly_an_address_is_refused(text: str) -> None:
    assert refusal_of(text) == "not an IP address"
    assert refusal_of(text, allow_loopback=True) == "not an IP address"


LOOPBACK = "127.0.0.0 127.0.0.1 127.1.2.3 127.255.255.255 ::1 ::ffff:127.0.0.1".split()


def test_allowing_loopback_allows_loopback_and_nothing_else() -> None:
    assert [refusal_of(address, allow_loopback=True) for address in LOOPBACK] == [None] * len(LOOPBACK)
    allowed = {address for address in BAD if refusal_of(address, allow_loopback=True) is None}
    assert all(ip_address(address) in ip_network("127.0.0.0/8") for address in allowed & set(BAD_IPV4))
    assert allowed & set(BAD_IPV6) == {
        "::1", "::ffff:127.0.0.1", "::ffff:7f00:1", "0:0:0:0:0:ffff:7f00:0001", "::FFFF:127.0.0.1",
    }  # fmt: skip


@pytest.mark.parametrize("rows", [REFUSED_IPV4, REFUSED_IPV6], ids=["ipv4", "ipv6"])
def test_the_table_is_in_order_disjoint_and_names_its_sources(rows: tuple[Refused, ...]) -> None:
    for before, after in pairwise(rows):
        assert int(before.network.broadcast_address) < int(after.network.network_address)
    assert all(re.match(r"RFC \d+|Azure", row.source) for row in rows)


def _number_in(network: IPv6Network) -> st.SearchStrategy[int]:
    """Numbers in a refused range or just beside it."""
    first, last, most = int(network[0]), int(network[-1]), 2**network.max_prefixlen - 1
    return st.integers(max(first - 2, 0), min(last + 2, most))


IPV4 = [network for network in REFUSED if network.version == 4]
IPV6 = [network for network in REFUSED if network.version == 6]


@given(st.integers(0, 2**32 - 1) | st.sampled_from(IPV4).flatmap(_number_in))  # type: ignore[arg-type]  # both kinds have these members
def test_ipv4_agrees_with_membership_in_the_networks(number: int) -> None:
    address = IPv4Address(number)
    assert bool(refusal_of(str(address))) == oracle_refuses(address)
    assert bool(refusal_of(IPv6Address((0xFFFF << 32) + number))) == oracle_refuses(address)


@given(
    st.integers(0, 2**128 - 1)
    | st.integers(0b001 << 125, (0b010 << 125) - 1)
    | st.sampled_from(IPV6).flatmap(_number_in)
)
def test_ipv6_agrees_with_membership_in_the_networks(number: int) -> None:
    address = IPv6Address(number)
    assert bool(refusal_of(str(address))) == oracle_refuses(address)
