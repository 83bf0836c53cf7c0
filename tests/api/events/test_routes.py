"""Events over REST, to the real Kafka: 202 when it has them, and never when it has not."""

import asyncio
import time
from typing import Any

import httpx
import orjson
import pytest
from confluent_kafka import Consumer

from producers.settings import KafkaSettings
from schemas.records import Event
from tests.api.conftest import NO_DATABASE_URL, client_of, settings_of
from tests.api.events.reading import next_of
from tests.api.problem import pointers_of, problem_of
from tests.machine import SLOW_MACHINE_S

PATH = "/api/v1/events"
MINIMAL: dict[str, Any] = {"type": "user.created", "data": {"id": "user_123"}}
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.kafka
@pytest.mark.postgres
async def test_an_event_is_on_kafka_when_202_is_out(
    events: Consumer, kafka_with_events: KafkaSettings, shared_url: str
) -> None:
    body = {
        **MINIMAL,
        "data": {"id": "user_123", "email": "user@example.com"},
        "key": "user_123",
        "previous": {"email": None},
        "metadata": {"source": "tests"},
        "id": "their-id",
    }
    headers = {"Hookline-Organization": "org_789", "traceparent": TRACEPARENT}
    async with client_of(settings_of(shared_url), kafka_with_events) as api:
        response = await api.post(PATH, json=body, headers=headers)
        assert response.status_code == 202, response.text
        event, message = next_of(events)
        text = (await api.get("/metrics")).text
    assert response.json() == {"id": event.id}
    assert (event.type, event.organization_id, event.key, event.source_id) == (
        "user.created",
        "org_789",
        "user_123",
        "their-id",
    )
    assert [orjson.loads(part or b"null") for part in (event.data, event.previous, event.metadata)] == [
        body["data"],
        body["previous"],
        body["metadata"],
    ]
    assert message.key() == b"user_123"
    carried = dict(message.headers() or [])
    assert carried["ce_id"] == event.id.encode()
    assert carried["traceparent"] == TRACEPARENT.encode()
    assert 'hookline_api_events_total{outcome="published"} 1.0' in text


@pytest.mark.kafka
async def test_sensitive_fields_do_not_leave(events: Consumer, kafka_with_events: KafkaSettings) -> None:
    body = {**MINIMAL, "metadata": {"password": "their-password", "kept": 1}}
    async with client_of(settings_of(NO_DATABASE_URL), kafka_with_events) as api:
        assert (await api.post(PATH, json=body)).status_code == 202
    event, message = next_of(events)
    assert event.metadata == b'{"kept":1}'
    assert b"their-password" not in (message.value() or b"")


@pytest.mark.kafka
@pytest.mark.parametrize(
    "traceparent", ["nonsense", TRACEPARENT + "\u00e9", TRACEPARENT.upper(), f"00-{'0' * 32}-00f067aa0ba902b7-01"]
)
async def test_a_broken_trace_is_not_passed_on(
    events: Consumer, kafka_with_events: KafkaSettings, traceparent: str
) -> None:
    async with client_of(settings_of(NO_DATABASE_URL), kafka_with_events) as api:
        headers = [(b"traceparent", traceparent.encode())]
        assert (await api.post(PATH, json=MINIMAL, headers=headers)).status_code == 202
    _, message = next_of(events)
    assert "traceparent" not in dict(message.headers() or [])


@pytest.mark.kafka
async def test_a_hundred_at_once_each_get_their_own_id(events: Consumer, kafka_with_events: KafkaSettings) -> None:
    async with client_of(settings_of(NO_DATABASE_URL), kafka_with_events) as api:  # without `id` it needs none
        answers = await asyncio.gather(*(api.post(PATH, json={**MINIMAL, "key": str(n)}) for n in range(100)))
    published = dict(_id_and_key(next_of(events)[0]) for _ in range(100))
    assert {answer.json()["id"]: str(n) for n, answer in enumerate(answers)} == published
    assert events.poll(0.5) is None


def _id_and_key(event: Event) -> tuple[str, str | None]:
    return event.id, event.key


@pytest.mark.parametrize(
    ("fields", "pointers"),
    [
        ({"type": None}, ["/type"]),
        ({"type": ""}, ["/type"]),
        ({"data": None}, ["/data"]),
        ({"data": []}, ["/data"]),
        ({"data": {}}, ["/data/id"]),
        ({"data": {"id": 1}}, ["/data/id"]),
        ({"data": {"id": "x", "unknown": 1}}, ["/data/unknown"]),
        ({"data": {"id": "x", "a/b": 1}}, ["/data/a~1b"]),
        ({"type": "hookline.test", "data": {"n": 2**64}}, ["/data/n"]),
        ({"key": ""}, ["/key"]),
        ({"key": 1}, ["/key"]),
        ({"key": "x" * 256}, ["/key"]),
        ({"previous": []}, ["/previous"]),
        ({"metadata": "x"}, ["/metadata"]),
        ({"metadata": {"n": 2**64}}, ["/metadata/n"]),
        ({"id": ""}, ["/id"]),
        ({"id": "x" * 256}, ["/id"]),
        ({"organization_id": "org_other"}, ["/organization_id"]),  # it is the caller's
        ({"unknown": 1}, ["/unknown"]),
    ],
)
async def test_what_does_not_hold_is_pointed_at(
    bare_api: httpx.AsyncClient, fields: dict[str, object], pointers: list[str]
) -> None:
    assert pointers_of(await bare_api.post(PATH, json={**MINIMAL, **fields})) == pointers


@pytest.mark.postgres
@pytest.mark.parametrize("name", ["no.such", "user.*"])
async def test_a_type_that_nobody_defined_is_pointed_at(api: httpx.AsyncClient, name: str) -> None:
    assert pointers_of(await api.post(PATH, json={**MINIMAL, "type": name})) == ["/type"]


@pytest.mark.parametrize("missing", ["type", "data"])
async def test_what_is_missing_is_pointed_at(bare_api: httpx.AsyncClient, missing: str) -> None:
    body = {name: value for name, value in MINIMAL.items() if name != missing}
    assert pointers_of(await bare_api.post(PATH, json=body)) == [f"/{missing}"]


@pytest.mark.parametrize(
    "text",
    [
        '"' + "é" * 1000 + '"',  # two bytes each
        "[" + ",".join(["1E5"] * 300) + "]",  # grows when it is written as 100000.0
    ],
)
async def test_an_event_over_the_limit_is_413(text: str) -> None:
    body = f'{{"type": "hookline.test", "data": {{"text": {text}}}}}'.encode()
    async with client_of(settings_of(NO_DATABASE_URL, largest_event_bytes=2000)) as api:
        problem_of(await api.post(PATH, content=body, headers={"Content-Type": "application/json"}), 413)


@pytest.mark.slow
async def test_without_kafka_it_is_503_within_10_s_and_no_more_may_wait_than_the_limit() -> None:
    async with client_of(settings_of(NO_DATABASE_URL, most_waiting_events=1)) as api:
        started = time.monotonic()
        first = asyncio.create_task(api.post(PATH, json=MINIMAL))
        await asyncio.sleep(0.2)
        at_once = await api.post(PATH, json=MINIMAL)
        assert not first.done()
        response = await first
        assert time.monotonic() - started < 10 + SLOW_MACHINE_S
        text = (await api.get("/metrics")).text
    for refused in (at_once, response):
        problem_of(refused, 503)
        assert int(refused.headers["retry-after"]) >= 1
    assert 'hookline_api_events_total{outcome="failed"} 2.0' in text


@pytest.mark.slow
@pytest.mark.kafka
async def test_a_topic_that_is_not_there_is_503_and_no_false_202(
    bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producers.making.EVENTS", "hookline.not-applied-yet")  # a broker without our topics
    async with client_of(settings_of(NO_DATABASE_URL), KafkaSettings(bootstrap_servers=bootstrap)) as api:
        started = time.monotonic()
        problem_of(await api.post(PATH, json=MINIMAL), 503)
        assert time.monotonic() - started < 10 + SLOW_MACHINE_S
