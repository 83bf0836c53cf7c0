"""oauth4webapi on Node against the real server: the code flow, from discovery alone."""

import asyncio
import json
import logging
import tempfile
from pathlib import Path

import structlog

from api.migrations import upgrade
from compose.postgres import EmbeddedPostgres
from tests.api.oauth_clients.stage import REDIRECT_URI, Stage, staged

_WITHIN_S = 60.0


def judged(folder: Path, node: str) -> dict[str, bool]:
    """Return, for each kind of client and algorithm, whether the flow went as the RFCs say."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory(prefix="hookline-verifiers-", ignore_cleanup_errors=True) as data:
        postgres = EmbeddedPostgres(Path(data) / "postgres", durable=False)
        postgres.start()
        try:
            postgres.wait_until_ready()
            return asyncio.run(_judged(postgres.database_url, folder, node))
        finally:
            postgres.stop()


async def _judged(database_url: str, folder: Path, node: str) -> dict[str, bool]:
    await upgrade(database_url)
    verdicts = {}
    for kind in ("confidential", "public"):
        for algorithm in ("EdDSA", "RS256"):
            async with staged(database_url, kind=kind, algorithm=algorithm) as stage:
                found = await _flow(stage, folder, node)
            expected = {"before": 200, "after": 401, "active": True if stage.client_secret else None}
            told = {"client_id": stage.client_id, "scope": "read"}
            verdicts[f"a {kind} client, {algorithm}"] = found == expected | told
    return verdicts


async def _flow(stage: Stage, folder: Path, node: str) -> object:
    given = {
        "issuer": stage.url,
        "audience": stage.url,
        "client_id": stage.client_id,
        "client_secret": stage.client_secret,
        "redirect_uri": REDIRECT_URI,
    }
    process = await asyncio.create_subprocess_exec(
        node, "oauth.mjs", json.dumps(given), cwd=folder, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_WITHIN_S):
            url = (await process.stdout.readline()).decode().strip()
            if not url:
                return None
            back = await stage.person.allow(url, redirect_uri=REDIRECT_URI)
            process.stdin.write(f"{back}\n".encode())
            await process.stdin.drain()
            said = await process.stdout.readline()
            return json.loads(said) if said else None
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
