"""kafkajs on Node publishes JSON CloudEvents to the real Kafka, and the whole stack delivers them."""

import asyncio
import json
import logging
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import httpx
import structlog
from standardwebhooks import Webhook

from compose.stack import Stack
from schemas.topics import CLOUDEVENTS
from tests.flows.in_force import METERED, in_force
from tests.flows.recorder import Recorder, Request

_WITHIN_S = 60.0
_ORGANIZATION = "org_verifiers"
_EVENT = {
    "specversion": "1.0",
    "id": "set by each",
    "source": "/a-service",
    "type": "user.created",
    "subject": "user_123",
    "organizationid": _ORGANIZATION,
    "zone": "Köln",
    "data": {"id": "user_123", "password": "hunter2"},
}


def judged(folder: Path, node: str) -> dict[str, bool]:
    """Return, for each promise to a service in another language, whether it was kept."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory(prefix="hookline-verifiers-", ignore_cleanup_errors=True) as data:
        stack = Stack(Path(data) / "stack", env=METERED)
        stack.start()
        try:
            return asyncio.run(_judged(stack, folder, node))
        finally:
            stack.stop()


async def _judged(stack: Stack, folder: Path, node: str) -> dict[str, bool]:
    headers = {"Authorization": f"Bearer {stack.admin_token}", "Hookline-Organization": _ORGANIZATION}
    async with Recorder() as recorder, httpx.AsyncClient(base_url=stack.api_url, headers=headers) as api:
        wanted = {"url": recorder.path("here"), "event_types": ["user.*"]}
        created = (await api.post("/api/v1/subscriptions", json=wanted)).json()
        await in_force(stack)
        event = {**_EVENT, "time": datetime.now(UTC).isoformat()}
        given = json.dumps({"bootstrap": stack.bootstrap_servers, "topic": CLOUDEVENTS, "event": event})
        ran = await asyncio.to_thread(
            subprocess.run, [node, "cloudevents.mjs", given], cwd=folder, stdout=subprocess.PIPE, timeout=_WITHIN_S
        )
        requests = await recorder.until("here", _two, within_s=_WITHIN_S)
        quarantined = await _quarantined(api)
    bodies = [Webhook(created["secret"]).verify(request.body, request.headers) for request in requests]
    return {
        "kafkajs publishes": ran.returncode == 0 and json.loads(ran.stdout) is True,
        "structured and binary are delivered, signed": len(_ids(requests)) == 2,
        "as they were written, without the password": all(
            (body["data"], body["metadata"]) == ({"id": "user_123"}, {"zone": "Köln"}) for body in bodies
        ),
        "one that does not hold is quarantined": any("/data/id" in each for each in quarantined),
    }


def _two(requests: list[Request]) -> bool:
    return len(_ids(requests)) == 2


def _ids(requests: list[Request]) -> set[str]:
    return {request.webhook_id for request in requests}


async def _quarantined(api: httpx.AsyncClient) -> list[str]:
    """Return why records were quarantined, once the log has one."""
    async with asyncio.timeout(_WITHIN_S):
        while True:
            page = (await api.get("/api/v1/quarantine", params={"stage": "convert"})).json()
            if page["data"]:
                return [str(each) for each in page["data"]]
            await asyncio.sleep(0.2)
