"""One attempt: a signed POST to a subscriber's endpoint, and what it came to. All failures come back as an Outcome."""

import asyncio
import os
import socket
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Any, Final, Self
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from multidict import CIMultiDictProxy

from processors.dialling import dial_for, guarded_connector
from processors.endpoints import Endpoint
from processors.interim import with_few_interim_answers
from processors.judging import Judge, blocked_address
from processors.outcomes import ErrorKind, Outcome, kind_of_status
from processors.retry_after import wait_asked_for
from schemas.headers import REPLAY_HEADER
from schemas.records import FIRST_ROUND, Delivery
from schemas.signing import SIGNATURE_HEADER, signed_headers
from schemas.urls import PORTS

MOST_BODY_BYTES: Final = 64 * 1024  # read of an answer, and no further
KEPT_BYTES: Final = 10 * 1024  # of what was read, and of the headers, kept for the log
LARGEST_HEADER_BYTES: Final = 16 * 1024
MASKED: Final = "***"
_KEEPALIVE_S: Final = 4.0  # below the 5 s after which Node's HTTP server hangs up on an idle connection
_NAMES_AND_VALUES_KEPT: Final = 100

_Answer = tuple[int, CIMultiDictProxy[str], bytes, bool, str | None]


class _StaleConnection(Exception):
    """A kept connection ended before anything of an answer came: the receiver had closed it already."""


class _Response(aiohttp.ClientResponse):
    """Remembers the address it came from, and tells a connection that was closed while it was kept from one that broke.

    aiohttp's tracing would tell of reuse too, for 25 µs a request.
    """

    address: str | None = None

    async def start(self, connection: Any) -> Self:
        self.address = _PEERS.get(connection.protocol)
        was_kept = self.address is not None
        if not was_kept:
            peer = connection.transport.get_extra_info("peername") if connection.transport is not None else None
            self.address = _PEERS[connection.protocol] = f"{peer[0]}:{peer[1]}" if peer else ""
        try:
            await super().start(connection)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if was_kept:
                raise _StaleConnection from error
            raise
        return self


# The peers of open connections that were used before: asking the socket costs a system call a request.
_PEERS: Final[WeakKeyDictionary[object, str]] = WeakKeyDictionary()


class Sender:
    """Sends deliveries. Made in the running loop; close it there."""

    def __init__(
        self,
        *,
        most_at_once: int,
        allow_loopback: bool,
        user_agent: str,
        ports: frozenset[int] = PORTS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Open nothing yet. Each host gets as many connections as it is sent deliveries at once."""
        self._new_session = partial(_new_session, Judge(allow_loopback, ports), tls=tls)
        self._session = self._new_session(limit=most_at_once)
        self._user_agent = user_agent

    async def send(self, delivery: Delivery, endpoint: Endpoint) -> Outcome:
        """Return what one attempt to send `delivery` came to, within the endpoint's timeout."""
        started_at = datetime.now(UTC)
        headers = self._headers(delivery, endpoint, started_at)
        try:
            async with asyncio.timeout(endpoint.timeout.total_seconds()):
                status, answered, body, truncated, address = await self._exchange(endpoint, headers, delivery.body)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, UnicodeError) as error:
            kind, text = _failure_of(error, endpoint)
            return Outcome(
                started_at=started_at,
                ended_at=datetime.now(UTC),
                error_kind=kind,
                error=text,
                address=_refused_address(error),
                request_headers=_kept_request(headers, endpoint),
            )
        kind_or_none, ended_at = kind_of_status(status), datetime.now(UTC)
        return Outcome(
            started_at=started_at,
            ended_at=ended_at,
            error_kind=kind_or_none,
            error=None if kind_or_none is None else f"the receiver answered {status}",
            status=status,
            address=address,
            request_headers=_kept_request(headers, endpoint),
            response_headers=_kept_response(answered),
            response_body=body[:KEPT_BYTES],
            truncated=truncated or len(body) > KEPT_BYTES,
            retry_after=wait_asked_for(status, answered, started_at=started_at, ended_at=ended_at),
        )

    async def _exchange(self, endpoint: Endpoint, headers: Mapping[str, str], body: bytes) -> _Answer:
        try:
            return await _post(self._session, endpoint, headers, body)
        except _StaleConnection:
            # No failure of the receiver (RFC 9112, 9.3.1): again, with the same webhook-id, should it have read the
            # request after all. On a connection that is certainly fresh, so this happens once: the other kept ones may
            # be as stale (measured: a receiver that closes on the second request got one delivery 21 times over 20).
            async with self._new_session(limit=1) as fresh:
                return await _post(fresh, endpoint, headers, body)

    def _headers(self, delivery: Delivery, endpoint: Endpoint, at: datetime) -> dict[str, str]:
        headers = {
            **endpoint.headers,
            "Content-Type": "application/json",
            "User-Agent": self._user_agent,
            **signed_headers(delivery.event_id, delivery.body, endpoint.keys_at(at), at=at),
        }
        if delivery.traceparent is not None:
            headers["traceparent"] = delivery.traceparent
        if delivery.round != FIRST_ROUND:
            headers[REPLAY_HEADER] = delivery.round
        return headers

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _new_session(judge: Judge, *, limit: int, tls: ssl.SSLContext | None) -> aiohttp.ClientSession:
    connector = guarded_connector(judge, limit=limit, keepalive_s=_KEEPALIVE_S, tls=tls)
    return aiohttp.ClientSession(
        connector=with_few_interim_answers(connector),
        cookie_jar=aiohttp.DummyCookieJar(),
        response_class=_Response,
        auto_decompress=False,  # a kilobyte of gzip can hold a gigabyte
        trust_env=False,  # a proxy would dial what the guard has not judged
        skip_auto_headers=("Accept-Encoding", "Accept"),
        max_line_size=LARGEST_HEADER_BYTES,
        max_field_size=LARGEST_HEADER_BYTES,
        timeout=aiohttp.ClientTimeout(total=None),  # ours is one deadline over everything, in `send`
    )


async def _post(session: aiohttp.ClientSession, endpoint: Endpoint, headers: Mapping[str, str], body: bytes) -> _Answer:
    dial_for(endpoint.allowed)
    async with session.post(endpoint.url, data=body, headers=headers, allow_redirects=False) as response:
        read, truncated = await _read_up_to(response, MOST_BODY_BYTES)
        address = response.address if isinstance(response, _Response) else None
        return response.status, response.headers, read, truncated, address


async def _read_up_to(response: aiohttp.ClientResponse, most: int) -> tuple[bytes, bool]:
    """Return at most `most` bytes of the body, and whether there was more, in which case the connection is closed."""
    parts: list[bytes] = []
    left = most
    while left > 0:
        part = await response.content.read(left)
        if not part:
            return b"".join(parts), False
        parts.append(part)
        left -= len(part)
    if response.content.at_eof() or not await response.content.read(1):
        return b"".join(parts), False
    response.close()
    return b"".join(parts), True


def _failure_of(error: Exception, endpoint: Endpoint) -> tuple[ErrorKind, str]:
    """Return the kind of a failure and a line about it, which never quotes headers or the path and query."""
    if (blocked := blocked_address(error)) is not None:
        return ErrorKind.BLOCKED, f"{blocked.address} may not be called: {blocked.reason}"
    if _is_too_large(error):
        return ErrorKind.TOO_LARGE, f"the status line or the headers of {endpoint.url.raw_host} are over the limit"
    for kinds, kind, text in _FAILURES:
        if isinstance(error, kinds):
            return kind, text.format(
                host=endpoint.url.raw_host, seconds=endpoint.timeout.total_seconds(), why=_why(error)
            )
    return ErrorKind.UNSENDABLE, f"the request could not be made ({type(error).__name__})"


# The first row whose classes fit decides, so the narrow ones stand first.
_FAILURES: Final[tuple[tuple[tuple[type[Exception], ...], ErrorKind, str], ...]] = (
    ((aiohttp.ClientConnectorDNSError, socket.gaierror), ErrorKind.DNS, "{host} has no address"),
    (
        (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError, ssl.SSLError),
        ErrorKind.TLS,
        "TLS with {host} failed: {why}",
    ),
    ((aiohttp.ClientConnectorError,), ErrorKind.CONNECT, "cannot connect to {host}: {why}"),
    ((TimeoutError,), ErrorKind.TIMEOUT, "no whole answer within {seconds:g} s"),
    ((aiohttp.ServerDisconnectedError,), ErrorKind.DISCONNECTED, "{host} closed the connection without an answer"),
    ((aiohttp.ClientPayloadError,), ErrorKind.DISCONNECTED, "{host} closed the connection within its answer"),
    ((aiohttp.ClientOSError,), ErrorKind.DISCONNECTED, "the connection to {host} broke: {why}"),
    ((aiohttp.InvalidURL,), ErrorKind.UNSENDABLE, "the URL cannot be dialled"),
    ((aiohttp.ClientResponseError,), ErrorKind.PROTOCOL, "what {host} answered is not HTTP"),
    ((OSError,), ErrorKind.CONNECT, "cannot connect to {host}: {why}"),
)


def _is_too_large(error: BaseException | None) -> bool:
    """Return whether aiohttp's parser gave up over a length or a number; its own error stands behind two others."""
    while error is not None:
        # aiohttp has no class of its own for the second: 3.14 raises BadHttpMessage("Too many headers received").
        if isinstance(error, LineTooLong) or (isinstance(error, BadHttpMessage) and "Too many" in error.message):
            return True
        error = error.__cause__ or error.__context__
    return False


def _why(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return str(getattr(error.certificate_error, "verify_message", "") or type(error.certificate_error).__name__)
    inner = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(inner, ssl.SSLError):
        return inner.reason or type(inner).__name__
    if isinstance(inner, OSError) and inner.errno:
        return os.strerror(inner.errno)  # its own text is asyncio's, "Connect call failed (…)"
    return type(inner).__name__


def _refused_address(error: Exception) -> str | None:
    blocked = blocked_address(error)
    return None if blocked is None else blocked.address


def _kept_request(headers: Mapping[str, str], endpoint: Endpoint) -> dict[str, str]:
    """Return the request's headers for the log, the signature and all that the subscriber set itself masked."""
    masked = {name.lower() for name in endpoint.headers} | {SIGNATURE_HEADER}
    return {name: MASKED if name.lower() in masked else value for name, value in headers.items()}


def _kept_response(headers: CIMultiDictProxy[str]) -> dict[str, str]:
    """Return the answer's headers for the log: Set-Cookie masked, of a flood only the beginning."""
    kept: dict[str, str] = {}
    room = KEPT_BYTES
    for name, value in list(headers.items())[:_NAMES_AND_VALUES_KEPT]:
        room -= len(name) + len(value)
        if room < 0:
            break
        kept[name] = MASKED if name.lower() == "set-cookie" else value.encode("utf-8", "replace").decode()
    return kept
