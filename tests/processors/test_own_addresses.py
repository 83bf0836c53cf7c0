"""This machine's own addresses: what the kernel says, and that it is asked again."""

import errno
import socket
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

import psutil
import pytest

from processors import own_addresses
from processors.own_addresses import REREAD_AFTER_S, Address, OwnAddresses, read_own_addresses


def test_the_kernel_names_the_addresses_that_psutil_finds() -> None:
    found = {
        ip_address(each.address.partition("%")[0])
        for addresses in psutil.net_if_addrs().values()
        for each in addresses
        if each.family in (socket.AF_INET, socket.AF_INET6)
    }
    assert read_own_addresses() == found
    assert IPv4Address("127.0.0.1") in found


def test_own_addresses_are_known_in_every_form_and_loopback_is_not_among_them() -> None:
    own = OwnAddresses(lambda: frozenset(map(ip_address, ("127.0.0.1", "::1", "8.8.4.4", "2606:4700::5"))))
    assert all(
        each in own for each in ("8.8.4.4", "::ffff:8.8.4.4", "::ffff:808:404", "2606:4700::5", "2606:4700:0::5")
    )
    assert not any(each in own for each in ("127.0.0.1", "::1", "8.8.4.5", "2606:4700::6", "nobody.example"))


def test_addresses_are_read_again_after_five_seconds_and_not_before() -> None:
    reads: list[frozenset[Address]] = [frozenset({IPv4Address("8.8.4.5")}), frozenset({IPv4Address("8.8.4.4")})]
    now = [100.0]
    own = OwnAddresses(reads.pop, lambda: now[0])
    now[0] += REREAD_AFTER_S - 0.1
    assert ("8.8.4.4" in own, "8.8.4.5" in own) == (True, False)
    now[0] += 0.1
    assert ("8.8.4.4" in own, "8.8.4.5" in own) == (False, True)
    assert reads == []


class Kernel:
    """Answers a question with messages as rtnetlink(7) has them, spread over as many datagrams as asked for."""

    def __init__(self, *datagrams: bytes) -> None:
        self._datagrams = list(datagrams)

    def recv(self, _: int) -> bytes:
        return self._datagrams.pop(0)


def message(kind: int, body: bytes) -> bytes:
    whole = struct.pack("=IHHII", 16 + len(body), kind, 2, 1, 0) + body
    return whole + bytes(-len(whole) % 4)


def address(*attributes: tuple[int, bytes]) -> bytes:
    body = bytes(8)
    for kind, value in attributes:
        body += struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
    return message(20, body)


DONE = message(3, bytes(4))
ETH, LABEL = IPv4Address("8.8.4.4").packed, (3, b"eth0:0\0")


def test_an_answer_may_come_in_parts_and_an_address_with_a_peer_is_this_end() -> None:
    peer, v6 = IPv4Address("9.9.9.9").packed, IPv6Address("2606:4700::5").packed
    kernel = Kernel(
        address(LABEL, (1, ETH), (2, ETH)) + address((1, v6)), address((1, peer), (2, b"\x08\x08\x04\x05")), DONE
    )
    found = set(own_addresses._answered(kernel))  # type: ignore[arg-type]  # all that is asked of a socket here
    assert found == {ip_address(each) for each in ("8.8.4.4", "8.8.4.5", "2606:4700::5")}


def test_a_kernel_that_refuses_is_an_error_and_not_a_machine_without_addresses() -> None:
    kernel = Kernel(message(2, struct.pack("=i", -errno.EPERM)))
    with pytest.raises(PermissionError, match="the kernel tells no addresses"):
        set(own_addresses._answered(kernel))  # type: ignore[arg-type]  # as above


def test_another_system_than_linux_names_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_NETLINK")
    assert read_own_addresses() == frozenset()
