"""`python -m bench.oauth_tokens`: how many tokens a second `/oauth/token` gives, by client_credentials and by refresh.

One API process on one core, pinned where the system can (Linux), on a PostgreSQL of its own that may use the others.
Rate limits are lifted: 30 a minute would be all there is to measure. Each refresh uses the token that the one before
gave, on as many grants as there are connections.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import httpx
import psutil
import uuid_utils
import uvloop
from pydantic import SecretStr

from api.applications.tables import ApplicationRow
from api.database import engine_of, transaction_of
from api.limits import defaults
from api.limits.defaults import Limit
from api.members.tables import MembershipRow
from api.migrations import upgrade
from api.oauth.codes import issue_code
from api.permissions import RateClass
from api.serving import serve
from api.settings import ApiSettings
from api.users.tables import UserRow
from compose.logs import configure_logs
from compose.postgres import EmbeddedPostgres
from producers.settings import KafkaSettings
from schemas.sealing import new_master_key

TOKEN: Final = "an-administrators-token-for-the-bench"
REDIRECT: Final = "https://client.example/callback"
GRANTS: Final = ["authorization_code", "refresh_token", "client_credentials"]


@dataclass(frozen=True)
class Part:
    """One part's figures; times in ms."""

    part: str
    algorithm: str
    requests: int
    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    """The API's own processor time of one request: 1000 divided by it is what one whole core gives."""


def main() -> int:
    """Measure; return 1 when a part is below `--at-least`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="of each part (default 10)")
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--at-least", type=float, default=150.0, help="tokens/s")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hookline-bench-") as folder:
        parts = uvloop.run(_measured(Path(folder), asked))
    for part in parts:
        print(
            f"{part.part} ({part.algorithm}): {part.per_s:.0f}/s, p50 {part.p50_ms:.1f} ms, p99 {part.p99_ms:.1f} ms, "
            f"{part.cpu_ms:.2f} ms of the API's processor: {1000 / part.cpu_ms:.0f}/s of a whole core"
        )
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if asked.json:
        asked.json.write_text(json.dumps([asdict(part) for part in parts], indent=2) + "\n")
    return 0 if all(part.per_s >= asked.at_least for part in parts) else 1


async def _measured(folder: Path, asked: argparse.Namespace) -> list[Part]:
    postgres = EmbeddedPostgres(folder / "postgres")
    postgres.start()
    try:
        await asyncio.to_thread(postgres.wait_until_ready)
        await upgrade(postgres.database_url)
        settings = _settings(postgres.database_url, new_master_key())
        process = multiprocessing.get_context("spawn").Process(
            target=_serve, args=(settings.database_url, _master_keys(settings), settings.api_port), daemon=True
        )
        process.start()
        try:
            return await _parts(settings, psutil.Process(process.pid), asked)
        finally:
            process.terminate()
            process.join(20)
    finally:
        postgres.stop()


def _settings(database_url: str, master_keys: str, port: int | None = None) -> ApiSettings:
    return ApiSettings(
        database_url=database_url,
        master_keys=SecretStr(master_keys),
        admin_token=SecretStr(TOKEN),
        api_port=port or _free_port(),
    )


def _master_keys(settings: ApiSettings) -> str:
    return "" if settings.master_keys is None else settings.master_keys.get_secret_value()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def _serve(database_url: str, master_keys: str, port: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    configure_logs(Path(os.devnull).open("w"), level="info")  # noqa: SIM115 - for as long as the process runs
    lifted = {**defaults.DEFAULTS, RateClass.OAUTH: Limit(10**9, 60)}
    defaults.DEFAULTS = lifted  # type: ignore[misc] # Final for everybody but a bench
    serve(_settings(database_url, master_keys, port), KafkaSettings(bootstrap_servers="127.0.0.1:1"))


async def _parts(settings: ApiSettings, server: psutil.Process, asked: argparse.Namespace) -> list[Part]:
    url = f"http://127.0.0.1:{settings.api_port}"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    parts = []
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as admin:
        await _until_ready(admin)
        for algorithm in ("EdDSA", "RS256"):
            given = {"name": "Bench", "kind": "confidential", "redirect_uris": [REDIRECT], "scopes": ["read"]}
            answer = await admin.post(
                "/api/v1/applications", json={**given, "grants": GRANTS, "signing_algorithm": algorithm}
            )
            body = answer.raise_for_status().json()
            form = {"client_id": body["client_id"], "client_secret": body["client_secret"]}
            own = [_ask_by_itself(form) for _ in range(asked.at_once)]
            parts.append(
                await _part("client_credentials", algorithm, settings=settings, server=server, asked=asked, asking=own)
            )
            codes = await _codes(settings, body["client_id"], asked.at_once)
            refreshing = [_ask_again(form, (await _redeemed(admin, form, code))["refresh_token"]) for code in codes]
            parts.append(
                await _part(
                    "refresh_token", algorithm, settings=settings, server=server, asked=asked, asking=refreshing
                )
            )
    return parts


async def _until_ready(admin: httpx.AsyncClient) -> None:
    async with asyncio.timeout(60):
        while True:
            with suppress(httpx.TransportError):
                if (await admin.get("/healthz")).status_code == 200:
                    return
            await asyncio.sleep(0.1)


async def _codes(settings: ApiSettings, client_id: str, number: int) -> list[str]:
    """Return codes as the consent page gives them, each a grant of its own."""
    engine, now = engine_of(settings), datetime.now(UTC)
    try:
        async with transaction_of(engine) as db:
            application = await db.get_one(ApplicationRow, client_id)
            organization_id, user_id = application.organization_id, f"usr_{uuid_utils.uuid7().hex}"
            email = f"{user_id}@example.com"
            user = {"name": "Ada", "must_reset": False, "created_at": now, "updated_at": now, "version": 1}
            db.add(UserRow(id=user_id, organization_id=organization_id, email=email, email_key=email, **user))
            await db.flush()
            member = {"role_id": "admin", "created_at": now, "updated_at": now}
            db.add(MembershipRow(organization_id=organization_id, user_id=user_id, **member))
            return [
                await issue_code(
                    db,
                    application=application,
                    user_id=user_id,
                    organization_id=organization_id,
                    scopes=["read"],
                    redirect_uri=REDIRECT,
                    redirect_uri_given=True,
                    code_challenge=None,
                    lifetime_s=600,
                )
                for _ in range(number)
            ]
    finally:
        await engine.dispose()


async def _redeemed(admin: httpx.AsyncClient, form: dict[str, str], code: str) -> dict[str, Any]:
    given = {**form, "grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT}
    request = admin.build_request("POST", "/oauth/token", data=given)
    del request.headers["authorization"]
    answer: dict[str, Any] = (await admin.send(request)).raise_for_status().json()
    return answer


Asking = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def _ask_by_itself(form: dict[str, str]) -> Asking:
    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _posted(reader, writer, {**form, "grant_type": "client_credentials"})

    return ask


def _ask_again(form: dict[str, str], first: str) -> Asking:
    token = first

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal token
        answer = await _posted(reader, writer, {**form, "grant_type": "refresh_token", "refresh_token": token})
        token = str(answer["refresh_token"])

    return ask


async def _part(
    name: str,
    algorithm: str,
    *,
    settings: ApiSettings,
    server: psutil.Process,
    asked: argparse.Namespace,
    asking: list[Asking],
) -> Part:
    durations: list[float] = []
    began, used = time.perf_counter(), _processor_s(server)

    async def keep_asking(ask: Asking) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", settings.api_port)
        while time.perf_counter() - began < asked.seconds:
            asked_at = time.perf_counter()
            await ask(reader, writer)
            durations.append(time.perf_counter() - asked_at)
        writer.close()

    await asyncio.gather(*(keep_asking(ask) for ask in asking))
    took = time.perf_counter() - began
    durations.sort()
    p50, p99 = (durations[int(len(durations) * share)] * 1000 for share in (0.50, 0.99))
    cpu_ms = (_processor_s(server) - used) / len(durations) * 1000
    return Part(name, algorithm, len(durations), len(durations) / took, p50, p99, cpu_ms)


def _processor_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def _posted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, form: dict[str, str]) -> dict[str, Any]:
    body = urlencode(form).encode()
    head = (
        "POST /oauth/token HTTP/1.1\r\nHost: bench\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    answered = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in answered.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    answer: dict[str, Any] = json.loads(await reader.readexactly(int(length.partition(b":")[2])))
    if not answered.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"the token endpoint said {answer.get('error')}")
    return answer


if __name__ == "__main__":
    sys.exit(main())
