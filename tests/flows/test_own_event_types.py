"""An organization's own event type: defined, published, delivered; what breaks it is refused, or quarantined."""

import asyncio
import base64
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from compose.stack import Stack
from producers.event_types import following_event_types
from producers.publisher import event_record
from producers.settings import KafkaSettings
from schemas.envelope import new_event
from schemas.ids import new_event_id
from tests.flows.conftest import Organization
from tests.flows.recorder import Recorder

pytestmark = [pytest.mark.flow, pytest.mark.kafka, pytest.mark.postgres]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "own-event-types.md").read_text()
STRING = {"name": "order_id", "type": "string"}
PHONE = {"name": "phone", "type": ["null", "string"], "default": None, "sensitivity": "secret"}
SIZE = {"name": "size", "type": ["null", "int"], "default": None}


def schema(*fields: Any) -> dict[str, Any]:
    return {"type": "record", "name": "shipped", "fields": [*fields]}


async def define(organization: Organization, name: str, *fields: Any) -> None:
    body = {"name": name, "description": "It left.", "schema": schema(*fields), "example": {"order_id": "o"}}
    await organization.post("/event-types", body, status=201)


async def published(organization: Organization, name: str, data: object) -> str:
    """Publish over REST: until Kafka has the type, the answer is 503 and asks for patience."""
    async with asyncio.timeout(60):
        while True:
            answer = await organization.api.post("/api/v1/events", json={"type": name, "data": data})
            if answer.status_code == 202:
                return str(answer.json()["id"])
            assert answer.status_code in {422, 503}, answer.text
            await asyncio.sleep(0.02)


def data_of(request: Any) -> Any:
    return json.loads(request.body)["data"]


async def test_is_defined_published_and_delivered_and_changes_only_in_ways_that_break_nobody(
    stack: Stack, organization: Organization, recorder: Recorder
) -> None:
    name = f"order.shipped_{uuid4().hex[:8]}"
    await define(organization, name, STRING, PHONE)
    await organization.subscribe(recorder.path("own"), name)
    await published(organization, name, {"order_id": "1", "phone": "555"})
    requests = await recorder.until("own", lambda requests: len(requests) >= 1, within_s=60)
    assert data_of(requests[0]) == {"order_id": "1", "phone": "***"}

    url = f"/api/v1/event-types/{name}"
    broken = await organization.api.patch(url, json={"schema": schema({"name": "order_id", "type": "long"})})
    assert (broken.status_code, broken.json()["errors"][0]["detail"][:13]) == (409, "data.order_id")
    grown = await organization.api.patch(url, json={"schema": schema(STRING, SIZE)})
    assert (grown.status_code, grown.json()["version"]) == (200, 2)

    def follow() -> None:  # a service publishes by the new version, as soon as its catalogue has it
        with following_event_types(KafkaSettings(bootstrap_servers=stack.bootstrap_servers)) as catalogue:
            while catalogue.of(name, organization.id).version < 2:
                pass
            event = new_event(
                type=name, organization_id=organization.id, data={"order_id": "2", "size": 3}, catalogue=catalogue
            )
            record = event_record(event, source="/tests")
            producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
            producer.produce(record.topic, record.value, record.key, headers=[*record.headers])
            assert producer.flush(30) == 0

    await asyncio.wait_for(asyncio.to_thread(follow), 30)
    requests = await recorder.until("own", lambda requests: len(requests) >= 2, within_s=60)
    assert data_of(requests[1]) == {"order_id": "2", "size": 3}


async def test_what_breaks_it_on_the_topic_is_quarantined_and_delivered_once_it_is_mended(
    stack: Stack, organization: Organization, recorder: Recorder
) -> None:
    name = f"order.packed_{uuid4().hex[:8]}"
    await define(organization, name, STRING)
    await organization.subscribe(recorder.path("packed"), name)
    first = await published(organization, name, {"order_id": "1"})
    await recorder.until("packed", lambda requests: len(requests) >= 1, within_s=60)

    # Straight to Kafka, by a client that checks nothing: a field that the type does not have.
    checked = new_event(type="hookline.test", organization_id=organization.id, data={"order_id": "2", "size": 3})
    event = replace(checked, id=new_event_id(), type=name)
    record = event_record(event, source="/tests")
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    producer.produce(record.topic, record.value, record.key, headers=[*record.headers])
    assert producer.flush(30) == 0
    wanted = base64.b64encode(record.value or b"").decode()

    def of_mine(page: Any) -> list[Any]:
        return [each for each in page["data"] if each["value"] and each["value"]["data"] == wanted]

    page = await organization.until("/quarantine", lambda page: bool(of_mine(page)), limit=100)
    (kept,) = of_mine(page)
    assert (kept["stage"], kept["error_class"]) == ("route", "InvalidInput")
    assert "/data/size" in kept["error"]

    mended = await organization.api.patch(f"/api/v1/event-types/{name}", json={"schema": schema(STRING, SIZE)})
    assert mended.status_code == 200, mended.text
    await published(organization, name, {"order_id": "3", "size": 4})  # when this is taken, Kafka has version 2
    await organization.post(f"/quarantine/{kept['id']}/retry", status=200)
    requests = await recorder.until("packed", lambda requests: len(requests) >= 3, within_s=60)
    assert {request.webhook_id for request in requests} >= {first, event.id}
    assert sorted(data_of(request)["order_id"] for request in requests) == ["1", "2", "3"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="the page's commands use curl")
async def test_the_pages_commands_run_one_after_the_other(stack: Stack, tmp_path: Path) -> None:
    blocks = re.findall(r"<!-- run -->\n```sh\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 4
    command = tmp_path / "hookline"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m compose.command "$@"\n')
    command.chmod(0o755)
    env = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOOKLINE_API_URL": stack.api_url,
        "HOOKLINE_ADMIN_TOKEN": stack.admin_token,
    }
    said = []
    for block in blocks:
        ran = await asyncio.to_thread(
            subprocess.run,
            ["bash", "-euc", block],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        said.append(ran.stdout)
    assert "would be its first version" in said[0]
    assert re.search(r"order\.shipped +own +active +v1 ", said[0])
    assert '"name":"order.lost"' in said[1].replace(" ", "")
    assert "would be version 2, beside 1" in said[2]
    assert next(line for line in PAGE.splitlines() if line.startswith("    data.order_id")).strip() in said[2]
    assert "exit code 1" in said[2]
    assert "parcels" not in said[3]


async def test_what_becomes_of_one_is_delivered_to_who_subscribes_to_it(
    organization: Organization, recorder: Recorder
) -> None:
    await organization.subscribe(recorder.path("told"), "event_type.*")
    name = f"order.told_{uuid4().hex[:8]}"
    await define(organization, name, STRING)
    answer = await organization.api.patch(f"/api/v1/event-types/{name}", json={"state": "deprecated"})
    assert answer.status_code == 200, answer.text
    requests = await recorder.until("told", lambda requests: len(requests) >= 3, within_s=60)
    bodies = {body["type"]: body for body in (json.loads(request.body) for request in requests)}
    assert bodies.keys() == {"event_type.defined", "event_type.released", "event_type.deprecated"}
    assert {body["data"]["name"] for body in bodies.values()} == {name}
    assert bodies["event_type.deprecated"]["previous"] == {"state": "active"}
