"""POST …/test: to the real Kafka, and the outcome as the projection writes it, by this test in its place."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
from confluent_kafka import Consumer
from sqlalchemy import text

from api.database import engine_of, transaction_of
from api.deliveries.tables import AttemptRow
from api.subscriptions.outcomes import CHANNEL
from producers.settings import KafkaSettings
from schemas.catalogue import catalogue
from schemas.codec import decode
from schemas.ids import delivery_id_of, made_at, new_attempt_id
from schemas.records import NOWHERE, Delivery
from schemas.topics import DELIVER
from tests.api.conftest import client_of, settings_of
from tests.api.problem import pointers_of, problem_of
from tests.api.reading import reading_from_now
from tests.api.subscriptions.making import ELSEWHERE, PATH, UNKNOWN, made, rows_of


@pytest.fixture
def deliveries(bootstrap: str) -> Iterator[Consumer]:
    with reading_from_now(bootstrap, DELIVER) as consumer:
        yield consumer


@asynccontextmanager
async def api_with_kafka(url: str, bootstrap: str) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(settings_of(url), KafkaSettings(bootstrap_servers=bootstrap)) as api:
        api.headers["Hookline-Organization"] = f"org_{uuid4().hex}"
        yield api


async def next_of(consumer: Consumer, subscription_id: str) -> Delivery:
    """Return the next delivery of a subscription."""
    async with asyncio.timeout(20):
        while True:
            message = await asyncio.to_thread(consumer.poll, 0.05)
            if message is not None and message.key() == subscription_id.encode():
                return decode(Delivery, message.value())


async def project(url: str, delivery: Delivery, **fields: Any) -> None:
    """Write the outcome of a test and say so, in one transaction, as the projection does."""
    now = datetime.now(UTC)
    attempt_id = new_attempt_id()
    row = AttemptRow(
        id=attempt_id,
        at=made_at(attempt_id),
        organization_id=delivery.organization_id,
        delivery_id=delivery.id,
        round="0",
        attempt=1,
        started_at=now,
        due_at=delivery.due_at,
        duration_ms=12,
        url="https://93.184.216.34/in",
        address="93.184.216.34:443",
        request_headers={"webhook-id": delivery.event_id, "webhook-signature": "***"},
        response_truncated=False,
        body_bytes=len(delivery.body),
        subscription_version=delivery.subscription_version,
        worker="worker-0",
        **fields,
    )
    engine = engine_of(settings_of(url))
    async with transaction_of(engine) as db:
        db.add(row)
        await db.execute(text(f"SELECT pg_notify('{CHANNEL}', :id)"), {"id": delivery.id})
    await engine.dispose()


@pytest.mark.postgres
@pytest.mark.kafka
async def test_the_answer_is_what_the_receiver_said(shared_url: str, bootstrap: str, deliveries: Consumer) -> None:
    async with api_with_kafka(shared_url, bootstrap) as api:
        subscription = await made(api, enabled=False)  # it may be tried while it is disabled
        asked = asyncio.create_task(api.post(f"{PATH}/{subscription['id']}/test"))
        delivery = await next_of(deliveries, subscription["id"])
        await project(
            shared_url,
            delivery,
            state="failed",
            status=404,
            error_kind="http",
            error="the receiver answered 404",
            response_headers={"content-type": "text/plain"},
            response_body=b"nobody here",
        )
        response = await asked
    assert response.status_code == 200, response.text
    answer = response.json()
    assert (answer["delivery_id"], answer["state"], answer["error_kind"]) == (delivery.id, "failed", "http")
    assert answer["response"]["status"] == 404
    assert answer["response"]["body"] == "nobody here"
    assert answer["request"]["body"] == delivery.body.decode()
    assert answer["request"]["headers"]["webhook-signature"] == "***"

    assert (delivery.is_test, delivery.event_position, delivery.attempt, delivery.round) == (True, NOWHERE, 1, "0")
    assert delivery.id == delivery_id_of(delivery.event_id, delivery.subscription_id)
    body = orjson.loads(delivery.body)
    assert (body["type"], body["data"]) == ("hookline.test", catalogue()["hookline.test"].example)
    [event] = await rows_of(shared_url, "SELECT * FROM events WHERE id = $1", delivery.event_id)
    assert (event["partition"], event["type"], event["body"]) == (-1, "hookline.test", delivery.body)
    assert event["at"] == made_at(delivery.event_id)
    assert event["organization_id"] == body["organization_id"] == delivery.organization_id


@pytest.mark.postgres
@pytest.mark.kafka
@pytest.mark.parametrize(
    ("asked", "data"),
    [
        ({"event_type": "user.created"}, dict(catalogue()["user.created"].example)),
        ({"event_type": "user.created", "data": {"id": "user_1"}}, {"id": "user_1"}),
        ({"data": {"any": [1]}}, {"any": [1]}),
        ({"data": {}}, {}),
        ({"event_type": None, "data": None}, dict(catalogue()["hookline.test"].example)),
    ],
)
async def test_the_event_is_the_one_asked_for(
    shared_url: str, bootstrap: str, deliveries: Consumer, asked: dict[str, object], data: dict[str, object]
) -> None:
    async with api_with_kafka(shared_url, bootstrap) as api:
        subscription = await made(api)
        waiting = asyncio.create_task(api.post(f"{PATH}/{subscription['id']}/test", json=asked))
        delivery = await next_of(deliveries, subscription["id"])
        await project(shared_url, delivery, state="success", status=204)
        assert (await waiting).json()["state"] == "success"
    body = orjson.loads(delivery.body)
    assert body["type"] == delivery.event_type == (asked.get("event_type") or "hookline.test")
    assert body["data"] == data


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.kafka
async def test_past_the_timeout_and_five_seconds_it_is_202_and_the_same_key_sends_no_other(
    shared_url: str, bootstrap: str, deliveries: Consumer
) -> None:
    async with api_with_kafka(shared_url, bootstrap) as api:
        subscription = await made(api, timeout_s=1)
        at, key = f"{PATH}/{subscription['id']}/test", {"Idempotency-Key": uuid4().hex}
        started = time.monotonic()
        response = await api.post(at, headers=key)
        assert 6 <= time.monotonic() - started < 20
        again = await api.post(at, headers=key)
    delivery = await next_of(deliveries, subscription["id"])
    assert (response.status_code, response.json()) == (202, {"delivery_id": delivery.id})
    assert (again.status_code, again.json()) == (202, {"delivery_id": delivery.id})
    assert again.headers["idempotent-replayed"] == "true"


@pytest.mark.postgres
async def test_without_kafka_it_is_503(api: httpx.AsyncClient) -> None:
    subscription = await made(api)
    response = await api.post(f"{PATH}/{subscription['id']}/test")
    assert "Kafka" in str(problem_of(response, 503)["detail"])
    assert int(response.headers["retry-after"]) >= 1


@pytest.mark.postgres
async def test_what_is_not_there_or_anothers_is_404_and_makes_no_event(api: httpx.AsyncClient, shared_url: str) -> None:
    subscription = await made(api)
    for path in (UNKNOWN, "nope", "%00"):
        problem_of(await api.post(f"{PATH}/{path}/test"), 404)
    problem_of(await api.post(f"{PATH}/{subscription['id']}/test", headers=ELSEWHERE), 404)
    organizations = [api.headers["Hookline-Organization"], ELSEWHERE["Hookline-Organization"]]
    assert await rows_of(shared_url, "SELECT 1 FROM events WHERE organization_id = ANY($1)", organizations) == []


@pytest.mark.parametrize(
    ("fields", "pointers"),
    [
        ({"event_type": ""}, ["/event_type"]),
        ({"event_type": 1}, ["/event_type"]),
        ({"data": []}, ["/data"]),
        ({"data": "x"}, ["/data"]),
        ({"unknown": 1}, ["/unknown"]),
    ],
)
async def test_a_body_that_does_not_hold_is_pointed_at(
    bare_api: httpx.AsyncClient, fields: dict[str, object], pointers: list[str]
) -> None:
    assert pointers_of(await bare_api.post(f"{PATH}/{UNKNOWN}/test", json=fields)) == pointers


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("fields", "pointers"),
    [
        ({"data": {"n": 2**64}}, ["/data/n"]),
        ({"event_type": "user.created", "data": {}}, ["/data/id"]),
        ({"event_type": "user.created", "data": {"id": "x", "unknown": 1}}, ["/data/unknown"]),
    ],
)
async def test_data_that_does_not_hold_is_pointed_at(
    api: httpx.AsyncClient, fields: dict[str, object], pointers: list[str]
) -> None:
    assert pointers_of(await api.post(f"{PATH}/{UNKNOWN}/test", json=fields)) == pointers


@pytest.mark.postgres
async def test_a_type_that_neither_we_nor_the_organization_have_is_pointed_at(api: httpx.AsyncClient) -> None:
    for name in ("no.such", "user.*", "\x00"):
        assert pointers_of(await api.post(f"{PATH}/{UNKNOWN}/test", json={"event_type": name})) == ["/event_type"]
