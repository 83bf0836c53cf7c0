"""Receivers that do what no receiver should, each on a port of its own, served from a thread beside the run."""

import asyncio
import gzip
import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from schemas.error_kinds import ErrorKind
from tests.processors.certificates import Authority, new_authority
from tests.processors.receivers import (
    CHUNK,
    Receiver,
    Request,
    Script,
    Wire,
    answer,
    answers,
    closes,
    drips,
    floods,
    hangs,
    resets,
    writes,
)

_GIGABYTE: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Hostile:
    """A receiver and what an attempt to it must come to: `kind` None is success, `status` None no answer."""

    name: str
    url: str
    kind: ErrorKind | None
    status: int | None = None


def _half_closes(after: bytes) -> Script:
    """Write, shut down the sending side, and go on reading."""

    async def script(request: Request, wire: Wire) -> None:
        await wire.write(after)
        wire.writer.write_eof()
        await wire.until_gone()

    return script


def _resets_after(data: bytes) -> Script:
    async def script(request: Request, wire: Wire) -> None:
        await wire.write(data)
        await asyncio.sleep(0.05)
        wire.reset()

    return script


_BOMB: Final = gzip.compress(b"\0" * (64 << 20), 9)
_PLAIN: Final[tuple[tuple[str, Script, ErrorKind | None, int | None], ...]] = (
    ("410", answers(410), ErrorKind.HTTP, 410),
    ("429", answers(429, "Retry-After: 3600"), ErrorKind.HTTP, 429),
    ("503 with a date", answers(503, "Retry-After: Fri, 31 Dec 2100 23:59:59 GMT"), ErrorKind.HTTP, 503),
    ("301", answers(301, "Location: http://169.254.169.254/latest"), ErrorKind.HTTP, 301),
    ("302", answers(302, "Location: /elsewhere"), ErrorKind.HTTP, 302),
    ("303", answers(303, "Location: /elsewhere"), ErrorKind.HTTP, 303),
    ("307", answers(307, "Location: /elsewhere"), ErrorKind.HTTP, 307),
    ("308", answers(308, "Location: /elsewhere"), ErrorKind.HTTP, 308),
    ("1 GB body", floods(CHUNK, after=answer(200, f"Content-Length: {_GIGABYTE}"), pieces=1 << 14), None, 200),
    ("1 GB of error", floods(CHUNK, after=answer(500, f"Content-Length: {_GIGABYTE}")), ErrorKind.HTTP, 500),
    ("body without end", floods(CHUNK, after=b"HTTP/1.1 200 OK\r\n\r\n"), None, 200),
    ("gzip bomb", answers(200, "Content-Encoding: gzip", body=_BOMB), None, 200),
    ("header flood", floods(b"X-A: y\r\n" * 1000, after=b"HTTP/1.1 200 OK\r\n"), ErrorKind.TOO_LARGE, None),
    ("endless header", floods(CHUNK, after=b"HTTP/1.1 200 OK\r\nX-A: "), ErrorKind.TOO_LARGE, None),
    ("interim flood", floods(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000), ErrorKind.TOO_LARGE, None),
    ("drips headers", drips(b"HTTP/1.1 200 OK\r\nX: y\r\n", every_s=0.2), ErrorKind.TIMEOUT, None),
    ("drips a body", drips(b"x", every_s=0.2, after=b"HTTP/1.1 200 OK\r\n\r\n"), ErrorKind.TIMEOUT, None),
    ("hangs", hangs(), ErrorKind.TIMEOUT, None),
    ("closes", closes(), ErrorKind.DISCONNECTED, None),
    ("resets", resets(), ErrorKind.DISCONNECTED, None),
    (
        "reset mid-body",
        _resets_after(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello"),
        ErrorKind.DISCONNECTED,
        None,
    ),
    ("half-closed before an answer", _half_closes(b""), ErrorKind.DISCONNECTED, None),
    (
        "half-closed mid-body",
        _half_closes(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello"),
        ErrorKind.DISCONNECTED,
        None,
    ),
    ("half-closed after its answer", _half_closes(answer(200, body=b"hello")), None, 200),
    ("garbage", writes(bytes(range(256))), ErrorKind.PROTOCOL, None),
    ("SSH", writes(b"SSH-2.0-OpenSSH_9.6\r\n"), ErrorKind.PROTOCOL, None),
)


@contextmanager
def hostile_receivers(folder: Path) -> Iterator[tuple[list[Hostile], Path]]:
    """Serve all of them while the block runs; yield them and the file of the authority that a worker is to trust."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = new_authority(folder)
    trusted = folder / "authority.pem"
    trusted.write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    serving = _Serving(authority)
    thread = threading.Thread(target=lambda: asyncio.run(serving.run()), name="hostile", daemon=True)
    thread.start()
    try:
        assert serving.ready.wait(20.0), "the hostile receivers did not start"
        yield serving.found, trusted
    finally:
        serving.end()
        thread.join(20.0)


class _Serving:
    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self.ready = threading.Event()
        self.found: list[Hostile] = []

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)

    async def run(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        async with AsyncExitStack() as stack:
            for name, script, kind, status in _PLAIN:
                receiver = await stack.enter_async_context(Receiver(script))
                self.found.append(Hostile(name, receiver.url, kind, status))
            good = await stack.enter_async_context(Receiver(answers(204), tls=self._authority.serving()))
            self.found.append(Hostile("TLS as it should be", good.url, None, 204))
            for name, context in self._broken().items():
                receiver = await stack.enter_async_context(Receiver(answers(204), tls=context))
                self.found.append(Hostile(f"TLS: {name}", receiver.url, ErrorKind.TLS))
            for name, script, kind in (
                ("garbage in place of TLS", _at_once(b"\x00\x01\x02" * 100), ErrorKind.TLS),
                ("an alert in place of TLS", _at_once(b"\x15\x03\x01\x00\x02\x02\x46"), ErrorKind.TLS),
                ("a connection closed in place of TLS", _at_once(b""), ErrorKind.TLS),
                ("plain HTTP in place of TLS", _at_once(b"HTTP/1.1 400 Bad Request\r\n\r\n"), ErrorKind.TLS),
            ):
                server = await asyncio.start_server(script, "127.0.0.1", 0)
                stack.callback(server.close)
                self.found.append(Hostile(name, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/", kind))
            deaf = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=4096))
            port = deaf.getsockname()[1]
            self.found.append(Hostile("a handshake that hangs", f"https://127.0.0.1:{port}/", ErrorKind.TIMEOUT))
            self.ready.set()
            await self._over.wait()

    def _broken(self) -> dict[str, ssl.SSLContext]:
        authority = self._authority
        old = authority.serving()
        old.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # that is what it is here for
            old.minimum_version, old.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_1
        return {
            "expired": authority.serving(age=timedelta(days=11)),
            "not yet valid": authority.serving(age=timedelta(days=-1)),
            "wrong host": authority.serving(name=x509.DNSName("other.example")),
            "self-signed": authority.serving(own_signature=True),
            "unknown authority": new_authority(authority.folder).serving(),
            "old protocol": old,
        }


def _at_once(data: bytes):  # type: ignore[no-untyped-def]
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(data)
        writer.close()

    return serve
