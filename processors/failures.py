"""What a failed exchange is called in the log: a kind, and a line that never quotes headers or the path and query."""

import os
import socket
import ssl
from typing import Final

from processors.answers import Disconnected, HandshakeFailed, NotHttp, TooLarge
from processors.endpoints import Endpoint
from processors.judging import blocked_address
from processors.outcomes import ErrorKind

# All that an exchange can raise; whatever else comes out of one is a bug.
EXCHANGE_FAILURES: Final = (
    Disconnected,
    HandshakeFailed,
    NotHttp,
    TooLarge,
    OSError,  # TimeoutError, AddressBlocked and socket.gaierror are some
    ValueError,  # UnicodeError and UnsendableRequest are some
)


def failure_of(error: Exception, endpoint: Endpoint) -> tuple[ErrorKind, str]:
    """Return the kind of a failure and a line about it."""
    if (blocked := blocked_address(error)) is not None:
        return ErrorKind.BLOCKED, f"{blocked.address} may not be called: {blocked.reason}"
    host = endpoint.url.raw_host  # as it was dialled; to decode a strange one may raise
    if isinstance(error, Disconnected):
        return ErrorKind.DISCONNECTED, _how_it_ended(error, host)
    if isinstance(error, TimeoutError) and not error.errno:  # with one it is the system's, of a connect
        return ErrorKind.TIMEOUT, f"no whole answer within {endpoint.timeout.total_seconds():g} s"
    for kinds, kind, text in _FAILURES:
        if isinstance(error, kinds):
            return kind, text.format(host=host, why=_why(error))
    return ErrorKind.UNSENDABLE, f"the request could not be made ({type(error).__name__})"


def refused_address(error: Exception) -> str | None:
    """Return the address that the guard refused, if that is what went wrong."""
    blocked = blocked_address(error)
    return None if blocked is None else blocked.address


# The first row whose class fits decides, so the narrow ones stand first.
_FAILURES: Final[tuple[tuple[type[Exception], ErrorKind, str], ...]] = (
    (TooLarge, ErrorKind.TOO_LARGE, "the status line or the headers of {host} are over the limit"),
    (NotHttp, ErrorKind.PROTOCOL, "what {host} answered is not HTTP"),
    (HandshakeFailed, ErrorKind.TLS, "TLS with {host} failed: {why}"),
    (socket.gaierror, ErrorKind.DNS, "{host} has no address"),
    (OSError, ErrorKind.CONNECT, "cannot connect to {host}: {why}"),
)


def _how_it_ended(error: Disconnected, host: str | None) -> str:
    if error.__cause__ is not None:
        return f"the connection to {host} broke: {_why(error)}"
    if error.within_answer:
        return f"{host} closed the connection within its answer"
    return f"{host} closed the connection without an answer"


def _why(error: BaseException) -> str:
    inner = error.__cause__ if isinstance(error, Disconnected | HandshakeFailed) else error
    if isinstance(inner, ssl.SSLCertVerificationError):
        return inner.verify_message or type(inner).__name__
    if isinstance(inner, ssl.SSLError):
        return inner.reason or type(inner).__name__
    if isinstance(inner, OSError) and inner.errno:
        return os.strerror(inner.errno)  # its own text is asyncio's, "Connect call failed (…)"
    return type(inner).__name__
