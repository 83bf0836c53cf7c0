"""The one place from which a customer's address is dialled: the address judged is the address dialled.

Two moments, one judge (`judging.py`). The resolver refuses a name when any of its answers is refused, before anything
is dialled; the socket is made for what was judged right before, port and subscription's list included, literals too.
Sockets are connected to addresses, never to names, so nothing is looked up in between. No proxy, no redirect and no
second way is written here. Kept connections are kept by list (`connections.py`).
"""

import asyncio
import re
import socket
import ssl
from collections.abc import Sequence
from functools import partial
from typing import Final

from aiohappyeyeballs import AddrInfoType, start_connection
from aiohttp.abc import AbstractResolver, ResolveResult

from processors.answers import HandshakeFailed
from processors.exchange import Connection
from processors.judging import AddressBlocked, Judge
from processors.names import Names, SystemResolver
from processors.requests import Target
from schemas.addresses import Network

_HOST: Final = re.compile(r"[a-z0-9.-]+|[0-9a-f:.]+")
_NEXT_ADDRESS_AFTER_S: Final = 0.25  # RFC 8305, 5


class GuardedResolver(AbstractResolver):
    """Resolves like `inner`, and refuses a name of which any answer is refused: a mixed answer is an attack.

    A subscription's own list is not judged here: other subscriptions share the answers.
    """

    def __init__(self, inner: AbstractResolver, judge: Judge) -> None:
        self._inner = inner
        self._judge = judge

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return at least one answer, all of which may be called.

        Raises AddressBlocked, or socket.gaierror when the name has no address or cannot be one.
        """
        try:
            answers = await self._inner.resolve(host, port, family)
        except ValueError as error:  # a label over 63 characters, NUL
            raise socket.gaierror(socket.EAI_NONAME, "not a host name") from error
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "the name has no address")
        for answer in answers:
            self._judge.check(answer["host"])
        return answers

    async def close(self) -> None:
        await self._inner.close()


class Dialler:
    """Makes connections to what may be dialled, and to nothing else. Make it in the running loop; close it there."""

    def __init__(
        self, judge: Judge, *, tls: ssl.SSLContext | None = None, resolver: AbstractResolver | None = None
    ) -> None:
        """`tls` None means the system's certificates, `resolver` None the system's; another one is closed with this."""
        self._judge = judge
        self._tls = tls or _system_tls()
        self._names = Names(GuardedResolver(resolver or SystemResolver(), judge))

    async def dial(self, target: Target, allowed: Sequence[Network] | None) -> Connection:
        """Return a new connection. `allowed` are the subscription's blocks, () when it names none.

        Raises AddressBlocked, socket.gaierror when the name has no address, HandshakeFailed when TLS does not come
        about, and another OSError when nothing can be connected.
        """
        if not _HOST.fullmatch(target.host):  # of "a%00b" the system looks up "a", and OpenSSL raises a TypeError
            raise AddressBlocked(target.host, "not a host name")
        answers = await self._names.addresses_of(target.host, target.port)
        connected = await start_connection(
            self._within_list([_as_address_info(answer, target.port) for answer in answers], allowed),
            happy_eyeballs_delay=_NEXT_ADDRESS_AFTER_S,
            interleave=1,
            socket_factory=partial(judged_socket, self._judge, allowed),
        )
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # uvloop does not for a socket it is given
            return await self._connection_on(connected, target)
        except BaseException:
            connected.close()
            raise

    def forget_names(self) -> None:
        """Look every name up again."""
        self._names.forget()

    async def close(self) -> None:
        """Stop looking names up."""
        await self._names.close()

    def _within_list(self, infos: Sequence[AddrInfoType], allowed: Sequence[Network] | None) -> Sequence[AddrInfoType]:
        """Return those that the subscription may call: a refusal of others must not hide how these failed."""
        kept: list[AddrInfoType] = []
        refusal: AddressBlocked | None = None
        for info in infos:
            try:
                self._judge.check_dialled(str(info[4][0]), int(info[4][1]), allowed)
            except AddressBlocked as error:
                refusal = refusal or error
            else:
                kept.append(info)
        if refusal is not None and not kept:
            raise refusal
        return kept

    async def _connection_on(self, connected: socket.socket, target: Target) -> Connection:
        loop = asyncio.get_running_loop()
        if not target.is_tls:
            _, connection = await loop.create_connection(Connection, sock=connected)
            return connection
        try:
            _, connection = await loop.create_connection(
                Connection, sock=connected, ssl=self._tls, server_hostname=target.host.rstrip(".")
            )
        except (ssl.SSLError, ConnectionError) as error:  # it was connected: who resets now does not like our hello
            raise HandshakeFailed("TLS did not come about") from error
        return connection


def judged_socket(judge: Judge, allowed: Sequence[Network] | None, info: AddrInfoType) -> socket.socket:
    """Return the unconnected socket for what is about to be dialled. Raises AddressBlocked."""
    family, kind, protocol, _, target = info
    address = str(target[0])
    if family not in (socket.AF_INET, socket.AF_INET6):
        raise AddressBlocked(address, "not an internet address")
    if len(target) == 4 and target[3]:
        raise AddressBlocked(address, "with a zone id (RFC 4007)")
    judge.check_dialled(address, int(target[1]), allowed)
    return socket.socket(family, kind, protocol)


def _as_address_info(answer: ResolveResult, port: int) -> AddrInfoType:
    if answer["family"] == socket.AF_INET6:
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (answer["host"], port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (answer["host"], port)


def _system_tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
