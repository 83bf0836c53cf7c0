"""The address blocks that a subscription may name for itself: how they are read, and what lies in them."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.addresses import MOST_NETWORKS, checked_networks, is_within, networks_of
from schemas.errors import InvalidInput


@pytest.mark.parametrize(
    ("written", "normalised"),
    [
        ("8.8.8.0/24", "8.8.8.0/24"),
        ("8.8.8.8", "8.8.8.8/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("10.0.0.0/8", "10.0.0.0/8"),  # narrows the table to nothing
        ("2600:1F00:0::/24", "2600:1f00::/24"),
        ("2606:4700::1111", "2606:4700::1111/128"),
        ("2600::8.8.8.8", "2600::808:808/128"),
        ("::/0", "::/0"),
    ],
)
def test_a_block_is_normalised(written: str, normalised: str) -> None:
    assert checked_networks([written]) == (normalised,)
    assert checked_networks([normalised]) == (normalised,)
    assert networks_of([normalised]) == (ip_network(normalised),)


def test_blocks_keep_their_order_and_stand_once() -> None:
    assert checked_networks(["9.9.9.9", "8.8.8.0/24", "9.9.9.9/32"]) == ("9.9.9.9/32", "8.8.8.0/24")
    assert checked_networks([]) == ()


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        *((text, "write an address block such as") for text in ("", "any", "example.com", "8.8.8", "8.8.8.8.8", "8.8")),
        *((text, "write an address block such as") for text in ("8.8.8.0/255.255.255.0", "8.8.8.0/0.0.0.255")),
        *((text, "write an address block such as") for text in ("8.8.8.0/33", "8.8.8.0/024", "8.8.8.0/", "8.8.8.0/-1")),
        *((text, "write an address block such as") for text in (" 8.8.8.8", "8.8.8.8\n", "8.8.8.0/24/24", "08.8.8.8")),
        *((text, "write an address block such as") for text in ("８.8.8.8", "8.8.8.0/２4", "8。8。8。8", "0x8.8.8.8")),
        *(
            (text, "write an address block such as")
            for text in ("2600::/129", "fe80::1%eth0", "fe80::%1/64", "[2600::]")
        ),
        *(
            (text, "write an address block such as")
            for text in ("2600:::1", "2600::1::", "134744072", "*", "8.8.8.8,9")
        ),
        ("8.8.8.8/24", "write 8.8.8.0/24, or 8.8.8.8 alone"),
        ("2600::1/24", "write 2600::/24, or 2600::1 alone"),
        ("::ffff:8.8.8.8", "write the IPv4 block itself"),
        ("::ffff:0:0/96", "write the IPv4 block itself"),
        ("::ffff:808:808/120", "write the IPv4 block itself"),
    ],
)
def test_what_is_no_block_is_refused_with_what_to_write_and_where_it_stands(text: str, advice: str) -> None:
    with pytest.raises(InvalidInput, match=r"^/allowed_addresses/1: ") as caught:
        checked_networks(["9.9.9.9", text], pointer="/allowed_addresses")
    assert caught.value.detail.startswith(advice)
    with pytest.raises(InvalidInput):
        networks_of([text])


def test_fifty_blocks_are_taken_and_one_more_is_not() -> None:
    many = [f"8.8.{number}.0/24" for number in range(MOST_NETWORKS + 1)]
    assert len(checked_networks(many[:-1])) == MOST_NETWORKS == 50
    with pytest.raises(InvalidInput, match=r"^/a: name at most 50 address blocks, not 51$"):
        checked_networks(many, pointer="/a")


@pytest.mark.parametrize(
    ("address", "within"),
    [
        ("8.8.8.8", True),
        ("8.8.9.8", False),
        ("::ffff:8.8.8.8", True),  # dialled as IPv4
        ("::ffff:8.8.9.8", False),
        ("2600:1f00::1", True),
        ("2601::1", False),
        ("2600:1f00::1%eth0", False),
        ("::ffff:8.8.8.8%1", False),
        ("dns.example", False),
        ("8.8", False),
    ],
)
def test_an_address_is_within_when_one_of_the_blocks_has_it(address: str, within: bool) -> None:
    assert is_within(address, networks_of(["8.8.8.0/24", "2600:1f00::/24"])) is within


def test_no_address_is_within_no_block() -> None:
    assert not is_within("8.8.8.8", ())
    assert not is_within("::ffff:8.8.8.8", networks_of(["::/0"]))  # judged as IPv4, of which nothing is named
    assert not is_within("::ffff:8.8.8.8%1", networks_of(["::/0", "0.0.0.0/0"]))


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_being_within_agrees_with_the_bits(number: int, other: int, prefix: int) -> None:
    network = ip_network((number >> (32 - prefix) << (32 - prefix), prefix))
    shares = (number ^ other) >> (32 - prefix) == 0
    assert is_within(str(ip_address(other)), networks_of([str(network)])) is shares
