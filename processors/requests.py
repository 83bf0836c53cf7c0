"""The bytes of a POST, and where it goes: HTTP/1.1's framing is written here and nowhere else."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from yarl import URL

from processors.judging import AddressBlocked
from schemas.errors import HooklineError
from schemas.urls import DEFAULT_PORTS

# They say where a request ends and whose it is: a subscriber's own would be read against ours (RFC 9112, 6.3, 11.2).
_OURS: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "trailer", "te"})
_MOST_TARGETS: Final = 20_000


class UnsendableRequest(HooklineError, ValueError):
    """A header or the URL cannot be written as HTTP."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes; `beginning` is its first line and Host, as text.

    `host` is a name in ASCII or an address without brackets.
    """

    is_tls: bool
    host: str
    port: int
    beginning: str


@lru_cache(_MOST_TARGETS)
def target_of(url: URL) -> Target:
    """Return where a POST to an absolute http or https URL goes; raises AddressBlocked for another."""
    host, port = url.raw_host, url.port
    if not host:
        raise UnsendableRequest("a URL without a host")
    if url.scheme not in DEFAULT_PORTS or not port:
        raise AddressBlocked(host, f"by {url.scheme}, not https")
    # A name's trailing dot is DNS's business: certificates and virtual hosts are without it (RFC 6066, 3).
    named = f"[{host}]" if ":" in host else host.rstrip(".")
    at = named if url.is_default_port() else f"{named}:{port}"
    return Target(url.scheme == "https", host, port, f"POST {url.raw_path_qs} HTTP/1.1\r\nHost: {at}\r\n")


def request_to(target: Target, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return a whole request. Of headers whose names differ in case only the last one counts.

    Raises UnsendableRequest for a header that would break out of its line, UnicodeError for what is no UTF-8.
    """
    if len(distinct := {name.lower(): name for name in headers}) < len(headers) or not _OURS.isdisjoint(distinct):
        headers = {name: headers[name] for low, name in distinct.items() if low not in _OURS}
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers) or "\0" in lines:
        raise UnsendableRequest("a header holds a line break or NUL")
    return f"{target.beginning}{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body
