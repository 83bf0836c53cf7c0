"""A batch: a result for each event, and none that stops the others."""

import asyncio
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer

from producers.settings import KafkaSettings
from tests.api.conftest import NO_DATABASE_URL, client_of, settings_of
from tests.api.events.reading import next_of
from tests.api.problem import pointers_of, problem_of

PATH = "/api/v1/events/batch"
EVENT: dict[str, Any] = {"type": "hookline.test", "data": {}}


async def results_of(api: httpx.AsyncClient, events: list[Any]) -> list[dict[str, Any]]:
    response = await api.post(PATH, json={"events": events})
    assert response.status_code == 202, response.text
    results: list[dict[str, Any]] = response.json()["results"]
    assert [result["index"] for result in results] == list(range(len(events)))
    return results


@pytest.mark.kafka
async def test_five_hundred_are_on_kafka_when_202_is_out_in_their_order(
    kafka_with_events: KafkaSettings, events: Consumer
) -> None:
    async with client_of(settings_of(NO_DATABASE_URL), kafka_with_events) as api:  # without `id` it needs none
        results = await results_of(api, [{**EVENT, "key": "one"}] * 500)
    assert [next_of(events)[0].id for _ in range(500)] == [result["id"] for result in results]


@pytest.mark.kafka
@pytest.mark.postgres
async def test_a_bad_event_does_not_stop_the_others(posting_api: httpx.AsyncClient, events: Consumer) -> None:
    results = await results_of(
        posting_api,
        [
            EVENT,
            {"type": "no.such", "data": {}},
            {"data": {}},
            {**EVENT, "id": ""},
            {**EVENT, "id": "x" * 256},
            {**EVENT, "unknown": 1},
            {"type": "user.created", "data": {"id": 1}},
            {"type": "hookline.test", "data": {"text": "x" * 300_000}},
            {},
            EVENT,
        ],
    )
    found = [result.get("error") and [flaw["pointer"] for flaw in result["error"]["errors"]] for result in results]
    assert found == [
        None,
        ["/events/1/type"],
        ["/events/2/type"],
        ["/events/3/id"],
        ["/events/4/id"],
        ["/events/5/unknown"],
        ["/events/6/data/id"],
        ["/events/7"],
        ["/events/8/type", "/events/8/data"],
        None,
    ]
    assert [result["error"]["status"] for result in results if "error" in result] == [422] * 6 + [413, 422]
    assert {next_of(events)[0].id for _ in range(2)} == {results[0]["id"], results[9]["id"]}


@pytest.mark.kafka
@pytest.mark.postgres
async def test_ids_within_a_batch_are_idempotent_too(posting_api: httpx.AsyncClient, events: Consumer) -> None:
    named = {**EVENT, "id": "a"}
    results = await results_of(posting_api, [named, EVENT, named, {**named, "key": "other"}, {**EVENT, "id": "b"}])
    assert results[0]["id"] == results[2]["id"]
    assert results[3]["error"]["status"] == 409
    assert len({next_of(events)[0].id for _ in range(3)} | {results[n]["id"] for n in (0, 1, 4)}) == 3
    again = await results_of(posting_api, [{**EVENT, "id": "b"}, named, {**EVENT, "id": "c"}])
    assert [again[0]["id"], again[1]["id"]] == [results[4]["id"], results[0]["id"]]
    assert next_of(events)[0].id == again[2]["id"]
    assert events.poll(0.3) is None


@pytest.mark.kafka
@pytest.mark.postgres
async def test_batches_with_the_same_ids_at_once_do_not_wait_for_each_other_for_ever(
    posting_api: httpx.AsyncClient, shared_url: str, kafka_with_events: KafkaSettings
) -> None:
    named = [{**EVENT, "id": str(number)} for number in range(100)]
    async with client_of(settings_of(shared_url), kafka_with_events) as other:
        other.headers["Hookline-Organization"] = posting_api.headers["Hookline-Organization"]
        answers = await asyncio.gather(
            *(results_of(api, named[::step]) for _ in range(5) for api in (posting_api, other) for step in (1, -1))
        )
    forwards = {tuple(result["id"] for result in answer) for answer in answers[::2]}
    backwards = {tuple(result["id"] for result in reversed(answer)) for answer in answers[1::2]}
    assert forwards == backwards
    assert len(forwards) == 1


@pytest.mark.kafka
async def test_without_the_database_only_what_has_an_id_fails(
    kafka_with_events: KafkaSettings, events: Consumer
) -> None:
    async with client_of(settings_of(NO_DATABASE_URL), kafka_with_events) as api:
        results = await results_of(api, [{**EVENT, "id": "a"}, EVENT])
        assert results[0]["error"]["status"] == 503
        assert next_of(events)[0].id == results[1]["id"]
        problem_of(await api.post(PATH, json={"events": [{**EVENT, "id": "a"}]}), 503)


@pytest.mark.slow
async def test_without_kafka_a_batch_is_503_within_10_s() -> None:
    async with client_of(settings_of(NO_DATABASE_URL)) as api:
        async with asyncio.timeout(30):
            response = await api.post(PATH, json={"events": [EVENT] * 500})
        problem_of(response, 503)
        text = (await api.get("/metrics")).text
    assert 'hookline_api_events_total{outcome="failed"} 100.0' in text  # the others were not tried


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/events"]),
        ({"events": []}, ["/events"]),
        ({"events": [EVENT] * 501}, ["/events"]),
        ({"events": EVENT}, ["/events"]),
        ({"events": [EVENT], "unknown": 1}, ["/unknown"]),
        ({"events": [EVENT, {**EVENT, "id": "a\u0000"}]}, ["/events/1/id"]),
    ],
)
async def test_what_is_no_batch_is_refused_as_a_whole(
    bare_api: httpx.AsyncClient, body: object, pointers: list[str]
) -> None:
    assert pointers_of(await bare_api.post(PATH, json=body)) == pointers


async def test_what_is_no_object_is_pointed_at(bare_api: httpx.AsyncClient) -> None:
    pointers = pointers_of(await bare_api.post(PATH, json={"events": [EVENT, 1]}))
    assert pointers
    assert {pointer[:9] for pointer in pointers} == {"/events/1"}


async def test_a_batch_may_be_larger_than_an_event_and_no_larger_than_its_limit() -> None:
    settings = settings_of(NO_DATABASE_URL, largest_event_bytes=2000, largest_batch_bytes=10_000)
    bad = {"events": [{"type": "user.created", "data": {"text": "x" * 1000}}] * 5}
    async with client_of(settings) as api:
        assert len(await results_of(api, bad["events"])) == 5
        problem_of(await api.post(PATH, json={"events": bad["events"] * 2}), 413)
