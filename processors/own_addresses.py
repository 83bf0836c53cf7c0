"""This machine's own addresses, which are never called: a service that listens on one trusts who comes from here.

Asked of the kernel over netlink (rtnetlink(7), RTM_GETADDR), because the standard library lists interfaces and not
their addresses. What a translating router in front of the machine is called from outside, no machine knows.
"""

import socket
import struct
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from time import monotonic
from typing import Final

from schemas.addresses import as_dialled

Address = IPv4Address | IPv6Address

REREAD_AFTER_S: Final = 5.0  # a read costs 0.1 ms, and addresses come and go with containers
_NETLINK_ROUTE, _NETLINK_SOCKET = 0, 16
_GETADDR, _ERROR, _DONE = 22, 2, 3
_REQUEST_OF_ALL: Final = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_HEADER, _IFADDRMSG, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BBBBI"), struct.Struct("=HH")
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_ANSWER_BYTES: Final = 1 << 16


def read_own_addresses() -> frozenset[Address]:
    """Return the addresses of all interfaces, loopback's included; raises OSError when the kernel does not tell.

    Linux only: on another system, none.
    """
    if not hasattr(socket, "AF_NETLINK"):
        return frozenset()
    with socket.socket(_NETLINK_SOCKET, socket.SOCK_RAW, _NETLINK_ROUTE) as asking:
        asking.settimeout(1)  # the answer is there when `send` returns
        length = _HEADER.size + _IFADDRMSG.size
        asking.send(_HEADER.pack(length, _GETADDR, _REQUEST_OF_ALL, 1, 0) + _IFADDRMSG.pack(0, 0, 0, 0, 0))
        return frozenset(_answered(asking))


class OwnAddresses:
    """Knows this machine's own addresses, and reads them anew when they are older than 5 s. Loopback is not among them.

    Loopback is the table's: a development setting opens it, and nothing opens these.
    """

    def __init__(
        self, read: Callable[[], frozenset[Address]] = read_own_addresses, clock: Callable[[], float] = monotonic
    ) -> None:
        """Read them once; raises OSError when the kernel does not tell."""
        self._read = read
        self._clock = clock
        self._reread()

    def __contains__(self, address: str) -> bool:
        if self._clock() - self._read_at >= REREAD_AFTER_S:
            self._reread()
        return as_dialled(address) in self._addresses

    def _reread(self) -> None:
        self._addresses = frozenset(address for address in self._read() if not address.is_loopback)
        self._read_at = self._clock()


def _answered(asking: socket.socket) -> Iterator[Address]:
    while True:
        answer = asking.recv(_ANSWER_BYTES)
        for kind, body in _messages_in(answer):
            if kind == _DONE:
                return
            if kind == _ERROR:
                raise OSError(-int.from_bytes(body[:4], "little", signed=True), "the kernel tells no addresses")
            yield _address_in(body)


def _messages_in(answer: bytes) -> Iterator[tuple[int, bytes]]:
    while answer:
        length, kind, *_ = _HEADER.unpack_from(answer)
        yield kind, answer[_HEADER.size : length]
        answer = answer[-(-length // 4) * 4 :]  # messages stand at multiples of four


def _address_in(body: bytes) -> Address:
    """Return the address of this end: IFA_ADDRESS, unless IFA_LOCAL says that that one is the other end's."""
    found: dict[int, bytes] = {}
    rest = body[_IFADDRMSG.size :]
    while rest:
        length, kind = _ATTRIBUTE.unpack_from(rest)
        found[kind] = rest[_ATTRIBUTE.size : length]
        rest = rest[-(-length // 4) * 4 :]
    return ip_address(found.get(_IFA_LOCAL) or found[_IFA_ADDRESS])
