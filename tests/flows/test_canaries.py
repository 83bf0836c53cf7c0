"""Secrets are planted everywhere and looked for everywhere: each is where it is meant to arrive, and nowhere else."""

import asyncio
import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from compose.stack import Stack
from schemas.topics import DELIVER, EVENTS, SUBSCRIPTIONS
from tests.flows.canaries import PIECE, Canaries, forms_of
from tests.flows.conftest import Organization
from tests.flows.in_force import METERED, metrics_url
from tests.flows.recorder import Recorder, always, fails

pytestmark = [pytest.mark.flow, pytest.mark.kafka, pytest.mark.postgres, pytest.mark.timeout(240)]

SECRET = b"Hc7wQ2mVx9Lr4TzNp8Bd3YkJs6Gf1AeU"
HEX_SECRET = "3fa94c07d1e8b26590af7c34e1d8b6523fa94c07d1e8b26590af7c34e1d8b652"
HEADER = "Bearer Vb5nR8kXw2QmZt7LpC4yHs9D"
PASSWORD = "pW6jT3zKd8RqXv1MnB5cYf9G"  # in an event's data, under a name that is removed
QUERY = "uQ9sL4hNx7JwEz2RkV6tPm3B"
WRONG_TOKEN = "gD2fW8yMq5ZxCj7TvK4nRb6H"
REFUSED = "rX3kS7mHv9PdNq4WzL8tJc5Y"  # in requests that are refused
CONTROL = "nF4cG8wBt6KyVp2XqM7rDz9L"  # not secret: it shows that the places are looked into
PATH = "eR5tY2uHj8KmNb6VcX3zQw7P"  # of a request, for the log of the API


@pytest.fixture
def talkative(servers_folder: Path) -> Iterator[Stack]:
    """Return a stack that says all it can: debug logs, and metrics of every process."""
    env = {"HOOKLINE_RETRY_WAITS": "1s", "HOOKLINE_LOG_LEVEL": "debug", **METERED}
    stack = Stack(servers_folder / "canaries", env=env)
    stack.start()
    try:
        yield stack
    finally:
        stack.stop()


@pytest.mark.parametrize("form", sorted(forms_of(SECRET)))
def test_a_piece_of_any_form_is_found(form: bytes) -> None:
    canaries = Canaries({"secret": SECRET})
    for at in (0, 5, len(form) - PIECE):
        text = b"x" * 50 + form[at : at + PIECE] + b"y" * 50
        assert [leak.canary for leak in canaries.found_in({"here": text})] == ["secret"]
        assert canaries.found_in({"here": text[:50] + form[at : at + PIECE - 1] + text[62:]}) == []


@pytest.mark.parametrize("before", ["", "a", "ab"])
def test_a_secret_within_an_encoded_text_is_found_wherever_it_begins(before: str) -> None:
    encoded = base64.b64encode(before.encode() + SECRET + b" and more")
    assert Canaries({"secret": SECRET}).found_in({"here": encoded})


@pytest.mark.slow
async def test_planted_secrets_are_found_nowhere(talkative: Stack, recorder: Recorder) -> None:
    organization = f"org_{uuid4().hex[:12]}"
    headers = {"Authorization": f"Bearer {talkative.admin_token}", "Hookline-Organization": organization}
    async with httpx.AsyncClient(base_url=talkative.api_url, headers=headers, trust_env=False, timeout=30) as api:
        customer = Organization(organization, api, talkative)
        shown_once = await _deliver(customer, recorder)
        answers = await _refusals(api)
        await _poison(talkative, customer)
        answers |= await _answers(customer)
        metrics = {name: await _text(metrics_url(talkative, name)) for name in ("worker-0", "mover", "projector")}
        metrics["api"] = await _text(f"{talkative.api_url}/metrics")

    places = {
        **{f"log of {path.name}": path.read_bytes() for path in (talkative.folder / "logs").glob("*.log")},
        **{f"metrics of {name}": text for name, text in metrics.items()},
        **{f"answer to {name}": text for name, text in answers.items()},
        **{f"table {name}": text for name, text in (await _dump(talkative.database_url)).items()},
        **{f"topic {name}": text for name, text in (await asyncio.to_thread(_topics, talkative)).items()},
    }
    _, master_key = (talkative.folder / "master-keys").read_text().split(":")
    password = talkative.database_url.split(":")[2].split("@")[0]
    planted = {
        "a secret": SECRET,
        "a brought secret": HEX_SECRET.encode(),
        **{f"a secret made by Hookline, {at}": base64.b64decode(made[6:]) for at, made in enumerate(shown_once)},
        **{f"a secret made by Hookline, {at}, as text": made.encode() for at, made in enumerate(shown_once)},
        "a header": HEADER.encode(),
        "a sensitive field": PASSWORD.encode(),
        "a wrong token": WRONG_TOKEN.encode(),
        "what was refused": REFUSED.encode(),
        "the administrator's token": talkative.admin_token.encode(),
        "the master key": base64.b64decode(master_key),
        "the master key as text": master_key.strip().encode(),
        "the database's password": password.encode(),
    }
    others = {"a query": QUERY.encode(), "control": CONTROL.encode(), "path": PATH.encode()}
    leaks = Canaries(planted | others).found_in(places)
    assert [leak for leak in leaks if leak.canary in planted] == []
    # A URL is where a subscription is sent to, and no secret to Hookline: it stands with the subscription alone.
    by_place = {leak.place for leak in leaks if leak.canary == "a query"}
    assert by_place == {"table subscriptions", f"topic {SUBSCRIPTIONS}", "answer to /subscriptions"}
    # The controls: what is meant to be there is found there, in the log, in tables, on topics, and at the receiver.
    found = {leak.place for leak in leaks if leak.canary in {"control", "path"}}
    assert found >= {"log of api.log", f"topic {EVENTS}", f"topic {DELIVER}", "answer to /events"}
    assert any(place.startswith("table events") for place in found)
    received = {"received": repr(recorder.requests_to("good")).encode()}
    assert {leak.canary for leak in Canaries(planted).found_in(received)} == {"a header"}


async def _deliver(customer: Organization, recorder: Recorder) -> list[str]:
    """Deliver well, in vain and after a failure; return the secrets that were shown, once each."""
    secret = f"whsec_{base64.b64encode(SECRET).decode()}"
    own = {"headers": {"Authorization": HEADER, "X-Api-Key": HEADER}}
    shown = []
    for name, answer, given in (
        ("good", always(204), {"secret": secret}),
        ("flaky", fails(1), {"secret": HEX_SECRET}),
        ("dead", always(500), {}),
        ("gone", always(410), {}),
    ):
        url = f"{recorder.path(name, answer)}?token={QUERY}"
        created = await customer.subscribe(url, "user.created", **own, **given)
        if not given:
            shown.append(created["secret"])
        if name == "good":
            kept = {"Idempotency-Key": f"key-{uuid4().hex}"}
            rotated = await customer.api.post(f"/api/v1/subscriptions/{created['id']}/rotate-secret", headers=kept)
            shown.append(rotated.json()["secret"])
    async with asyncio.timeout(30):
        while not all(recorder.requests_to(name) for name in ("good", "flaky", "dead", "gone")):
            data = {"id": "u1", "name": CONTROL, "password": PASSWORD, "api_key": PASSWORD}
            await customer.post("/events", {"type": "user.created", "data": data}, status=202)
            await asyncio.sleep(0.5)
    await customer.until("/deliveries", lambda page: bool(page["data"]), state="failed", within_s=30)
    await customer.until("/deliveries", lambda page: not page["data"], state="retrying", within_s=30)
    return shown


async def _refusals(api: httpx.AsyncClient) -> dict[str, bytes]:
    """Send what is refused, with secrets in every part of it; return the answers."""
    good = {"url": "https://example.com/in", "event_types": ["*"]}
    bodies: dict[str, Any] = {
        "a bad secret": {**good, "secret": f"whsec_{REFUSED}!"},
        "a short secret": {**good, "secret": REFUSED[:20]},
        "a bad header": {**good, "headers": {"X-A": f"{REFUSED}\r\n"}},
        "a number for a header": {**good, "headers": {"X-A": [REFUSED]}},
        "a user in the URL": {**good, "url": f"https://me:{REFUSED}@example.com/"},
        "a bad event": {"type": "user.created", "data": {"password": REFUSED}},
    }
    answers = {}
    for name, body in bodies.items():
        answer = await api.post("/api/v1/events" if "event" in name else "/api/v1/subscriptions", json=body)
        assert answer.status_code == 422, (name, answer.text)
        answers[name] = answer.content
    broken = b'{"secret": "' + REFUSED.encode()
    answers["no JSON"] = (await api.post("/api/v1/subscriptions", content=broken)).content
    for name, token in (("a wrong token", WRONG_TOKEN), ("a token too many", f"{WRONG_TOKEN} {WRONG_TOKEN}")):
        refused = await api.get("/api/v1/subscriptions", headers={"Authorization": f"Bearer {token}"})
        assert refused.status_code == 401
        answers[name] = refused.content
    answers["the control"] = (await api.get(f"/api/v1/subscriptions/{PATH}")).content
    return answers


async def _poison(stack: Stack, customer: Organization) -> None:
    """Put on the topics what nobody can read, and wait until it is in the quarantine."""
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    for topic in (EVENTS, DELIVER):
        for value in (b"", b"\xc3\x01garbage", b"x" * 1000):
            producer.produce(topic, key=b"sub_poison", value=value)
    assert producer.flush(30) == 0
    await customer.until("/quarantine", lambda page: len(page["data"]) >= 4, within_s=30)


async def _answers(customer: Organization) -> dict[str, bytes]:
    found = {}
    for path in ("/subscriptions", "/deliveries", "/events", "/quarantine", "/stats"):
        found[path] = (await customer.api.get(f"/api/v1{path}")).content
    for delivery in json.loads(found["/deliveries"])["data"][:20]:
        path = f"/deliveries/{delivery['id']}"
        found[path] = (await customer.api.get(f"/api/v1{path}")).content
    return found


async def _text(url: str) -> bytes:
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(url)).content


async def _dump(database_url: str) -> dict[str, bytes]:
    """Return every table as COPY writes it; bytea as hex there, so once more as bytes."""
    db = await asyncpg.connect(database_url)
    try:
        tables = await db.fetch(
            "SELECT nspname, relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE relkind = 'r' AND nspname NOT IN ('pg_catalog', 'information_schema')"
        )
        found = {}
        for schema, table in tables:
            out, binary = io.BytesIO(), io.BytesIO()
            await db.copy_from_table(table, schema_name=schema, output=out)
            await db.copy_from_table(table, schema_name=schema, output=binary, format="binary")
            found[table] = out.getvalue() + b"\n" + binary.getvalue()
        return found
    finally:
        await db.close()


def _topics(stack: Stack) -> dict[str, bytes]:
    """Return every topic's keys, values and headers, unpacked; of Kafka's own topics too."""
    consumer = Consumer({"bootstrap.servers": stack.bootstrap_servers, "group.id": f"canaries-{uuid4().hex}"})
    try:
        found = {}
        for topic, about in consumer.list_topics(timeout=30).topics.items():
            places = [TopicPartition(topic, each, OFFSET_BEGINNING) for each in about.partitions]
            marks = {each.partition: consumer.get_watermark_offsets(each, timeout=30) for each in places}
            ends = {partition: high for partition, (low, high) in marks.items() if low < high}
            consumer.assign(places)
            parts: list[bytes] = []
            while any(each.offset < ends.get(each.partition, each.offset) for each in consumer.position(places)):
                for record in consumer.consume(1000, timeout=0.1):
                    parts += [record.key() or b"", record.value() or b"", repr(record.headers()).encode()]
            found[topic] = b"\n".join(parts)
        return found
    finally:
        consumer.close()
