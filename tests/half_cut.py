"""A wire that lags behind PostgreSQL: its last words arrive, and the end of the connection only later."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit


@asynccontextmanager
async def half_cut(database_url: str) -> AsyncIterator[str]:
    """Forward to the server of `database_url`; yield the URL that goes this way.

    When the server ends a connection its client learns what it said, but the connection stays open until the client
    closes it. A wire without this delay shows the same for some microseconds.
    """
    parts = urlsplit(database_url)

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(parts.hostname, parts.port)
        answers = asyncio.create_task(copy(from_server, writer))
        try:
            await copy(reader, to_server)
        except OSError:
            await reader.read(-1)  # what the client still sends to a server that is gone
        finally:
            answers.cancel()
            to_server.close()
            writer.close()

    async with await asyncio.start_server(forward, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        where = f"{parts.username}:{parts.password}@127.0.0.1:{port}"
        yield urlunsplit(parts._replace(netloc=where))
