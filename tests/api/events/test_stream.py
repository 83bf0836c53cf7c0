"""A stream of lines: published as they come, a result for each, and nothing that one bad line stops."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
from confluent_kafka import Consumer
from hypothesis import given
from hypothesis import strategies as st

from api.app import create_app
from api.events.streaming import Lines
from producers.settings import KafkaSettings
from tests.api.conftest import NO_DATABASE_URL, TOKEN, client_of, settings_of
from tests.api.events.reading import next_of
from tests.api.limits.test_classes import limit
from tests.api.problem import problem_of
from tests.api.tokens.making import as_token, made

PATH = "/api/v1/events/stream"
NDJSON = {"Content-Type": "application/x-ndjson"}
EVENT: dict[str, Any] = {"type": "hookline.test", "data": {}}
CLOUD: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "/s", "type": "hookline.test", "data": {}}


def lines(*values: Any) -> bytes:
    return b"".join(orjson.dumps(value) + b"\n" for value in values)


async def streamed(api: httpx.AsyncClient, content: Any, **headers: str) -> tuple[list[Any], dict[str, Any]]:
    answer = await api.post(PATH, content=content, headers={**NDJSON, **headers})
    assert answer.status_code == 200, answer.text
    *results, last = [orjson.loads(line) for line in answer.content.splitlines()]
    return results, last["summary"]


@pytest.mark.kafka
@pytest.mark.postgres
async def test_each_line_has_a_result_and_a_bad_one_stops_nobody(
    posting_api: httpx.AsyncClient, events: Consumer
) -> None:
    bad = [b"{", b'{"type": "no.such", "data": {}}', b'{"specversion": "1.0"}', b"5", b'{"id": "\\u0000"}']
    long = lines({"type": "hookline.test", "data": {"text": "x" * 300_000}})
    body = lines(EVENT, {**CLOUD, "time": "2026-01-31T12:00:00Z"}) + b"\n" + b"\n".join(bad) + b"\n" + long
    body += lines(CLOUD | {"id": "2"}) + orjson.dumps(EVENT)  # the last one without a line break

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 10_007):
            yield body[start : start + 10_007]

    results, summary = await streamed(posting_api, pieces())
    assert [result["line"] for result in results] == [1, 2, 4, 5, 6, 7, 8, 9, 10, 11]
    assert [result["error"]["status"] for result in results[2:8]] == [400, 422, 422, 422, 422, 413]
    found = [result["error"].get("errors", [{}])[0].get("pointer") for result in results[2:7]]
    assert found == [None, "/type", "/id", "", "/id"]
    published = [results[place]["id"] for place in (0, 1, 8, 9)]
    assert {next_of(events)[0].id for _ in published} == set(published)
    assert summary == {"lines": 10, "published": 4, "refused": 6, "failed": 0, "stopped": None}
    again, _ = await streamed(posting_api, lines({**CLOUD, "time": "2026-01-31T12:00:00Z"}))
    assert again[0]["id"] == published[1]


@pytest.mark.kafka
async def test_a_thousand_lines_of_one_key_keep_their_order(kafka_with_events: KafkaSettings, events: Consumer) -> None:
    async with client_of(settings_of(NO_DATABASE_URL), kafka_with_events) as api:
        results, summary = await streamed(api, lines(*[{**EVENT, "key": "one"}] * 1000))
    assert summary["published"] == 1000
    assert [next_of(events)[0].id for _ in range(1000)] == [result["id"] for result in results]


@pytest.mark.kafka
async def test_who_hangs_up_has_lost_nothing_that_was_whole(kafka_with_events: KafkaSettings, events: Consumer) -> None:
    app = create_app(settings_of(NO_DATABASE_URL), kafka_with_events)
    pieces: list[dict[str, Any]] = [
        {"type": "http.request", "body": lines(EVENT) + b'{"type": "hookline.te', "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, Any]:
        return pieces.pop(0)

    async def send(_: Any) -> None:
        raise AssertionError("nobody is there to be answered")

    scope = {
        "type": "http", "method": "POST", "path": PATH, "query_string": b"", "client": ("127.0.0.1", 1),
        "headers": [(b"authorization", f"Bearer {TOKEN}".encode()), (b"content-type", b"application/x-ndjson")],
        "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "server": None, "root_path": "",
    }  # fmt: skip
    async with app.router.lifespan_context(app):
        await app(scope, receive, send)
        assert next_of(events)[0].type == "hookline.test"


@pytest.mark.kafka
@pytest.mark.postgres
async def test_the_stream_is_read_no_faster_than_the_limit_allows(
    posting_api: httpx.AsyncClient, shared_url: str
) -> None:
    token = await made(posting_api, scopes=["write"])
    await limit(posting_api, shared_url, publishing=8)
    began = asyncio.get_running_loop().time()
    results, summary = await streamed(posting_api, lines(*[EVENT] * 20), **as_token(token))
    assert summary["published"] == len(results) == 20
    assert asyncio.get_running_loop().time() - began >= 1


@pytest.mark.postgres
async def test_without_kafka_nothing_is_read_in_vain(api: httpx.AsyncClient) -> None:
    async with asyncio.timeout(30):
        problem_of(await api.post(PATH, content=lines(EVENT), headers=NDJSON), 503)


@pytest.mark.kafka
async def test_what_fails_later_ends_the_stream_and_says_so(kafka_with_events: KafkaSettings) -> None:
    async with client_of(settings_of(NO_DATABASE_URL), kafka_with_events) as api:

        async def pieces() -> AsyncIterator[bytes]:
            yield lines(EVENT)
            yield lines({**EVENT, "id": "needs the database"}, EVENT)
            yield lines(EVENT)

        results, summary = await streamed(api, pieces())
    assert [("id" in result, result["line"]) for result in results] == [(True, 1), (False, 2), (True, 3)]
    assert (summary["lines"], summary["published"], summary["failed"]) == (3, 2, 1)
    assert "database" in summary["stopped"]


async def test_a_stream_has_its_limits() -> None:
    settings = settings_of(NO_DATABASE_URL, largest_event_bytes=1024, largest_stream_bytes=4096)
    async with client_of(settings) as api:
        results, summary = await streamed(api, b"x" * 2000 + b"\n5\n")
        assert [result["error"]["status"] for result in results] == [413, 422]

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(5):
                yield b"5\n" * 500

        results, summary = await streamed(api, pieces())
        assert (summary["lines"], len(results)) == (2000, 2000)
        assert "4,096 bytes" in summary["stopped"]
        assert (await streamed(api, b""))[1] == {
            "lines": 0, "published": 0, "refused": 0, "failed": 0, "stopped": None
        }  # fmt: skip
        refused = await api.post(PATH, content=b"5\n", headers={**NDJSON, "Idempotency-Key": "k"})
        errors: Any = problem_of(refused, 422)["errors"]
        assert errors[0]["header"] == "Idempotency-Key"


@given(st.lists(st.binary(max_size=12).map(lambda text: text.replace(b"\n", b"")), max_size=8), st.integers(1, 9))
def test_lines_are_put_together_from_any_pieces(texts: list[bytes], size: int) -> None:
    body, reading = b"\n".join(texts), Lines(10)
    found = [line for start in range(0, len(body), size) for line in reading.of(body[start : start + size])]
    expected = [
        (number, None if len(text) > 10 else text)
        for number, text in enumerate(texts, 1)
        if len(text) > 10 or text.strip()
    ]
    assert found + reading.last() == expected
