"""Bodies: JSON as RFC 8259 has it, no more than the limit, and nothing that cannot be kept or sent on."""

import asyncio
import json
import math
from collections.abc import AsyncIterator

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import InvalidRequest, MalformedJson
from api.requests import DEEPEST_JSON, json_of
from tests.api.problem import pointers_of, problem_of

EVENTS = "/api/v1/events"
LIMIT = 262_144

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="ascii", min_codepoint=32)), inner),
)


@given(json_values)
def test_json_is_read_as_it_was_written(value: object) -> None:
    assert json_of(orjson.dumps(value)) == value
    assert json_of(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b'{"a":1,}',
        b"{'a':1}",
        b"nul",
        b"1 2",
        b"[1",
        b'"\x00"',
        b"\xff",
        b'"\xed\xa0\x80"',  # a surrogate in bytes is not UTF-8
        b"\xef\xbb\xbf{}",  # RFC 8259, 8.1: no byte order mark
        '{"a":"b"}'.encode("utf-16"),
        b"NaN",
        b'{"a":Infinity}',
        b"[-Infinity]",
        b"1e999",
        b"-1e999",
        b"1" * 5000,
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_what_is_not_json_is_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedJson):
        json_of(raw)


@pytest.mark.parametrize(
    ("raw", "pointer"),
    [
        (rb'"\u0000"', ""),
        (rb'{"a":["x","\u0000"]}', "/a/1"),
        (rb'{"a":{"b\u0000":1}}', "/a"),
        (rb'"\ud800"', ""),
        (rb'{"a":"\uDFFF"}', "/a"),
        (rb'{"a~/b":"\udc00\ud800"}', "/a~0~1b"),
        (rb'{"\ud800":1}', ""),
        (b'{"a":' + b"[" * DEEPEST_JSON + b"]" * DEEPEST_JSON + b"}", "/a" + "/0" * (DEEPEST_JSON - 1)),
    ],
)
def test_what_nobody_can_keep_is_invalid_and_pointed_at(raw: bytes, pointer: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        json_of(raw)
    assert refused.value.flaws[0].pointer == pointer


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (rb'"\ud83d\ude00"', "😀"),  # a pair is one character
        (rb'"\\u0000"', r"\u0000"),  # a backslash and letters, no NUL
        (b"[" * DEEPEST_JSON + b"]" * DEEPEST_JSON, json.loads("[" * DEEPEST_JSON + "]" * DEEPEST_JSON)),
        (b"1e308", 1e308),
        (b"9223372036854775808", 2**63),
    ],
)
def test_what_looks_odd_and_is_fine_is_read(raw: bytes, value: object) -> None:
    assert json_of(raw) == value


@given(st.binary(max_size=200))
def test_no_bytes_at_all_make_more_than_a_refusal(raw: bytes) -> None:
    try:
        value = json_of(raw)
    except (MalformedJson, InvalidRequest):
        return
    assert not isinstance(value, float) or math.isfinite(value)
    json.dumps(value).encode()


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 422),  # read, and then not what an event looks like
        ("application/json; charset=utf-8", 422),
        ("application/merge-patch+json", 422),
        ("Application/JSON", 422),
        ("application/json; charset=latin-1", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("", 415),
        ("json", 415),
        ("application/jsonx", 415),
    ],
)
async def test_only_json_is_taken(bare_api: httpx.AsyncClient, content_type: str, status: int) -> None:
    response = await bare_api.post(EVENTS, content=b'{"a":1}', headers={"Content-Type": content_type})
    problem_of(response, status)


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"\xff", 400), (b'{"a":NaN}', 400), (rb'{"type":"\u0000"}', 422), (rb'{"type":"\ud800"}', 422)],
)
async def test_a_bad_body_is_a_problem(bare_api: httpx.AsyncClient, body: bytes, status: int) -> None:
    problem_of(await bare_api.post(EVENTS, content=body, headers={"Content-Type": "application/json"}), status)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'"x"', b"1"])
async def test_a_body_that_is_no_object_is_invalid_as_a_whole(bare_api: httpx.AsyncClient, body: bytes) -> None:
    response = await bare_api.post(EVENTS, content=body, headers={"Content-Type": "application/json"})
    assert pointers_of(response) == [""]


async def test_a_body_over_the_limit_is_refused_and_the_connection_closed(bare_api: httpx.AsyncClient) -> None:
    response = await bare_api.post(EVENTS, content=b" " * (LIMIT + 1), headers={"Content-Type": "application/json"})
    problem_of(response, 413)
    assert response.headers["connection"] == "close"


async def test_a_body_at_the_limit_is_read(bare_api: httpx.AsyncClient) -> None:
    body = b"{" + b" " * (LIMIT - 2) + b"}"
    problem_of(await bare_api.post(EVENTS, content=body, headers={"Content-Type": "application/json"}), 422)


async def test_a_chunked_body_is_counted_while_it_comes(bare_api: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65_536
            yield b" " * 65_536
            await asyncio.sleep(0)

    response = await bare_api.post(EVENTS, content=endless(), headers={"Content-Type": "application/json"})
    problem_of(response, 413)
    assert sent <= LIMIT + 2 * 65_536


async def test_nobodys_body_is_not_read(bare_api: httpx.AsyncClient) -> None:
    async def body() -> AsyncIterator[bytes]:
        raise AssertionError("it was read")
        yield b""

    response = await bare_api.post(EVENTS, content=body(), headers={"Authorization": "Bearer nobody"})
    problem_of(response, 401)
