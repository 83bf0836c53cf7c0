"""A receiver that costs as little as one can, in its own process: it notes when each webhook came.

`python -m bench.receiver PORT_FILE` serves on a free port of 127.0.0.1 and writes the port to the file. It answers
every POST with 200 and keeps (webhook-id, path, arrival) in memory; `GET /arrivals` returns them as JSON and
forgets them, `GET /count` how many there are. After `GET /hang/20` the paths `/0` to `/19` are not answered any more,
until `GET /hang/0`; what was left without an answer stays so.
"""

import asyncio
import sys
import time
from pathlib import Path
from typing import cast

import orjson
import uvloop

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Requests(asyncio.Protocol):
    """One connection. Requests come one after the other, with Content-Length, as HTTP clients send them."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not its subclasses
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            length = int(header(head, b"content-length") or 0)
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            self.answer(head, body)

    def answer(self, head: bytes, body: bytes) -> None:
        """Answer a request; `head` is its first line and its headers."""
        raise NotImplementedError


class Receiving(Requests):
    """Notes each webhook and answers at once."""

    arrivals: list[tuple[str, str, float]] = []  # noqa: RUF012 - one list for all connections on purpose
    hanging: set[bytes] = set()  # noqa: RUF012 - likewise

    def answer(self, head: bytes, body: bytes) -> None:  # noqa: ARG002 - what is in it does not matter here
        """Answer a request, those for the figures too."""
        method, path, _ = head.split(b"\r\n", 1)[0].split(b" ", 2)
        if path in self.hanging:
            return
        if method == b"POST":
            webhook_id = (header(head, b"webhook-id") or b"").decode()
            self.arrivals.append((webhook_id, path.decode(), time.time()))
            self._transport.write(OK)
            return
        if path.startswith(b"/hang/"):
            self.hanging.clear()
            self.hanging.update(b"/%d" % number for number in range(int(path[6:])))
            shown = b""
        elif path == b"/arrivals":
            shown = orjson.dumps(self.arrivals)
            self.arrivals.clear()
        else:
            shown = str(len(self.arrivals)).encode()
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(shown), shown))


def header(head: bytes, name: bytes) -> bytes | None:
    """Return a header's value, None when there is none of this name (given in lower case)."""
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip()
    return None


async def _serve(port_file: Path) -> None:
    server = await asyncio.get_running_loop().create_server(Receiving, "127.0.0.1", 0)
    port_file.write_text(str(server.sockets[0].getsockname()[1]))  # noqa: ASYNC240 - once, before it serves
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(Path(sys.argv[1])))
