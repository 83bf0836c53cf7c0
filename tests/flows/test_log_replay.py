"""Yesterday for a subscription that was made today: the log again, whoever is killed, whatever Kafka has forgotten."""

import asyncio
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined] # re-exported without __all__

from compose.stack import Stack
from producers import Publisher
from schemas.topics import EVENTS as EVENTS_TOPIC
from tests.compose.shell import hookline
from tests.flows.conftest import Organization
from tests.flows.recorder import Recorder

pytestmark = [pytest.mark.slow, pytest.mark.flow, pytest.mark.kafka, pytest.mark.postgres, pytest.mark.timeout(180)]

PAGE = Path(__file__).parents[2] / "docs" / "replay.md"
EVENTS = 200


async def published(organization: Organization, publisher: Publisher, count: int = EVENTS) -> list[str]:
    """Publish events that nobody wants, and return their ids once the log has them."""
    receipts = [
        publisher.publish(
            type="user.created", organization_id=organization.id, data={"id": str(number)}, key=f"k{number % 4}"
        )
        for number in range(count)
    ]
    ids = [await receipt for receipt in receipts]
    await organization.until("/events", lambda page: any(each["id"] == ids[-1] for each in page["data"]), limit=100)
    return [str(each) for each in ids]


def has(count: int) -> Any:
    return lambda requests: len(requests) >= count


def ended(replay: Any) -> bool:
    return bool(replay["state"] == "completed")


def commands_of(heading: str) -> list[str]:
    """Return the command lines of docs/replay.md below a heading."""
    section = PAGE.read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = "\n".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL)).replace("\\\n", " ").splitlines()
    return [line.partition("#")[0].strip() for line in lines if line.startswith("hookline ")]


async def run(line: str, stack: Stack, organization: Organization) -> Any:
    words = [*shlex.split(line)[1:], "--organization", organization.id]
    env = {"HOOKLINE_API_URL": stack.api_url, "HOOKLINE_ADMIN_TOKEN": stack.admin_token}
    return await asyncio.to_thread(lambda: hookline(*words, **env))


async def test_replay_yesterday_as_the_page_says(
    stack: Stack, organization: Organization, recorder: Recorder, publisher: Publisher
) -> None:
    ids = await published(organization, publisher)
    assert len((await organization.get("/events", outcome="unwanted", since=an_hour_ago(), limit=100))["data"]) == 100
    created = await organization.subscribe(recorder.path("late"), "user.*")
    dry, watched = [line.replace("sub_019ab4…", created["id"]) for line in commands_of("Replay yesterday")[:2]]
    said = await run(dry, stack, organization)
    assert said.code == 0, said.err
    assert f"{EVENTS:,}" in said.out
    ran = await run(watched, stack, organization)
    assert ran.code == 0, ran.err
    requests = recorder.requests_to("late")
    assert {request.webhook_id for request in requests} == set(ids)
    assert len(requests) == EVENTS
    [replay] = {request.headers.get("hookline-replay") for request in requests}
    assert (await organization.get(f"/replays/{replay}"))["succeeded"] == EVENTS
    job = await organization.get(f"/jobs/{replay}")
    assert (job["state"], job["progress"]["percent"]) == ("completed", 100.0)
    assert (await organization.get("/events", outcome="never_delivered", since=an_hour_ago()))["data"] == []
    shown = await organization.get(f"/events/{ids[0]}")
    assert [(each["subscription_id"], each["state"]) for each in shown["deliveries"]] == [(created["id"], "success")]


async def test_kill_9_in_the_middle_and_retention_too_leave_nothing_missing(
    stack: Stack, organization: Organization, recorder: Recorder, publisher: Publisher
) -> None:
    ids = await published(organization, publisher)
    created = await organization.subscribe(recorder.path("late"), "user.*")
    asked = {"source": "log", "since": an_hour_ago(), "subscription_id": created["id"], "rate_per_s": 40}
    replay = await organization.post("/replays", asked, status=202)
    for kill in range(3):
        await recorder.until("late", has(40 * kill + 20), within_s=30)
        stack.kill("projector")
        stack.wait_until_ready("projector")
        if kill == 1:
            await asyncio.to_thread(forget_all, stack.bootstrap_servers)
    done = await organization.until(f"/replays/{replay['id']}", ended, within_s=60)
    assert (done["total"], done["succeeded"], done["error"]) == (EVENTS, EVENTS, None)
    came = [request.webhook_id for request in recorder.requests_to("late")]
    assert set(came) == set(ids)
    print(f"3 kill -9: {len(came) - EVENTS} of {EVENTS} sent twice")
    # What was published and not yet marked is sent anew; workers know the sending and skip it.
    assert len(came) - EVENTS <= EVENTS * 0.05


def an_hour_ago() -> str:
    from datetime import UTC, datetime, timedelta

    return (datetime.now(UTC) - timedelta(hours=1)).isoformat()


def forget_all(bootstrap: str) -> None:
    """Have Kafka delete every event, as retention does; workers have routed them all."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    numbers = admin.list_topics(EVENTS_TOPIC, timeout=30).topics[EVENTS_TOPIC].partitions
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call] # not in its stubs
    asked = admin.list_offsets({TopicPartition(EVENTS_TOPIC, number): latest for number in numbers})
    ends = {place.partition: future.result(20).offset for place, future in asked.items()}
    places = [TopicPartition(EVENTS_TOPIC, number, end) for number, end in ends.items() if end > 0]
    for deleted in admin.delete_records(places).values():
        deleted.result(20)
