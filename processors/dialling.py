"""The one place from which a customer's address is dialled: the address judged is the address dialled.

Two judges, one table (`schemas.addresses`). The resolver refuses a name when any of its answers is refused,
before anything is dialled; the socket factory judges what is about to be connected, literals included, since
aiohttp asks no resolver about those. Nothing can change in between: aiohttp dials the answers that were judged.

The guard sees what is dialled, and behind a proxy that is the proxy. So a session that uses this connector
leaves `trust_env` False (aiohttp's default), passes no `proxy=`, and posts with `allow_redirects=False`
(a redirect's target would be judged as well, but it is a failure, not a way).

TCP_NODELAY needs nothing here: aiohttp sets it on every connection it makes (`base_protocol`).
"""

import errno
import socket
from functools import partial
from ssl import SSLContext

from aiohttp import AddrInfoType, TCPConnector, ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

from schemas.addresses import refusal_of
from schemas.errors import HooklineError

DNS_TTL_S = 10  # a receiver that moves is followed within this


class AddressBlocked(HooklineError, OSError):
    """An address that may not be called was about to be.

    An OSError, because aiohttp wraps those (`ClientConnectorDNSError` for a name, `ClientConnectorError` for a
    literal): ask `blocked_address` first, then sort errors by their class. `address` is what would have been
    dialled, `reason` is `schemas.addresses.refusal_of`'s.
    """

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(errno.EACCES, f"{address} is refused: {reason}")
        self.address = address
        self.reason = reason


class GuardedResolver(AbstractResolver):
    """Resolves like `inner`, and refuses a name of which any answer is refused: a mixed answer is an attack."""

    def __init__(self, inner: AbstractResolver, *, allow_loopback: bool) -> None:
        self._inner = inner
        self._allow_loopback = allow_loopback

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
            _check(answer["host"], allow_loopback=self._allow_loopback)
        return answers

    async def close(self) -> None:
        await self._inner.close()


def guarded_connector(
    *,
    allow_loopback: bool,
    limit: int,
    limit_per_host: int = 0,
    keepalive_s: float = 15,
    tls: SSLContext | None = None,
    resolver: AbstractResolver | None = None,
) -> TCPConnector:
    """Return a connector that dials no refused address; call it in the running loop that will use it.

    `limit` connections in all and `limit_per_host` per host and port, 0 meaning no limit. `keepalive_s` is how
    long an idle connection is kept. `tls` None means the system's certificates. `resolver` None asks the
    system's, in the loop's threads; another one is closed by whoever made it.
    """
    return TCPConnector(
        resolver=GuardedResolver(resolver or ThreadedResolver(), allow_loopback=allow_loopback),
        socket_factory=partial(_judged_socket, allow_loopback=allow_loopback),
        ttl_dns_cache=DNS_TTL_S,
        limit=limit,
        limit_per_host=limit_per_host,
        keepalive_timeout=keepalive_s,
        ssl=tls or True,
    )


def blocked_address(error: BaseException) -> AddressBlocked | None:
    """Return the AddressBlocked behind `error`: itself, its cause or context, or in an exception group."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        if isinstance(current, AddressBlocked):
            return current
        seen.add(id(current))
        waiting.append(current.__cause__)
        waiting.append(None if current.__suppress_context__ else current.__context__)
        waiting.extend(current.exceptions if isinstance(current, BaseExceptionGroup) else ())
    return None


def _judged_socket(info: AddrInfoType, *, allow_loopback: bool) -> socket.socket:
    """Return the unconnected socket for what is about to be dialled. Raises AddressBlocked."""
    family, kind, protocol, _, target = info
    address = str(target[0])
    if family not in (socket.AF_INET, socket.AF_INET6):
        raise AddressBlocked(address, "not an internet address")
    if len(target) == 4 and target[3]:
        raise AddressBlocked(address, "with a zone id (RFC 4007)")
    _check(address, allow_loopback=allow_loopback)
    return socket.socket(family, kind, protocol)


def _check(address: str, *, allow_loopback: bool) -> None:
    if (reason := refusal_of(address, allow_loopback=allow_loopback)) is not None:
        raise AddressBlocked(address, reason)
