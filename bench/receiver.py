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


class Receiving(asyncio.Protocol):
    """One connection. Requests come one after the other, with Content-Length, as HTTP clients send them."""

    arrivals: list[tuple[str, str, float]] = []  # noqa: RUF012 - one list for all connections on purpose
    hanging: set[bytes] = set()  # noqa: RUF012 - likewise

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not its subclasses
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            length = int(_header(head, b"content-length") or 0)
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        method, path, _ = head.split(b"\r\n", 1)[0].split(b" ", 2)
        if path in self.hanging:
            return
        if method == b"POST":
            webhook_id = (_header(head, b"webhook-id") or b"").decode()
            self.arrivals.append((webhook_id, path.decode(), time.time()))
            self._transport.write(OK)
            return
        if path.startswith(b"/hang/"):
            self.hanging.clear()
            self.hanging.update(b"/%d" % number for number in range(int(path[6:])))
            body = b""
        elif path == b"/arrivals":
            body = orjson.dumps(self.arrivals)
            self.arrivals.clear()
        else:
            body = str(len(self.arrivals)).encode()
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


def _header(head: bytes, name: bytes) -> bytes | None:
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
