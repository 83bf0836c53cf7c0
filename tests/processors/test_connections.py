"""Connections that are kept, and which are not: nobody is answered with what was meant for another request."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from yarl import URL

from processors import connections as module
from processors.answers import Answer
from processors.connections import Connections
from processors.dialling import Dialler
from processors.judging import Judge
from processors.requests import request_to, target_of
from tests.processors.receivers import Receiver, Request, Script, Wire, answer, answers, writes

pytestmark = pytest.mark.timeout(30)


@pytest.fixture
async def connections() -> AsyncIterator[Connections]:
    opened = Connections(Dialler(Judge(allow_loopback=True)), most_idle=2)
    yield opened
    await opened.close()


async def post(connections: Connections, url: str, body: bytes = b"{}") -> Answer:
    target = target_of(URL(url))
    return await connections.exchange(target, (), request_to(target, {}, body), within_s=5)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(answers(200, "Connection: close", body=b"x"), id="the receiver says so"),
        pytest.param(writes(answer(200, body=b"x") + answer(500, body=b"y")), id="two answers at once"),
        pytest.param(writes(answer(200, body=b"x") + b"HTTP"), id="the beginning of another answer"),
        pytest.param(writes(b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx"), id="HTTP/1.0"),
        pytest.param(
            writes(answer(200, "Transfer-Encoding: chunked") + b"1\r\nx\r\n0\r\n\r\n" + answer(500)), id="after chunks"
        ),
    ],
)
async def test_a_connection_is_not_used_again(connections: Connections, script: Script) -> None:
    async with Receiver(script) as receiver:
        for number in range(1, 4):
            found = await post(connections, receiver.url)
            assert (found.status, found.body) == (200, b"x")
            assert receiver.connections == number


async def test_what_comes_unasked_ends_the_connection(connections: Connections) -> None:
    async def script(request: Request, wire: Wire) -> None:
        await wire.write(answer(200, body=b"asked"))
        if request.connection == 1:
            await asyncio.sleep(0.05)
            await wire.write(answer(500, body=b"not asked"))

    async with Receiver(script) as receiver:
        assert (await post(connections, receiver.url)).body == b"asked"
        await receiver.until(lambda: not receiver.open)
        assert (await post(connections, receiver.url)).body == b"asked"
    assert receiver.connections == 2


async def test_an_answer_before_the_request_was_read_ends_the_connection(connections: Connections) -> None:
    """What is left of the request would be read as the beginning of the next one."""
    heads: list[bytes] = []
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        heads.append(await reader.readuntil(b"\r\n"))
        writer.write(answer(413))
        await writer.drain()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1024)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        for _ in range(2):
            assert (await post(connections, url, b"x" * (32 << 20))).status == 413
        for writer in writers:
            writer.transport.abort()
    assert heads == [b"POST / HTTP/1.1\r\n"] * 2


async def test_no_more_are_kept_than_may_be(connections: Connections) -> None:
    waiting = asyncio.Event()

    async def script(request: Request, wire: Wire) -> None:
        await waiting.wait()
        await wire.write(answer(204))

    async with Receiver(script) as receiver:
        many = [asyncio.create_task(post(connections, receiver.url)) for _ in range(5)]
        await receiver.until(lambda: receiver.connections == 5)
        waiting.set()
        await asyncio.gather(*many)
        await receiver.until(lambda: receiver.open == 2)


async def test_an_idle_connection_is_closed_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEPALIVE_S", 0.1)
    connections = Connections(Dialler(Judge(allow_loopback=True)), most_idle=2)
    async with Receiver(answers(204)) as receiver:
        await post(connections, receiver.url)
        assert receiver.open == 1
        await receiver.until(lambda: not receiver.open)
        await post(connections, receiver.url)
        assert receiver.connections == 2
        await connections.close()
        await receiver.until(lambda: not receiver.open)


async def test_the_newest_is_used_first_and_closing_closes_all(connections: Connections) -> None:
    async with Receiver(answers(204)) as receiver:
        await asyncio.gather(post(connections, receiver.url), post(connections, receiver.url))
        await post(connections, receiver.url)
        assert receiver.connections == 2
        await connections.close()
        await receiver.until(lambda: not receiver.open)
