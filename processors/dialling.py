"""The one place from which a customer's address is dialled: the address judged is the address dialled.

Two moments, one judge (`judging.py`). The resolver refuses a name when any of its answers is refused, before anything
is dialled; the socket factory judges what is about to be connected, literals included, since aiohttp asks no resolver
about those. Nothing can change in between: aiohttp dials the answers that were judged. A kept connection is judged by
its peer, since it may have been made for another subscription with another list.

The guard sees what is dialled, and behind a proxy that is the proxy. So a session that uses this connector leaves
`trust_env` False (aiohttp's default), and posts with `allow_redirects=False` (a redirect's target would be judged as
well, but it is a failure, not a way); a request with a proxy is refused here.

TCP_NODELAY needs nothing here: aiohttp sets it on every connection it makes (`base_protocol`).
"""

import re
import socket
from collections.abc import Sequence
from contextvars import ContextVar
from functools import partial
from ssl import SSLContext
from typing import Final

from aiohttp import AddrInfoType, ClientRequest, ClientTimeout, TCPConnector, ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from processors.judging import AddressBlocked, Judge
from schemas.addresses import Network, is_within
from schemas.urls import DEFAULT_PORTS

DNS_TTL_S = 10  # a receiver that moves is followed within this

_HOST: Final = re.compile(r"[a-z0-9.-]+|[0-9a-f:.]+")

# Of the request under way: aiohttp hands a socket factory the address only, in the request's task or a child of it.
_ALLOWED: Final[ContextVar[Sequence[Network] | None]] = ContextVar("_ALLOWED", default=None)


def dial_for(allowed: Sequence[Network]) -> None:
    """Say which addresses this task's requests may dial from now on: a subscription's blocks, () when it names none.

    Who forgets is refused everything.
    """
    _ALLOWED.set(allowed)


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

        Raises AddressBlocked, or OSError when the name has no address or cannot be one.
        """
        try:
            answers = await self._inner.resolve(host, port, family)
        except ValueError as error:  # a label over 63 characters, NUL: aiohttp would let it through unwrapped
            raise socket.gaierror(socket.EAI_NONAME, "not a host name") from error
        if not answers:  # aiohttp fails an assertion on an empty list
            raise socket.gaierror(socket.EAI_NONAME, "the name has no address")
        for answer in answers:
            self._judge.check(answer["host"])
        return answers

    async def close(self) -> None:
        await self._inner.close()


class GuardedConnector(TCPConnector):
    """Hands out connections to what may be dialled for the subscription at hand, new or kept."""

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: ClientTimeout,  # noqa: ASYNC109 -- aiohttp's name
    ) -> Connection:
        """Return a connection whose peer the subscription may call.

        A kept one to another peer is closed; what is dialled instead was judged, so this comes to an end.
        """
        _check_asked(req)
        allowed = _ALLOWED.get()
        connection = await super().connect(req, traces, timeout)
        while allowed and not _is_peer_within(connection, allowed):
            connection.close()
            connection = await super().connect(req, traces, timeout)
        return connection

    async def _resolve_host(self, host: str, port: int, traces: Sequence[Trace] | None = None) -> list[ResolveResult]:
        """Return only the answers in the subscription's list, so that their failures are told and not our refusals.

        Not what the guard rests on: if there are none, or aiohttp no longer calls this, the socket factory refuses.
        """
        answers = await super()._resolve_host(host, port, traces)
        allowed = _ALLOWED.get()
        return [answer for answer in answers if is_within(answer["host"], allowed)] or answers if allowed else answers


def guarded_connector(
    judge: Judge,
    *,
    limit: int,
    limit_per_host: int = 0,
    keepalive_s: float = 15,
    tls: SSLContext | None = None,
    resolver: AbstractResolver | None = None,
) -> GuardedConnector:
    """Return a connector that dials no refused address; call it in the running loop that will use it.

    `limit` connections in all and `limit_per_host` per host and port, 0 meaning no limit. `keepalive_s` is how
    long an idle connection is kept. `tls` None means the system's certificates. `resolver` None asks the
    system's, in the loop's threads; another one is closed by whoever made it.
    """
    return GuardedConnector(
        resolver=GuardedResolver(resolver or ThreadedResolver(), judge),
        socket_factory=partial(_judged_socket, judge),
        ttl_dns_cache=DNS_TTL_S,
        limit=limit,
        limit_per_host=limit_per_host,
        keepalive_timeout=keepalive_s,
        ssl=tls or True,
    )


def _judged_socket(judge: Judge, info: AddrInfoType) -> socket.socket:
    """Return the unconnected socket for what is about to be dialled. Raises AddressBlocked."""
    family, kind, protocol, _, target = info
    address = str(target[0])
    if family not in (socket.AF_INET, socket.AF_INET6):
        raise AddressBlocked(address, "not an internet address")
    if len(target) == 4 and target[3]:
        raise AddressBlocked(address, "with a zone id (RFC 4007)")
    judge.check_dialled(address, int(target[1]), _ALLOWED.get())
    return socket.socket(family, kind, protocol)


def _check_asked(req: ClientRequest) -> None:
    """Raise AddressBlocked for what no URL of a subscription can ask for, should one have passed all the same."""
    host = req.url.raw_host or ""
    if req.url.scheme not in DEFAULT_PORTS:  # aiohttp fails an assertion
        raise AddressBlocked(host, f"by {req.url.scheme}, not https")
    if not _HOST.fullmatch(host):  # of "a%00b" the system looks up "a", and OpenSSL raises a TypeError
        raise AddressBlocked(host, "not a host name")
    if req.proxy is not None:
        raise AddressBlocked(str(req.proxy.host), "a proxy, which would dial what nobody has judged")


def _is_peer_within(connection: Connection, allowed: Sequence[Network]) -> bool:
    """Return whether a connection leads to one of the blocks, or nowhere any more: then writing on it fails."""
    peer = connection.transport.get_extra_info("peername") if connection.transport is not None else None
    return peer is None or is_within(str(peer[0]), allowed)
