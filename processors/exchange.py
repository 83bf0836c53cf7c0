"""One HTTP/1.1 request on one connection and its answer, read up to limits (RFC 9112).

Own code in place of a library for a measured reason: an exchange costs the worker's loop 10–17 µs here, 86–122 µs with
aiohttp, and 20–31 µs (49–79 µs of the process) with pyreqwest, in which the guard has no place (docs/performance.md).
llhttp does the parsing, as in Node, aiohttp and uvicorn; what stands here is when to stop.
"""

import asyncio
from typing import Final, cast

from httptools import HttpParserError, HttpResponseParser

from processors.answers import Answer, Disconnected, Headers, NotHttp, StaleConnection, TooLarge
from schemas.errors import HooklineError

MOST_BODY_BYTES: Final = 64 * 1024  # read of an answer, and no further
LARGEST_HEADER_BYTES: Final = 16 * 1024  # one header's value, and the reason in the status line
LARGEST_HEAD_BYTES: Final = 64 * 1024  # all of them
MOST_HEADERS: Final = 128
MOST_INTERIM: Final = 10  # 1xx (RFC 9110, 15.2): an answer has none or one; 103 Early Hints may come a few times
# Sizes and extensions of chunks, trailers. The most body in chunks of one byte each has 320 KB of it.
MOST_FRAMING_BYTES: Final = 1024 * 1024
_SWITCHING_PROTOCOLS: Final = 101
_VERSIONS: Final = frozenset({"1.0", "1.1"})


class _Enough(Exception):
    """Raised within a callback when nothing of what follows matters."""


class Connection(asyncio.Protocol):
    """A connection to a receiver: one exchange at a time.

    What comes while none is under way was not asked for and ends the connection: it would be taken for the answer to
    the next request.
    """

    __slots__ = (
        "_body",
        "_failure",
        "_headers",
        "_headers_of_head",
        "_interim",
        "_is_kept",
        "_is_whole",
        "_loop",
        "_may_be_kept",
        "_parser",
        "_read_bytes",
        "_status",
        "_transport",
        "_truncated",
        "_waiting",
        "address",
        "idle_since",
    )

    def __init__(self) -> None:
        """Be the protocol of a connection that is about to be made."""
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._is_kept = False
        self._headers: Headers = []
        self.address = ""
        self.idle_since = 0.0
        self._begin()
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        # As lenient with receivers as aiohttp is by the same parser; none of it moves where an answer ends.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )

    @property
    def is_usable(self) -> bool:
        """Whether the last exchange left it fit for another one, as far as can be told from here."""
        return self._may_be_kept and self._transport is not None and not self._transport.is_closing()

    async def exchange(self, request: bytes, deadline: float) -> Answer:
        """Send a whole request and return its answer; raises TimeoutError at `deadline`, a time of the loop.

        Raises StaleConnection, Disconnected, NotHttp or TooLarge too. Whoever is cancelled leaves it closed.
        """
        if self._transport is None:
            raise self._lost()
        self._begin()
        self._waiting = self._loop.create_future()
        timer = self._loop.call_at(deadline, self._expire)
        self._transport.write(request)
        try:
            return await self._waiting
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            timer.cancel()
            self._waiting = None

    def close(self) -> None:
        """Close it at once, whatever is on its way."""
        self._may_be_kept = False
        if self._transport is not None:
            self._transport.abort()

    def _begin(self) -> None:
        self._status = 0
        self._headers.clear()
        self._headers_of_head = 0
        self._interim = 0
        self._body: bytes | bytearray = b""
        self._truncated = False
        self._read_bytes = 0
        self._is_whole = False
        self._may_be_kept = False
        self._failure: HooklineError | None = None

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where the connection leads; uvloop's transports are no subclasses of asyncio's."""
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.address = f"{peer[0]}:{peer[1]}" if peer else ""

    def data_received(self, data: bytes) -> None:
        """Parse what came and settle the exchange when that is the end of it."""
        if self._waiting is None or self._waiting.done() or self._parser is None:
            self.close()
            return
        self._read_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserError:  # our own _Enough too: the parser says only that a callback failed
            self._may_be_kept = False
            if not (self._is_whole or self._failure):
                self._failure = NotHttp("what came is no HTTP/1.x answer")
        if self._failure is not None:
            self._fail(self._failure)
        elif self._is_whole:
            self._succeed()
        elif self._read_bytes - len(self._body) > (MOST_FRAMING_BYTES if self._status else LARGEST_HEAD_BYTES):
            self._fail(TooLarge("what is not body is over the limit"))

    def connection_lost(self, error: Exception | None) -> None:
        """Settle the exchange by what had come until the connection ended."""
        self._transport = self._parser = None  # the parser and this object hold each other
        if self._waiting is None or self._waiting.done():
            return
        if error is None and self._ends_with_its_connection():
            self._succeed()
            return
        lost = self._lost()
        lost.__cause__ = error
        self._waiting.set_exception(lost)

    # What the parser calls

    def on_message_begin(self) -> None:
        """Stop when something comes behind the answer, which then is the last one of this connection."""
        if self._is_whole:
            raise _Enough

    def on_status(self, reason: bytes) -> None:
        """Refuse a long reason."""
        if len(reason) > LARGEST_HEADER_BYTES:
            self._give_up()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, or a trailer; how many and how large is judged when they are complete."""
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Judge the head of an answer, or of an interim one, which comes to nothing."""
        status = self._read_status()
        if status < 200 and status != _SWITCHING_PROTOCOLS:
            self._interim += 1
            self._headers.clear()
            if self._interim > MOST_INTERIM:
                self._give_up()
            return
        self._status = status
        self._headers_of_head = len(self._headers)
        if self._is_head_too_large():
            self._give_up()

    def on_body(self, piece: bytes) -> None:
        """Keep a piece of the body, and stop when there is more than is read of one."""
        if not self._body:
            self._body = piece
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += piece
        if len(self._body) > MOST_BODY_BYTES:
            self._truncated = self._is_whole = True
            raise _Enough

    def on_message_complete(self) -> None:
        """Note that the answer is whole."""
        if self._status and not self._is_whole:
            self._is_whole = True
            self._may_be_kept = self._parser is not None and self._parser.should_keep_alive()

    def _read_status(self) -> int:
        parser = self._parser
        if parser is None:  # cannot be: it is the parser that called
            raise _Enough
        status = parser.get_status_code()
        # llhttp lets HTTP/0.9, HTTP/2.0 and status 0 pass. A connection does not change its version.
        if status < 100 or not (self._is_kept or parser.get_http_version() in _VERSIONS):
            self._failure = NotHttp("a version or a status that is not HTTP/1.x's")
            raise _Enough
        return status

    def _is_head_too_large(self) -> bool:
        if len(self._headers) > MOST_HEADERS:
            return True
        if self._read_bytes <= LARGEST_HEADER_BYTES:
            return False
        lengths = [(len(name) + len(value), len(value)) for name, value in self._headers]
        return (
            sum(both for both, _ in lengths) > LARGEST_HEAD_BYTES
            or max((value for _, value in lengths), default=0) > LARGEST_HEADER_BYTES
        )

    def _ends_with_its_connection(self) -> bool:
        """Return whether what came is an answer without a length (RFC 9112, 6.3, the last case)."""
        if not self._status:
            return False
        framing = {name.lower(): value.lower() for name, value in self._headers[: self._headers_of_head]}
        return b"content-length" not in framing and b"chunked" not in framing.get(b"transfer-encoding", b"")

    # How an exchange ends

    def _give_up(self) -> None:
        self._failure = TooLarge("the status line or the headers are over the limit")
        raise _Enough

    def _succeed(self) -> None:
        answer = Answer(
            status=self._status,
            headers=self._headers[: self._headers_of_head],
            body=bytes(self._body[:MOST_BODY_BYTES]),
            truncated=self._truncated,
            address=self.address,
        )
        transport = self._transport
        # A receiver may answer before it has read everything: what is left of this request would begin the next one.
        if transport is not None and (not self._may_be_kept or transport.get_write_buffer_size()):
            self.close()
        self._is_kept = True
        if self._waiting is not None:
            self._waiting.set_result(answer)

    def _expire(self) -> None:
        self._fail(TimeoutError())

    def _fail(self, error: Exception) -> None:
        self.close()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)

    def _lost(self) -> HooklineError:
        if self._is_kept and not self._read_bytes:
            return StaleConnection("a kept connection had ended")
        return Disconnected(within_answer=self._status > 0)
