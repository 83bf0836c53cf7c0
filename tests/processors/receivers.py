"""Receivers of webhooks on raw sockets, healthy and hostile: the fake at the wire that stands in for a customer.

A `Receiver` reads whole requests and hands each to a script, a coroutine function that writes what it likes, HTTP or
not. When a script returns, the connection is kept for the next request, unless the script closed it.
"""

import asyncio
import itertools
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

CHUNK = b"x" * 65_536


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came; `connection` counts from 1, `nth` is its place on that connection, from 1."""

    head: bytes
    body: bytes
    connection: int
    nth: int

    @property
    def line(self) -> str:
        return self.head.split(b"\r\n", 1)[0].decode()

    @property
    def headers(self) -> dict[str, str]:
        """The headers by their names in small letters; fails when one stands there twice."""
        pairs = [line.split(": ", 1) for line in self.head.decode().split("\r\n")[1:] if line]
        found = {name.lower(): value for name, value in pairs}
        assert len(found) == len(pairs)
        return found


@dataclass(slots=True)
class Wire:
    """The connection of a request: what a script writes to; `written` counts the bytes that the socket took."""

    writer: asyncio.StreamWriter
    reader: asyncio.StreamReader
    written: int = 0

    async def write(self, data: bytes) -> None:
        """Write and wait until the socket has taken it; raises OSError when the other side is gone."""
        self.writer.write(data)
        await self.writer.drain()
        await asyncio.sleep(0)  # drain returns at once while there is room, and a flood would keep the loop to itself
        self.written += len(data)

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """End the connection with RST instead of FIN."""
        self.writer.transport.abort()

    async def until_gone(self) -> None:
        """Return when the other side has closed."""
        with suppress(OSError):
            while await self.reader.read(65_536):
                pass


Script = Callable[[Request, Wire], Awaitable[None]]


@dataclass
class Receiver:
    """Listens on loopback for as long as it is entered."""

    script: Script
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    wires: list[Wire] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Condition()
        self._numbers = itertools.count(1)
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self.tls, backlog=1024)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def until(self, reached: Callable[[], bool], *, within_s: float = 30) -> None:
        """Return when `reached` holds, which is looked at when a connection or a request comes or goes."""
        async with asyncio.timeout(within_s), self._changed:
            await self._changed.wait_for(reached)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self._tasks)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/hooks?of=us"

    @property
    def written(self) -> int:
        return sum(wire.written for wire in self.wires)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        wire = Wire(writer, reader)
        self.wires.append(wire)
        try:
            await self._tell()
            await self._serve(wire, next(self._numbers))
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the other side left, or the test is over
        finally:
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()
            self._tasks.discard(task)
            with suppress(asyncio.CancelledError):
                await self._tell()

    async def _serve(self, wire: Wire, connection: int) -> None:
        for nth in itertools.count(1):
            head = await wire.reader.readuntil(b"\r\n\r\n")
            length = next(
                (
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                ),
                0,
            )
            request = Request(head[:-4], await wire.reader.readexactly(length), connection, nth)
            self.requests.append(request)
            await self._tell()
            await self.script(request, wire)
            if wire.writer.is_closing():
                return


def answer(status: int = 204, *headers: str, body: bytes = b"") -> bytes:
    """Return an HTTP/1.1 answer; it has a Content-Length unless `headers` say how long it is."""
    lines = [f"HTTP/1.1 {status} Something", *headers]
    given = any(line.lower().startswith(("content-length", "transfer-encoding")) for line in headers)
    if status != 204 and not given:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def answers(status: int = 204, *headers: str, body: bytes = b"") -> Script:
    """Answer every request alike and keep the connection."""
    return writes(answer(status, *headers, body=body))


def writes(data: bytes, *, then_close: bool = False) -> Script:
    """Write these bytes, whatever they are."""

    async def script(request: Request, wire: Wire) -> None:
        await wire.write(data)
        if then_close:
            wire.close()

    return script


def hangs(after: bytes = b"") -> Script:
    """Write the beginning of an answer, then nothing, for as long as the other side stays."""

    async def script(request: Request, wire: Wire) -> None:
        await wire.write(after)
        await wire.until_gone()

    return script


def drips(data: bytes, *, every_s: float, after: bytes = b"") -> Script:
    """Write one byte at a time, for ever."""

    async def script(request: Request, wire: Wire) -> None:
        await wire.write(after)
        for byte in itertools.cycle(data):
            await asyncio.sleep(every_s)
            await wire.write(bytes([byte]))

    return script


def floods(piece: bytes, *, after: bytes = b"", pieces: int | None = None) -> Script:
    """Write `piece` again and again, as fast as it is taken, for ever unless `pieces` says how often."""

    async def script(request: Request, wire: Wire) -> None:
        await wire.write(after)
        for _ in itertools.count() if pieces is None else range(pieces):
            await wire.write(piece)

    return script


def closes() -> Script:
    """Close every connection when its request is there, without a word."""

    async def script(request: Request, wire: Wire) -> None:
        wire.close()

    return script


def resets() -> Script:
    """The same with RST."""

    async def script(request: Request, wire: Wire) -> None:
        wire.reset()

    return script


def closes_from(nth: int, *, before_that: bytes = b"HTTP/1.1 204 No Content\r\n\r\n") -> Script:
    """Answer the first requests of a connection, and close it without a word when the nth is there."""

    async def script(request: Request, wire: Wire) -> None:
        if request.nth >= nth:
            wire.close()
        else:
            await wire.write(before_that)

    return script
