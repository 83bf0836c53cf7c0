"""One attempt against real sockets, healthy and hostile: what it came to, in bounded time and memory, no secret out."""

import asyncio
import gzip
import logging
import socket
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from standardwebhooks import Webhook
from yarl import URL

from processors.endpoints import Endpoint
from processors.exchange import LARGEST_HEADER_BYTES
from processors.outcomes import ErrorKind, Outcome
from processors.sending import KEPT_BYTES, MASKED, Sender
from schemas.headers import REPLAY_HEADER
from schemas.records import SignatureStyle
from schemas.signing import SIGNATURE_HEADERS, hmac_key, key_of, new_secret
from tests.machine import SLOW_MACHINE_S
from tests.processors.certificates import Authority, new_authority
from tests.processors.made import KEY, delivery
from tests.processors.receivers import (
    CHUNK,
    Receiver,
    Request,
    Script,
    Wire,
    answer,
    answers,
    closes,
    closes_from,
    drips,
    floods,
    hangs,
    resets,
    writes,
)
from tests.verifiers import python
from tests.verifiers.cases import Case

CREDENTIAL = "Bearer of-the-receiver"
NEVER_READ = 16 * 1024 * 1024  # bytes: what loopback sockets hold between two processes is far below it

pytestmark = pytest.mark.timeout(30)


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    async with Sender(most_at_once=100, allow_loopback=True, user_agent="Hookline/test") as opened:
        yield opened


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return new_authority(tmp_path_factory.mktemp("certificates"))


def endpoint(
    url: str, *, timeout_s: float = 5, headers: dict[str, str] | None = None, keys: tuple[bytes, ...] = (KEY,)
) -> Endpoint:
    return Endpoint(url=URL(url), keys=keys, headers=headers or {}, timeout=timedelta(seconds=timeout_s), version=1)


async def sent_to(sender: Sender, script: Script, *, timeout_s: float = 5) -> Outcome:
    async with Receiver(script) as receiver:
        return await sender.send(delivery(), endpoint(receiver.url, timeout_s=timeout_s))


async def timed(sending: Awaitable[Outcome]) -> tuple[Outcome, float]:
    began = time.monotonic()
    return await sending, time.monotonic() - began


# What is sent


async def test_a_request_is_a_post_with_exactly_our_headers_and_the_exact_bytes(sender: Sender) -> None:
    body = '{"data":{"name":"Zoë \\u0000"}}\n '.encode()
    owed = delivery(body=body, traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    async with Receiver(answers(204)) as receiver:
        outcome = await sender.send(owed, endpoint(receiver.url, headers={"X-Api-Key": "key of the receiver"}))
    (request,) = receiver.requests
    assert outcome.is_success
    assert request.line == "POST /hooks?of=us HTTP/1.1"
    assert request.body == body
    signed = request.headers
    assert {name: signed.pop(name)[:3] for name in ("webhook-signature", "webhook-timestamp")} == {
        "webhook-signature": "v1,",
        "webhook-timestamp": str(int(outcome.started_at.timestamp()))[:3],
    }
    assert signed == {
        "host": f"127.0.0.1:{receiver.port}",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "user-agent": "Hookline/test",
        "webhook-id": owed.event_id,
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "x-api-key": "key of the receiver",
    }


async def test_an_independent_library_verifies_the_signature_with_each_key(sender: Sender) -> None:
    keys = (KEY, b"the key before this one!")
    owed = delivery(body=b'{"id":"u1"}')
    async with Receiver(answers(204)) as receiver:
        await sender.send(owed, endpoint(receiver.url, keys=keys))
    (request,) = receiver.requests
    for key in keys:
        Webhook(key).verify(request.body, request.headers)
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(b"another key of 24 bytes!").verify(request.body, request.headers)


@pytest.mark.parametrize(("ends_in", "signed"), [(timedelta(minutes=1), True), (-timedelta(minutes=1), False)])
async def test_a_secret_signs_until_its_time_by_the_attempts_own_clock(
    sender: Sender, ends_in: timedelta, signed: bool
) -> None:
    before = b"the key before this one!"
    until = datetime.now(UTC) + ends_in
    async with Receiver(answers(204)) as receiver:
        both = replace(endpoint(receiver.url, keys=(KEY, before)), expire_at=(None, until))
        await sender.send(delivery(body=b"{}"), both)
    (request,) = receiver.requests
    Webhook(KEY).verify(request.body, request.headers)
    assert len(request.headers["webhook-signature"].split(" ")) == (2 if signed else 1)


@pytest.mark.parametrize("style", SignatureStyle)
async def test_the_event_type_and_the_deliverys_id_stand_under_the_subscribers_names(
    sender: Sender, style: SignatureStyle
) -> None:
    owed = delivery(offset=77)
    async with Receiver(answers(204)) as receiver:
        to = replace(
            endpoint(receiver.url, headers={"Authorization": CREDENTIAL}),
            style=style,
            signature_header="X-Optio-Signature",
            event_type_header="X-Optio-Event",
            delivery_id_header="X-Optio-Delivery",
        )
        outcome = await sender.send(owed, to)
        await sender.send(owed, replace(to, ordered=True))
    (request, ordered) = receiver.requests
    assert request.headers["x-optio-event"] == "user.created"
    assert request.headers["x-optio-delivery"] == owed.id
    assert request.headers["webhook-id"] == owed.event_id
    assert [each.headers.get("hookline-sequence") for each in (request, ordered)] == [None, "77"]
    kept = outcome.request_headers or {}
    assert (kept["X-Optio-Event"], kept["X-Optio-Delivery"]) == ("user.created", owed.id)
    assert (kept["X-Optio-Signature"], kept["Authorization"]) == (MASKED, MASKED)
    assert request.headers["x-optio-signature"] not in repr(outcome)


async def test_the_second_header_of_a_hex_rotation_is_masked_too(sender: Sender) -> None:
    async with Receiver(answers(204)) as receiver:
        both = endpoint(receiver.url, keys=(KEY, b"the key before this one!"))
        outcome = await sender.send(
            delivery(), replace(both, style=SignatureStyle.HEX, signature_header="X-Hub-Signature-256")
        )
    (request,) = receiver.requests
    kept = outcome.request_headers or {}
    assert (kept["X-Hub-Signature-256"], kept["X-Hub-Signature-256-next"]) == (MASKED, MASKED)
    assert request.headers["x-hub-signature-256"] != request.headers["x-hub-signature-256-next"]


@pytest.mark.parametrize("style", SignatureStyle)
async def test_an_attempt_of_an_event_of_yesterday_passes_a_5_minute_window(
    sender: Sender, style: SignatureStyle
) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    owed = replace(delivery(due_at=yesterday), event_created_at=yesterday, attempt=7)
    secret, name = new_secret(), SIGNATURE_HEADERS[style]
    keys = (hmac_key(key_of(secret), style),)
    async with Receiver(answers(204)) as receiver:
        await sender.send(owed, replace(endpoint(receiver.url, keys=keys), style=style, signature_header=name))
    (request,) = receiver.requests
    case = Case("sent", style, secret, request.headers[name], request.body.decode(), request.headers)
    assert python.accepts(case)
    assert not python.accepts(replace(case, secret=new_secret()))


async def test_what_is_sent_again_says_in_which_replay_and_keeps_its_id(sender: Sender) -> None:
    first = delivery()
    again = replace(first, round="rpl_019aa5e1c8007000800000000000002a")
    async with Receiver(answers(204)) as receiver:
        await sender.send(first, endpoint(receiver.url))
        outcome = await sender.send(replace(again, attempt=3), endpoint(receiver.url))
    assert [request.headers.get("hookline-replay") for request in receiver.requests] == [None, again.round]
    assert {request.headers["webhook-id"] for request in receiver.requests} == {first.event_id}
    assert (outcome.request_headers or {})[REPLAY_HEADER] == again.round  # shown in the log


async def test_a_subscribers_headers_do_not_replace_ours(sender: Sender) -> None:
    theirs = {"content-type": "text/plain", "WEBHOOK-ID": "forged", "user-agent": "curl", "webhook-signature": "v1,x"}
    owed = delivery()
    async with Receiver(answers(204)) as receiver:
        await sender.send(owed, endpoint(receiver.url, headers=theirs))
    headers = receiver.requests[0].headers
    assert (headers["content-type"], headers["webhook-id"]) == ("application/json", owed.event_id)
    assert headers["user-agent"] == "Hookline/test"
    Webhook(KEY).verify(receiver.requests[0].body, headers)


async def test_the_timestamp_is_the_attempts_own(sender: Sender) -> None:
    late = replace(delivery(), event_created_at=datetime(2020, 1, 1, tzinfo=UTC))
    async with Receiver(answers(204)) as receiver:
        outcome = await sender.send(late, endpoint(receiver.url))
    assert receiver.requests[0].headers["webhook-timestamp"] == str(int(outcome.started_at.timestamp()))


async def test_a_large_body_arrives_whole(sender: Sender) -> None:
    body = b'{"data":"' + b"x" * (512 * 1024) + b'"}'
    async with Receiver(answers(204)) as receiver:
        outcome = await sender.send(delivery(body=body), endpoint(receiver.url))
    assert outcome.is_success
    assert receiver.requests[0].body == body


async def test_cookies_are_not_kept(sender: Sender) -> None:
    async with Receiver(answers(204, "Set-Cookie: session=1; Path=/")) as receiver:
        for _ in range(2):
            outcome = await sender.send(delivery(), endpoint(receiver.url))
    assert "cookie" not in receiver.requests[1].headers
    assert outcome.response_headers == {"Set-Cookie": MASKED}


async def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Receiver(answers(502)) as proxy, Receiver(answers(204)) as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "")
        async with Sender(most_at_once=1, allow_loopback=True, user_agent="x") as sender:
            outcome = await sender.send(delivery(), endpoint(receiver.url))
    assert outcome.status == 204
    assert proxy.connections == 0


# What an answer comes to


@pytest.mark.parametrize(
    ("status", "kind", "is_final"),
    [
        (200, None, True),
        (201, None, True),
        (202, None, True),
        (204, None, True),
        (299, None, True),
        (300, ErrorKind.HTTP, False),
        (304, ErrorKind.HTTP, False),
        (400, ErrorKind.HTTP, False),
        (401, ErrorKind.HTTP, False),
        (404, ErrorKind.HTTP, False),
        (410, ErrorKind.HTTP, True),  # gone for good (RFC 9110, 15.5.11)
        (418, ErrorKind.HTTP, False),
        (429, ErrorKind.HTTP, False),
        (500, ErrorKind.HTTP, False),
        (503, ErrorKind.HTTP, False),
        (599, ErrorKind.HTTP, False),
        (101, ErrorKind.HTTP, False),  # to another protocol: nobody asked
    ],
)
async def test_a_status_is_what_the_attempt_came_to(
    sender: Sender, status: int, kind: ErrorKind | None, is_final: bool
) -> None:
    outcome = await sent_to(sender, writes(answer(status), then_close=True))
    assert (outcome.status, outcome.error_kind, outcome.is_final) == (status, kind, is_final)
    assert outcome.is_success is (kind is None)
    assert outcome.error == (None if kind is None else f"the receiver answered {status}")
    assert outcome.address is not None
    assert outcome.address.startswith("127.0.0.1:")


@pytest.mark.parametrize("name", ["Retry-After", "retry-after", "RETRY-AFTER"])
async def test_a_receiver_can_ask_to_be_left_alone(sender: Sender, name: str) -> None:
    outcome = await sent_to(sender, answers(429, f"{name}: 120"))
    assert outcome.retry_after == timedelta(minutes=2)


async def test_who_has_the_delivery_asks_for_nothing(sender: Sender) -> None:
    assert (await sent_to(sender, answers(204, "Retry-After: 120"))).retry_after is None


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failure_and_nobody_calls_its_target(sender: Sender, status: int) -> None:
    async with Receiver(answers(204)) as target:
        outcome = await sent_to(sender, answers(status, f"Location: {target.url}"))
    assert (outcome.error_kind, outcome.status, outcome.is_final) == (ErrorKind.HTTP, status, False)
    assert target.connections == 0


async def test_the_beginning_of_a_body_is_kept_and_marked(sender: Sender) -> None:
    body = bytes(range(256)) * 256  # 64 KiB: all of it is read, and not all kept
    outcome = await sent_to(sender, answers(500, "X-Reason: full", body=body))
    assert outcome.response_body == body[:KEPT_BYTES]
    assert outcome.truncated
    assert outcome.response_headers == {"X-Reason": "full", "Content-Length": str(len(body))}


@pytest.mark.parametrize(("size", "truncated"), [(0, False), (1, False), (KEPT_BYTES, False), (KEPT_BYTES + 1, True)])
async def test_what_fits_is_kept_whole(sender: Sender, size: int, truncated: bool) -> None:
    outcome = await sent_to(sender, answers(200, body=b"x" * size))
    assert (outcome.response_body, outcome.truncated) == (b"x" * min(size, KEPT_BYTES), truncated)


async def test_a_chunked_body_is_read_to_its_end(sender: Sender) -> None:
    chunked = answer(200, "Transfer-Encoding: chunked") + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    outcome = await sent_to(sender, writes(chunked))
    assert (outcome.response_body, outcome.truncated) == (b"hello world", False)


async def test_a_body_without_a_length_ends_with_its_connection(sender: Sender) -> None:
    outcome = await sent_to(sender, writes(b"HTTP/1.1 200 OK\r\n\r\nhello", then_close=True))
    assert (outcome.is_success, outcome.response_body) == (True, b"hello")


async def test_http_1_0_is_understood(sender: Sender) -> None:
    outcome = await sent_to(sender, writes(b"HTTP/1.0 200 OK\r\n\r\nhello", then_close=True))
    assert (outcome.is_success, outcome.response_body) == (True, b"hello")


# Time


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(hangs(), id="never answers"),
        pytest.param(hangs(b"HTTP/1.1 200 OK\r\nX-A: "), id="stops within its headers"),
        pytest.param(hangs(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"), id="stops within its body"),
        pytest.param(hangs(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe"), id="stops within a chunk"),
        pytest.param(drips(b"HTTP/1.1 200 OK\r\nX: y\r\n", every_s=0.2), id="drips its headers"),
        pytest.param(drips(b"x", every_s=0.2, after=b"HTTP/1.1 200 OK\r\n\r\n"), id="drips its body"),
    ],
)
async def test_an_attempt_ends_with_its_timeout_whatever_comes(sender: Sender, script: Script) -> None:
    outcome, took_s = await timed(sent_to(sender, script, timeout_s=1))
    assert outcome.error_kind is ErrorKind.TIMEOUT
    assert outcome.error == "no whole answer within 1 s"
    assert not outcome.is_final
    assert 1 <= took_s < 1 + SLOW_MACHINE_S


async def test_a_receiver_that_reads_nothing_is_a_timeout(sender: Sender) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        outcome, took_s = await timed(sender.send(delivery(body=b"x" * (1 << 20)), endpoint(url, timeout_s=1)))
    assert outcome.error_kind is ErrorKind.TIMEOUT
    assert took_s < 1 + SLOW_MACHINE_S


@pytest.mark.parametrize(
    "interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"]
)
@pytest.mark.parametrize("at_once", [1, 5000])
async def test_a_flood_of_interim_answers_is_cut_off(sender: Sender, interim: bytes, at_once: int) -> None:
    """Unbounded, it stopped the loop for seconds and took hundreds of megabytes."""
    before_s = time.process_time()
    outcome = await sent_to(sender, floods(interim * at_once))
    assert outcome.error_kind is ErrorKind.TOO_LARGE
    assert time.process_time() - before_s < 1


async def test_a_few_interim_answers_come_to_nothing(sender: Sender) -> None:
    interim = b"HTTP/1.1 102 Processing\r\n\r\n" * 10
    async with Receiver(writes(interim + answer(200, body=b"done"))) as receiver:
        for _ in range(3):  # each answer may have its own
            outcome = await sender.send(delivery(), endpoint(receiver.url))
            assert (outcome.status, outcome.response_body) == (200, b"done")
    assert receiver.connections == 1


# Failures without an answer


async def test_a_name_without_an_address_is_dns(sender: Sender) -> None:
    outcome = await sender.send(delivery(), endpoint("https://receiver.invalid/"))  # RFC 6761, 6.4
    assert (outcome.error_kind, outcome.status) == (ErrorKind.DNS, None)
    assert outcome.error == "receiver.invalid has no address"


async def test_where_nobody_listens_is_connect(sender: Sender) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
    outcome = await sender.send(delivery(), endpoint(f"http://127.0.0.1:{port}/"))
    assert outcome.error_kind is ErrorKind.CONNECT
    assert outcome.error == "cannot connect to 127.0.0.1: Connection refused"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_blocked_address_is_not_dialled(host: str) -> None:
    async with (
        Receiver(answers(204)) as receiver,
        Sender(most_at_once=1, allow_loopback=False, user_agent="x") as strict,
    ):
        outcome = await strict.send(delivery(), endpoint(f"http://{host}:{receiver.port}/"))
    assert (outcome.error_kind, outcome.status) == (ErrorKind.BLOCKED, None)
    assert outcome.address in {"127.0.0.1", "::1"}
    assert outcome.error is not None
    assert "may not be called: " in outcome.error
    assert receiver.connections == 0


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        pytest.param(closes(), ErrorKind.DISCONNECTED, id="closes"),
        pytest.param(resets(), ErrorKind.DISCONNECTED, id="resets"),
        pytest.param(writes(b"HTTP/1.1 200", then_close=True), ErrorKind.DISCONNECTED, id="closes within its status"),
        pytest.param(
            writes(b"HTTP/1.1 200 OK\r\nX-A: b", then_close=True), ErrorKind.DISCONNECTED, id="closes within headers"
        ),
        pytest.param(
            writes(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", then_close=True),
            ErrorKind.DISCONNECTED,
            id="closes within its body",
        ),
        pytest.param(
            writes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", then_close=True),
            ErrorKind.DISCONNECTED,
            id="closes within a chunk",
        ),
        pytest.param(
            writes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"), ErrorKind.PROTOCOL, id="no chunk"
        ),
        pytest.param(writes(b"SSH-2.0-OpenSSH_9.6\r\n"), ErrorKind.PROTOCOL, id="SSH"),
        pytest.param(writes(b"220 mail ESMTP\r\n"), ErrorKind.PROTOCOL, id="SMTP"),
        pytest.param(writes(b"\x15\x03\x03\x00\x02\x02\x28"), ErrorKind.PROTOCOL, id="a TLS alert"),
        pytest.param(writes(bytes(range(256))), ErrorKind.PROTOCOL, id="any bytes"),
        pytest.param(writes(b"HTTP/1.1 abc OK\r\n\r\n"), ErrorKind.PROTOCOL, id="a status that is no number"),
        pytest.param(writes(b"HTTP/2 200\r\n\r\n"), ErrorKind.PROTOCOL, id="HTTP/2 unasked"),
        pytest.param(
            writes(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"), ErrorKind.PROTOCOL, id="a negative length"
        ),
        pytest.param(
            writes(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
            ErrorKind.PROTOCOL,
            id="two lengths",
        ),
        pytest.param(
            writes(b"HTTP/1.1 200 OK\r\nX-A: " + b"x" * (LARGEST_HEADER_BYTES + 1) + b"\r\n\r\n"),
            ErrorKind.TOO_LARGE,
            id="a long header",
        ),
        pytest.param(
            writes(b"HTTP/1.1 200 " + b"x" * (LARGEST_HEADER_BYTES + 1) + b"\r\n\r\n"),
            ErrorKind.TOO_LARGE,
            id="a long status line",
        ),
        pytest.param(floods(CHUNK, after=b"HTTP/1.1 200 OK\r\nX-A: "), ErrorKind.TOO_LARGE, id="an endless header"),
        pytest.param(
            writes(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(2000)) + b"\r\n"),
            ErrorKind.TOO_LARGE,
            id="many headers",
        ),
        pytest.param(
            floods(b"X-A: y\r\n" * 1000, after=b"HTTP/1.1 200 OK\r\n"), ErrorKind.TOO_LARGE, id="endless headers"
        ),
    ],
)
async def test_what_breaks_off_or_is_not_http_is_told_apart(sender: Sender, script: Script, kind: ErrorKind) -> None:
    outcome = await sent_to(sender, script)
    assert outcome.error_kind is kind, outcome.error  # which is not that its time was over
    assert outcome.error is not None
    assert "127.0.0.1" in outcome.error
    assert "of=us" not in outcome.error
    assert not outcome.is_final


async def test_endless_trailers_end_the_attempt(sender: Sender) -> None:
    trailers = floods(b"X-T: y\r\n" * 1000, after=answer(200, "Transfer-Encoding: chunked") + b"0\r\n")
    outcome, took_s = await timed(sent_to(sender, trailers, timeout_s=1))
    assert not outcome.is_success
    assert took_s < 1 + SLOW_MACHINE_S


# Memory


@pytest.mark.parametrize(
    "begin",
    [
        pytest.param(answer(200, f"Content-Length: {1 << 30}"), id="a gigabyte that is announced"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", id="a body without end"),
    ],
)
async def test_a_huge_body_is_read_up_to_the_cap_and_the_connection_closed(sender: Sender, begin: bytes) -> None:
    tracemalloc.start()
    async with Receiver(floods(CHUNK, after=begin, pieces=1 << 14)) as receiver:
        outcome = await sender.send(delivery(), endpoint(receiver.url))
        await receiver.until(lambda: not receiver.open)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert receiver.written < NEVER_READ
    assert outcome.is_success
    assert (outcome.response_body, outcome.truncated) == (CHUNK[:KEPT_BYTES], True)
    assert peak < 4 * 1024 * 1024


async def test_a_small_chunk_at_a_time_costs_no_more_memory(sender: Sender) -> None:
    tracemalloc.start()
    chunks = floods(b"1\r\nx\r\n" * 10_000, after=answer(200, "Transfer-Encoding: chunked"))
    outcome = await sent_to(sender, chunks, timeout_s=20)  # tracing makes it slow, a busy machine slower
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert outcome.truncated
    assert peak < 32 * 1024 * 1024


async def test_a_gzip_bomb_stays_packed(sender: Sender) -> None:
    bomb = gzip.compress(b"\0" * (64 << 20), 1)
    outcome = await sent_to(sender, answers(200, "Content-Encoding: gzip", body=bomb))
    assert outcome.response_body == bomb[:KEPT_BYTES]
    assert outcome.truncated is (len(bomb) > KEPT_BYTES)


async def test_a_body_that_only_says_it_is_packed_is_kept_as_it_came(sender: Sender) -> None:
    outcome = await sent_to(sender, answers(200, "Content-Encoding: br, gzip", body=b"not packed"))
    assert (outcome.is_success, outcome.response_body) == (True, b"not packed")


async def test_of_many_headers_the_beginning_is_kept(sender: Sender) -> None:
    headers = [f"X-{number}: {'y' * 1000}" for number in range(60)]
    outcome = await sent_to(sender, answers(200, *headers))
    assert outcome.response_headers is not None
    assert sum(len(name) + len(value) for name, value in outcome.response_headers.items()) <= KEPT_BYTES
    assert outcome.response_headers["X-0"] == "y" * 1000


async def test_headers_that_are_no_utf_8_can_be_kept(sender: Sender) -> None:
    outcome = await sent_to(sender, writes(b"HTTP/1.1 200 OK\r\nX-A: \xff\xfe caf\xe9\r\nContent-Length: 0\r\n\r\n"))
    assert outcome.is_success
    for value in (outcome.response_headers or {}).values():
        value.encode()


# Connections that are kept


async def test_a_connection_is_used_again(sender: Sender) -> None:
    async with Receiver(answers(204)) as receiver:
        for _ in range(5):
            outcome = await sender.send(delivery(), endpoint(receiver.url))
            assert outcome.address == f"127.0.0.1:{receiver.port}"
    assert receiver.connections == 1


async def test_a_kept_connection_that_the_receiver_closed_is_no_failure(sender: Sender) -> None:
    async with Receiver(closes_from(2)) as receiver:
        first = await sender.send(delivery(), endpoint(receiver.url))
        second = await sender.send(owed := delivery(), endpoint(receiver.url))
    assert (first.is_success, second.is_success) == (True, True)
    assert [request.connection for request in receiver.requests] == [1, 1, 2]
    again = receiver.requests[2]
    assert (again.headers["webhook-id"], again.body) == (owed.event_id, owed.body)
    assert again.head == receiver.requests[1].head  # the one attempt, its one timestamp and signature


async def test_however_many_kept_connections_are_stale_a_request_goes_out_twice_at_most(sender: Sender) -> None:
    waiting = asyncio.Event()

    async def script(request: Request, wire: Wire) -> None:
        if request.nth > 1:
            wire.close()
            return
        await waiting.wait()
        await wire.write(answer(204))

    async with Receiver(script) as receiver:
        many = [asyncio.create_task(sender.send(delivery(), endpoint(receiver.url))) for _ in range(20)]
        await receiver.until(lambda: receiver.connections == 20)
        waiting.set()
        assert all(outcome.is_success for outcome in await asyncio.gather(*many))
        assert receiver.connections == 20  # all kept, and all stale
        outcome = await sender.send(owed := delivery(), endpoint(receiver.url))
    assert outcome.is_success
    assert len([request for request in receiver.requests if request.headers["webhook-id"] == owed.event_id]) == 2


async def test_a_receiver_that_closes_every_connection_is_one_failure_and_no_loop(sender: Sender) -> None:
    gone = False

    async def script(request: Request, wire: Wire) -> None:
        if gone:
            wire.close()
        else:
            await wire.write(answer(204))

    async with Receiver(script) as receiver:
        await sender.send(delivery(), endpoint(receiver.url))
        gone = True
        outcome = await sender.send(owed := delivery(), endpoint(receiver.url))
    assert outcome.error_kind is ErrorKind.DISCONNECTED
    assert len([request for request in receiver.requests if request.headers["webhook-id"] == owed.event_id]) == 2


async def test_an_answer_that_breaks_off_on_a_kept_connection_is_a_failure(sender: Sender) -> None:
    begun = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhel"

    async def script(request: Request, wire: Wire) -> None:
        await wire.write(answer(204) if request.nth == 1 else begun)
        if request.nth > 1:
            wire.close()

    async with Receiver(script) as receiver:
        await sender.send(delivery(), endpoint(receiver.url))
        outcome = await sender.send(delivery(), endpoint(receiver.url))
    assert outcome.error_kind is ErrorKind.DISCONNECTED
    assert len(receiver.requests) == 2  # an answer had begun: whoever sends again does so after a wait


async def test_a_late_answer_of_one_attempt_is_not_the_next_ones(sender: Sender) -> None:
    async def script(request: Request, wire: Wire) -> None:
        if request.connection == 1:
            await asyncio.sleep(0.4)
            await wire.write(answer(200, body=b"for the first"))
        else:
            await wire.write(answer(500, body=b"for the second"))

    async with Receiver(script) as receiver:
        first = await sender.send(delivery(), endpoint(receiver.url, timeout_s=0.2))
        second = await sender.send(delivery(), endpoint(receiver.url))
    assert first.error_kind is ErrorKind.TIMEOUT
    assert (second.status, second.response_body) == (500, b"for the second")


async def test_one_slow_receiver_holds_up_no_other(sender: Sender) -> None:
    async with Receiver(hangs()) as slow, Receiver(answers(204)) as healthy:
        hanging = [asyncio.create_task(sender.send(delivery(), endpoint(slow.url, timeout_s=60))) for _ in range(50)]
        outcomes = await asyncio.gather(*(sender.send(delivery(), endpoint(healthy.url)) for _ in range(20)))
        assert not any(task.done() for task in hanging)
        for task in hanging:
            task.cancel()
        assert all(
            isinstance(ended, asyncio.CancelledError)
            for ended in await asyncio.gather(*hanging, return_exceptions=True)
        )
    assert all(outcome.is_success for outcome in outcomes)


# TLS


async def test_https_with_a_certificate_of_a_trusted_authority(authority: Authority) -> None:
    async with (
        Receiver(answers(204), tls=authority.serving()) as receiver,
        Sender(most_at_once=1, allow_loopback=True, user_agent="x", tls=authority.trusting) as sender,
    ):
        outcome = await sender.send(delivery(), endpoint(receiver.url))
    assert outcome.is_success, outcome.error


@pytest.mark.parametrize("flaw", ["self-signed", "expired", "not yet valid", "another address", "unknown authority"])
async def test_a_certificate_that_does_not_hold_is_tls_and_nothing_is_sent(authority: Authority, flaw: str) -> None:
    tls = {
        "self-signed": lambda: authority.serving(own_signature=True),
        "expired": lambda: authority.serving(age=timedelta(days=11)),
        "not yet valid": lambda: authority.serving(age=timedelta(days=-1)),
        "another address": lambda: authority.serving(name=x509.DNSName("other.example")),
        "unknown authority": lambda: new_authority(authority.folder).serving(),
    }[flaw]()
    async with (
        Receiver(answers(204), tls=tls) as receiver,
        Sender(most_at_once=1, allow_loopback=True, user_agent="x", tls=authority.trusting) as sender,
    ):
        outcome = await sender.send(delivery(), endpoint(receiver.url))
    assert outcome.error_kind is ErrorKind.TLS
    assert outcome.error is not None
    assert outcome.error.startswith("TLS with 127.0.0.1 failed: ")
    assert receiver.requests == []


async def test_plain_http_where_tls_is_asked_for_is_tls(sender: Sender) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        outcome = await sender.send(delivery(), endpoint(f"https://127.0.0.1:{port}/"))
    assert outcome.error_kind is ErrorKind.TLS


@pytest.mark.parametrize("reset", [True, False])
async def test_a_receiver_that_ends_the_connection_within_the_handshake_is_tls(sender: Sender, reset: bool) -> None:
    """It took the connection, so `connect` would send its owner looking for a firewall."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        if reset:
            writer.transport.abort()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        outcome = await sender.send(delivery(), endpoint(f"https://127.0.0.1:{port}/"))
    assert outcome.error_kind is ErrorKind.TLS, outcome.error


async def test_a_handshake_that_hangs_is_a_timeout(sender: Sender) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"https://127.0.0.1:{deaf.getsockname()[1]}/"
        outcome, took_s = await timed(sender.send(delivery(), endpoint(url, timeout_s=1)))
    assert outcome.error_kind is ErrorKind.TIMEOUT
    assert took_s < 1 + SLOW_MACHINE_S


# Secrets


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(answers(200, body=b"ok"), id="success"),
        pytest.param(answers(500), id="failure"),
        pytest.param(closes(), id="closes"),
        pytest.param(writes(b"SSH-2.0-OpenSSH_9.6\r\n"), id="not HTTP"),
        pytest.param(hangs(), id="timeout"),
        pytest.param(floods(CHUNK, after=b"HTTP/1.1 200 OK\r\nX-A: "), id="too large"),
    ],
)
async def test_no_outcome_and_no_log_line_holds_a_secret(
    sender: Sender, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with Receiver(script) as receiver:
        url = receiver.url.replace("of=us", "token=in-the-query")
        outcome = await sender.send(
            delivery(body=b'{"of":"the-body"}'),
            endpoint(url, timeout_s=0.5, headers={"Authorization": CREDENTIAL, "x-api-key": "key-of-theirs"}),
        )
        signature = receiver.requests[0].headers["webhook-signature"]
    shown = f"{outcome!r} {caplog.text} {' '.join(map(repr, caplog.records))}"
    for secret in (
        KEY.decode(),
        CREDENTIAL,
        "key-of-theirs",
        signature.removeprefix("v1,"),
        "in-the-query",
        "the-body",
    ):
        assert secret not in shown
    assert outcome.request_headers is not None
    assert {name: outcome.request_headers[name] for name in ("Authorization", "x-api-key", "webhook-signature")} == {
        "Authorization": MASKED,
        "x-api-key": MASKED,
        "webhook-signature": MASKED,
    }
    assert outcome.request_headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("headers", [{"X-A": "a\r\nX-B: b"}, {"X-A\r\nX-B": "b"}, {"X-A": "a\x00"}])
async def test_headers_that_would_break_the_request_are_unsendable(sender: Sender, headers: dict[str, str]) -> None:
    async with Receiver(answers(204)) as receiver:
        outcome = await sender.send(delivery(), endpoint(receiver.url, headers=headers))
    assert outcome.error_kind is ErrorKind.UNSENDABLE
    assert receiver.requests == []


async def test_an_attempt_that_is_cut_off_is_no_outcome(sender: Sender) -> None:
    async with Receiver(hangs()) as receiver:
        task = asyncio.create_task(sender.send(delivery(), endpoint(receiver.url)))
        await receiver.until(lambda: len(receiver.requests) > 0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
