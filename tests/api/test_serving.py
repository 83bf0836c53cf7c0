"""The API as a process: it says where it listens, finishes what it has begun, and exits with 0."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
import structlog

from api.serving import serving
from tests.api.conftest import MASTER_KEYS, NO_DATABASE_URL, TOKEN, settings_of
from tests.api.running import NO_KAFKA

PROGRAM = """
from api.serving import serve
from api.settings import ApiSettings
from producers.settings import KafkaSettings
serve(ApiSettings(), KafkaSettings(), announce=lambda url: print(url, flush=True))
"""
ENVIRONMENT = {
    "DATABASE_URL": NO_DATABASE_URL,
    "HOOKLINE_MASTER_KEYS": MASTER_KEYS,
    "HOOKLINE_ADMIN_TOKEN": TOKEN,
    "HOOKLINE_API_PORT": "0",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
}


@asynccontextmanager
async def process() -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Yield a running API process and its URL."""
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**os.environ, **ENVIRONMENT},
    )  # fmt: skip
    assert started.stdout is not None
    try:
        async with asyncio.timeout(30):
            while not (line := (await started.stdout.readline()).decode().strip()).startswith("http://"):
                assert line or started.returncode is None
        yield started, line
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_is_graceful_and_no_failure(how: signal.Signals) -> None:
    async with process() as (api, url), httpx.AsyncClient(base_url=url) as client:
        assert (await client.get("/healthz")).status_code == 200
        api.send_signal(how)
        async with asyncio.timeout(30):
            await api.communicate()
        assert api.returncode == 0


@pytest.mark.slow
async def test_a_request_at_hand_is_finished() -> None:
    async with process() as (api, url), httpx.AsyncClient(base_url=url, timeout=20) as client:
        waiting = asyncio.create_task(client.get("/readyz"))  # Kafka is away: it takes more than a second
        async with asyncio.timeout(30):
            while (await client.get("/healthz")).status_code != 200:
                pass
        api.send_signal(signal.SIGTERM)
        assert (await waiting).status_code == 503
        async with asyncio.timeout(30):
            await api.communicate()
        assert api.returncode == 0


async def test_over_a_real_connection_a_large_chunked_body_is_refused() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65_536

    async with process() as (_, url), httpx.AsyncClient(base_url=url, timeout=20) as client:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        try:
            response = await client.post("/api/v1/events", content=endless(), headers=headers)
        except (httpx.WriteError, httpx.ReadError):
            return  # closed in the middle of what it sent, which is as good
        assert response.status_code == 413


async def test_a_port_that_is_taken_is_an_os_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            await serving(settings_of(NO_DATABASE_URL, api_port=port), NO_KAFKA)


FORWARDED = "203.0.113.9"


@pytest.mark.parametrize(
    ("trusted", "forwarded", "seen"),
    [
        ("", [FORWARDED], "127.0.0.1"),  # nobody is believed unless it is set: uvicorn would believe this machine
        ("10.0.0.1", [FORWARDED], "127.0.0.1"),
        ("127.0.0.1", [FORWARDED], FORWARDED),
        ("10.0.0.1, 127.0.0.0/8", [FORWARDED], FORWARDED),
        ("127.0.0.1", [f"198.51.100.1, {FORWARDED}"], FORWARDED),  # what came before our proxy's word is made up
        ("127.0.0.1", ["198.51.100.1", FORWARDED], FORWARDED),
        ("127.0.0.1,10.0.0.1", [f"198.51.100.1, {FORWARDED}, 10.0.0.1"], FORWARDED),  # through two proxies of ours
        ("127.0.0.1", [f"127.0.0.1, {FORWARDED}"], FORWARDED),
        ("127.0.0.1", ["2001:db8::9"], "2001:db8::9"),
        ("127.0.0.1", [f"{FORWARDED}:4711"], FORWARDED),
        ("127.0.0.1", [], "127.0.0.1"),
    ],
)
async def test_a_callers_address_is_what_a_trusted_proxy_says(trusted: str, forwarded: list[str], seen: str) -> None:
    async with served(trusted_proxies=trusted) as url, httpx.AsyncClient(base_url=url) as client:
        headers = [("X-Forwarded-For", value) for value in forwarded]
        with structlog.testing.capture_logs() as logs:
            answer = await client.get(
                "/api/v1/event-types/user.created", headers=[*headers, ("Authorization", f"Bearer {TOKEN}")]
            )
    assert answer.status_code == 200
    assert [log["client"] for log in logs if log["event"] == "request"] == [seen]


@pytest.mark.parametrize("trusted", ["*", "proxy.example.com", "10.0.0.1/8", "10.0.0.1;10.0.0.2"])
def test_proxies_are_named_by_their_addresses(trusted: str) -> None:
    with pytest.raises(ValueError, match="write"):
        settings_of(NO_DATABASE_URL, trusted_proxies=trusted)


@asynccontextmanager
async def served(**settings: object) -> AsyncIterator[str]:
    """Serve in this process, over real connections; yield the URL."""
    announced: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serves = serving(settings_of(NO_DATABASE_URL, api_port=0, **settings), NO_KAFKA, announce=announced.set_result)
    running = asyncio.create_task(serves)
    try:
        yield await announced
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
