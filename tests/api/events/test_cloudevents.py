"""CloudEvents over HTTP: structured, binary and batches, idempotent by `source` and `id`."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
from cloudevents.core.bindings import http
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka import Consumer

from schemas.ids import made_at
from tests.api.conftest import NO_DATABASE_URL, client_of, settings_of
from tests.api.events.reading import next_of
from tests.api.problem import pointers_of, problem_of

PATH = "/api/v1/events"
STRUCTURED = {"Content-Type": "application/cloudevents+json; charset=utf-8"}
BATCH = {"Content-Type": "application/cloudevents-batch+json"}
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
MOMENT = datetime.now(UTC).replace(microsecond=250_000) - timedelta(days=8)  # older than a claim is kept
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "signup-1",
    "source": "/accounts",
    "type": "user.created",
    "subject": "user_123",
    "time": MOMENT.isoformat(),
    "data": {"id": "user_123"},
}


async def posted(api: httpx.AsyncClient, event: dict[str, Any]) -> str:
    answer = await api.post(PATH, content=orjson.dumps(event), headers=STRUCTURED)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


@pytest.mark.kafka
@pytest.mark.postgres
async def test_what_the_sdk_sends_in_either_mode_is_one_event(posting_api: httpx.AsyncClient, events: Consumer) -> None:
    theirs = CloudEvent(
        {
            **{name: EVENT[name] for name in ("specversion", "id", "source", "type", "subject")},
            "time": MOMENT,
            "datacontenttype": "application/json",
            "zone": "Köln",
            "traceparent": TRACEPARENT,
        },
        EVENT["data"],
    )
    ids = []
    for write in (http.to_structured, http.to_binary):
        request = write(theirs, JSONFormat())
        answer = await posting_api.post(PATH, content=request.body, headers=request.headers)
        assert answer.status_code == 202, answer.text
        ids.append(answer.json()["id"])
    assert ids[0] == ids[1]
    event, message = next_of(events)
    assert (event.id, event.source_id, event.source, event.key) == (ids[0], "signup-1", "/accounts", "user_123")
    assert (event.created_at, orjson.loads(event.metadata or b"")) == (MOMENT, {"zone": "Köln"})
    assert event.organization_id == posting_api.headers["Hookline-Organization"]
    assert datetime.now(UTC) - made_at(event.id) < timedelta(minutes=1)
    headers = dict(message.headers() or [])
    assert (headers["ce_source"], headers["traceparent"]) == (b"/accounts", TRACEPARENT.encode())
    assert events.poll(0.3) is None


@pytest.mark.kafka
@pytest.mark.postgres
async def test_a_cloud_events_id_is_its_sources_own(posting_api: httpx.AsyncClient) -> None:
    first = await posted(posting_api, EVENT)
    assert await posted(posting_api, {**EVENT, "source": "/other"}) != first
    plain = await posting_api.post(PATH, json={"type": "user.created", "data": {"id": "other"}, "id": "signup-1"})
    assert plain.status_code == 202  # an `id` without a source is another name
    changed = orjson.dumps({**EVENT, "data": {"id": "changed"}})
    problem_of(await posting_api.post(PATH, content=changed, headers=STRUCTURED), 409)


@pytest.mark.kafka
@pytest.mark.postgres
async def test_an_idempotency_key_knows_a_cloud_event_by_its_headers_too(posting_api: httpx.AsyncClient) -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/a", "ce-type": "user.created"}
    keyed = {**headers, "Idempotency-Key": uuid4().hex}
    first = await posting_api.post(PATH, json={"id": "u"}, headers=keyed)
    assert (await posting_api.post(PATH, json={"id": "u"}, headers=keyed)).json() == first.json()
    problem_of(await posting_api.post(PATH, json={"id": "u"}, headers={**keyed, "ce-id": "2"}), 422)


@pytest.mark.kafka
@pytest.mark.postgres
async def test_after_a_503_the_repeat_keeps_the_events_own_time(
    posting_api: httpx.AsyncClient, api: httpx.AsyncClient, events: Consumer
) -> None:
    api.headers["Hookline-Organization"] = posting_api.headers["Hookline-Organization"]
    problem_of(await api.post(PATH, content=orjson.dumps(EVENT), headers=STRUCTURED), 503)  # it has no Kafka
    event_id = await posted(posting_api, EVENT)
    event, _ = next_of(events)
    assert (event.id, event.created_at) == (event_id, MOMENT)


@pytest.mark.kafka
@pytest.mark.postgres
async def test_a_batch_has_a_result_for_each(posting_api: httpx.AsyncClient, events: Consumer) -> None:
    bad = [{**EVENT, "id": "2", "time": "now"}, {"specversion": "1.0"}, 5, {**EVENT, "id": "3", "data": {"id": 5}}]
    answer = await posting_api.post(f"{PATH}/batch", content=orjson.dumps([EVENT, *bad, EVENT]), headers=BATCH)
    assert answer.status_code == 202, answer.text
    results = answer.json()["results"]
    assert results[0]["id"] == results[5]["id"] == next_of(events)[0].id
    pointers = [result["error"]["errors"][0]["pointer"] for result in results[1:5]]
    assert pointers == ["/1/time", "/2/id", "/3", "/4/data/id"]


@pytest.mark.parametrize(
    ("body", "pointers"),
    [(EVENT, [""]), ([], [""]), ([EVENT] * 501, [""])],
)
async def test_what_is_no_batch_is_refused_as_a_whole(
    bare_api: httpx.AsyncClient, body: object, pointers: list[str]
) -> None:
    answer = await bare_api.post(f"{PATH}/batch", content=orjson.dumps(body), headers=BATCH)
    assert pointers_of(answer) == pointers


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"source": None}, "/source"),
        ({"type": "subscription.disabled"}, "/type"),
        ({"data": {}}, "/data/id"),
        ({"organizationid": f"org_{uuid4().hex}"}, "/organizationid"),
        ({"data_base64": "!", "data": None}, "/data_base64"),
    ],
)
async def test_what_does_not_hold_is_pointed_at(
    bare_api: httpx.AsyncClient, fields: dict[str, Any], pointer: str
) -> None:
    answer = await bare_api.post(PATH, content=orjson.dumps({**EVENT, **fields}), headers=STRUCTURED)
    assert pointers_of(answer) == [pointer]


@pytest.mark.parametrize(
    ("headers", "flaw"),
    [
        ({"ce-type": ""}, {"header": "ce-type"}),
        ({"ce-id": "x" * 256}, {"header": "ce-id"}),
        ({"ce-time": "now"}, {"header": "ce-time"}),
        ({"ce-specversion": "0.3"}, {"header": "ce-specversion"}),
        ({"ce-my_name": "x"}, {"header": "ce-my_name"}),
        ({}, {"pointer": "/id"}),  # of the body, which is data
    ],
)
async def test_a_header_that_does_not_hold_is_named(
    bare_api: httpx.AsyncClient, headers: dict[str, str], flaw: dict[str, str]
) -> None:
    given = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/a", "ce-type": "user.created", **headers}
    document = problem_of(await bare_api.post(PATH, json={"id": 5}, headers=given), 422)
    errors: Any = document["errors"]
    assert [{name: value for name, value in error.items() if name != "detail"} for error in errors] == [flaw]


@pytest.mark.parametrize(
    ("path", "content_type", "hint"),
    [
        ("", "application/cloudevents-batch+json", "/events/batch"),
        ("", "application/x-ndjson", "/events/stream"),
        ("/batch", "application/cloudevents+json", "/api/v1/events"),
        ("/batch", "application/ndjson", "/events/stream"),
        ("/stream", "application/json", "application/x-ndjson"),
        ("", "text/plain", "application/json"),
    ],
)
async def test_another_media_type_is_told_where_it_belongs(
    bare_api: httpx.AsyncClient, path: str, content_type: str, hint: str
) -> None:
    answer = await bare_api.post(PATH + path, content=b"{}", headers={"Content-Type": content_type})
    assert hint in str(problem_of(answer, 415)["detail"])


async def test_one_that_is_too_large_is_413() -> None:
    text = {**EVENT, "type": "hookline.test", "data": {"numbers": "#"}}
    body = orjson.dumps(text).replace(b'"#"', b"[" + b",".join([b"1E5"] * 300) + b"]")  # grows when written
    async with client_of(settings_of(NO_DATABASE_URL, largest_event_bytes=2000)) as api:
        problem_of(await api.post(PATH, content=body, headers=STRUCTURED), 413)
