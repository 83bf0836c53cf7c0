"""CloudEvents as others write them, and as we do; the specification's own SDK is the judge."""

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import orjson
import pytest
from cloudevents.core.bindings import http, kafka
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent as TheirEvent
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.cloudevents.attributes import BATCH, STRUCTURED, CloudEvent, is_json_type
from schemas.cloudevents.headers import from_http, from_kafka, is_binary_http, to_http, to_kafka
from schemas.cloudevents.json_format import batch, batch_of, structured, structured_in, structured_of
from schemas.cloudevents.mapping import cloud_event_of, event_of, traceparent_of
from schemas.envelope import EventTooLarge, new_event
from schemas.errors import InvalidInput
from schemas.json_reading import parsed
from tests.schemas.drawn import json_objects

MOMENT = datetime(2026, 11, 21, 12, 30, 1, 250_000, tzinfo=UTC)
MINIMAL: dict[str, Any] = {"specversion": "1.0", "id": "a-1", "source": "/billing", "type": "user.created"}
FULL: dict[str, Any] = {
    **MINIMAL,
    "subject": "user_123",
    "time": "2026-11-21T12:30:01.25Z",
    "datacontenttype": "application/json",
    "organizationid": "org_789",
    "data": {"id": "user_123", "name": "Ann"},
}
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=40)
names = st.from_regex(r"\A[a-z0-9]{1,20}\Z").filter(
    lambda name: (
        name not in {"specversion", "id", "source", "type", "subject", "time", "dataschema", "data"}
        and name != "datacontenttype"
    )
)
times = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001 - made aware


def cloud_events(time: st.SearchStrategy[datetime | None]) -> st.SearchStrategy[CloudEvent]:
    return st.builds(
        CloudEvent,
        id=texts,
        source=st.from_regex(r"\A[!-9;-~äé]{1,40}\Z"),
        type=texts,
        subject=st.none() | texts,
        time=time,
        dataschema=st.none() | texts,
        extensions=st.dictionaries(names, texts, max_size=4),
        data=st.none() | json_objects | st.lists(st.integers(0, 9), max_size=2),
    )


def flaw_of(function: Callable[[], object]) -> str:
    with pytest.raises(InvalidInput) as caught:
        function()
    assert len(caught.value.detail) > 10
    return caught.value.pointer


@given(cloud_events(st.none() | times))
def test_what_is_written_is_read_again_in_every_mode(event: CloudEvent) -> None:
    assert structured_in(structured(event)) == event
    assert [structured_of(each) for each in batch_of(parsed(batch([event, event])))] == [event, event]
    headers, value = to_kafka(event)
    assert from_kafka(headers, value) == event
    fields, body = to_http(event)
    assert from_http(_asgi(fields), orjson.loads(body) if body else None) == event


@given(cloud_events(times))  # the SDK makes one up where there is none
@example(CloudEvent(id='Euro € 😀 100% "q"', source="/a%20b", type="t", time=MOMENT, extensions={"x": " leading"}))
def test_the_sdk_reads_what_we_write(event: CloudEvent) -> None:
    headers, value = to_kafka(event)
    fields, body = to_http(event)
    for theirs in (
        kafka.from_kafka(kafka.KafkaMessage(headers=dict(headers), key=None, value=value or b""), JSONFormat()),
        http.from_http_event(http.HTTPMessage(headers=fields, body=body), JSONFormat()),
        JSONFormat().read(TheirEvent, structured(event)),
    ):
        assert theirs.get_id() == event.id
        assert theirs.get_source() == event.source
        assert theirs.get_type() == event.type
        assert theirs.get_subject() == event.subject
        assert theirs.get_time() == event.time
        assert {name: theirs.get_extension(name) for name in event.extensions} == event.extensions
        assert theirs.get_data() in (event.data, b"", None) if event.data is None else theirs.get_data() == event.data


@given(cloud_events(times))  # the SDK makes one up where there is none
def test_we_read_what_the_sdk_writes(event: CloudEvent) -> None:
    theirs = TheirEvent(
        attributes={
            "id": event.id,
            "source": event.source,
            "type": event.type,
            "specversion": "1.0",
            "datacontenttype": "application/json",
            "time": event.time,
            **{name: value for name in ("subject", "dataschema") if (value := getattr(event, name))},
            **event.extensions,
        },
        data=cast(Any, event.data),  # their types leave JSON's other values out
    )
    for write in (kafka.to_binary, kafka.to_structured):
        record = write(theirs, JSONFormat())
        assert from_kafka([*record.headers.items()], record.value) == event
    request = http.to_binary(theirs, JSONFormat())
    body = orjson.loads(request.body) if request.body else None
    assert from_http(_asgi(request.headers), body) == event
    assert structured_in(http.to_structured(theirs, JSONFormat()).body) == event


def _asgi(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


@given(st.binary(max_size=60), st.dictionaries(st.sampled_from(["ce_id", "ce_type", "content-type"]), st.binary()))
@example(b"[" * 100_000, {})
@example(b'{"specversion": "1.0", "time": "0001-01-01T00:00:00+14:00", "id": "1", "source": "/", "type": "t"}', {})
@example(b"\xff", {"ce_specversion": b"1.0", "ce_id": b"\xff"})
@example(orjson.dumps({**FULL, "data": {"id": "x"}}).replace(b'"x"', b'"\\ud800"'), {})
@example(orjson.dumps({**FULL, "id": "x", "zone": "y"}).replace(b'"y"', b'"\\ud800"'), {})
@example(orjson.dumps({**FULL, "metadata": "y"}).replace(b'"y"', b'"\\ud800"'), {})
@example(orjson.dumps({**FULL, "type": "y"}).replace(b'"y"', b'"\\ud800"'), {})
@example(orjson.dumps({**FULL, "organizationid": "y"}).replace(b'"y"', b'"\\u0000"'), {})
def test_whatever_comes_is_an_event_or_invalid_input(value: bytes, headers: dict[str, bytes]) -> None:
    try:
        event_of(from_kafka([*headers.items()], value))
    except InvalidInput as error:
        str(error).encode(errors="backslashreplace")


@given(json_objects, json_objects | st.none(), json_objects | st.none(), texts | st.none())
@example({}, {}, {}, None)
@example({}, None, {"subject": "s", "dataschema": "d", "zone": True, "n": 5, "time": "x"}, "key")
@example({}, None, {"subject": "s"}, None)
def test_an_event_survives_as_a_cloud_event(data: Any, previous: Any, metadata: Any, key: str | None) -> None:
    event = new_event(
        type="hookline.test",
        organization_id="org_789",
        data=data,
        key=key,
        previous=previous,
        metadata=metadata,
        source_id="their-1",
        source="/billing",
    )
    written = structured(cloud_event_of(event, source="/hookline"))
    again = event_of(structured_in(written))
    assert _read(replace(again, id=event.id)) == _read(event)


def _read(event: Any) -> Any:
    parts = {name: orjson.loads(getattr(event, name) or b"null") for name in ("data", "previous", "metadata")}
    return replace(event, data=b"", previous=None, metadata=None), parts


def test_attributes_become_the_fields_of_an_event() -> None:
    event = event_of(structured_of({**FULL, "comexample": "x", "retries": 3, "dataschema": "https://s", "hot": True}))
    assert (event.source_id, event.source, event.type, event.key) == ("a-1", "/billing", "user.created", "user_123")
    assert (event.organization_id, event.created_at) == ("org_789", MOMENT)
    assert orjson.loads(event.metadata or b"") == {
        "comexample": "x", "retries": 3, "dataschema": "https://s", "hot": True
    }  # fmt: skip


def test_a_partition_key_goes_before_the_subject_which_is_kept() -> None:
    event = event_of(structured_of({**FULL, "partitionkey": "account_1"}), other_key="the record's")
    assert (event.key, orjson.loads(event.metadata or b"")) == ("account_1", {"subject": "user_123"})
    assert event_of(structured_of({**FULL, "subject": None}), other_key="the record's").key == "the record's"


def test_secrets_do_not_come_through() -> None:
    event = event_of(structured_of({**FULL, "apikey": "k", "data": {"id": "u", "password": "p"}}))
    assert (event.data, event.metadata) == (b'{"id":"u"}', b"{}")


def test_a_trace_travels_as_such() -> None:
    cloud = structured_of({**FULL, "traceparent": TRACEPARENT})
    assert traceparent_of(cloud) == TRACEPARENT
    assert event_of(cloud).metadata is None
    assert traceparent_of(structured_of({**FULL, "traceparent": "nonsense"})) is None


def test_data_in_base64_is_json_all_the_same() -> None:
    encoded = base64.b64encode(b'{"id": "u"}').decode()
    assert structured_of({**MINIMAL, "data_base64": encoded}).data == {"id": "u"}
    assert flaw_of(lambda: structured_of({**MINIMAL, "data_base64": encoded, "data": 1})) == "/data_base64"


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"specversion": None}, "/specversion"),
        ({"specversion": "0.3"}, "/specversion"),
        ({"specversion": 1.0}, "/specversion"),
        ({"id": None}, "/id"),
        ({"id": ""}, "/id"),
        ({"id": 5}, "/id"),
        ({"id": "x" * 256}, "/id"),
        ({"id": "a\0"}, "/id"),
        ({"source": None}, "/source"),
        ({"source": "with blank"}, "/source"),
        ({"source": "/" * 1025}, "/source"),
        ({"source": "https://user:secret@host/"}, "/source"),
        ({"type": None}, "/type"),
        ({"type": "no.such"}, "/type"),
        ({"type": "subscription.disabled"}, "/type"),  # Hookline's own
        ({"subject": ""}, "/subject"),
        ({"subject": "x" * 256}, "/subject"),
        ({"partitionkey": "x" * 256}, "/partitionkey"),
        ({"partitionkey": 5}, "/partitionkey"),
        ({"time": "2026-11-21"}, "/time"),
        ({"time": "2026-11-21T12:30:01"}, "/time"),  # without its offset
        ({"time": "2026-02-30T12:30:01Z"}, "/time"),
        ({"time": "20261121T123001Z"}, "/time"),
        ({"time": 5}, "/time"),
        ({"datacontenttype": "text/xml"}, "/datacontenttype"),
        ({"datacontenttype": "application/json; charset=latin-1"}, "/datacontenttype"),
        ({"datacontenttype": 5}, "/datacontenttype"),
        ({"organizationid": None}, "/organizationid"),
        ({"organizationid": "no organization"}, "/organizationid"),
        ({"Extension": "x"}, "/Extension"),
        ({"my_extension": "x"}, "/my_extension"),
        ({"a/b": "x"}, "/a~1b"),
        ({"": "x"}, "/"),
        ({"extension": {}}, "/extension"),
        ({"extension": 1.5}, "/extension"),
        ({"extension": 1 << 31}, "/extension"),
        ({"extension": "a\0"}, "/extension"),
        ({"previous": "[]"}, "/previous"),
        ({"metadata": "no JSON"}, "/metadata"),
        ({"metadata": 5}, "/metadata"),
        ({"data_base64": "!", "data": None}, "/data_base64"),
        ({"data_base64": "/w==", "data": None}, "/data_base64"),  # base64 of what is no JSON
        ({"data": None}, "/data"),
        ({"data": "text"}, "/data"),
        ({"data": {"id": 5}}, "/data/id"),
    ],
)
def test_what_does_not_hold_is_pointed_at(fields: dict[str, Any], pointer: str) -> None:
    assert flaw_of(lambda: event_of(structured_of({**FULL, **fields}))) == pointer


def test_what_is_too_large_is_said_as_such() -> None:
    with pytest.raises(EventTooLarge):
        event_of(structured_of({**FULL, "type": "hookline.test", "data": {"text": "x" * 300_000}}))


def test_another_organization_than_the_callers_is_refused() -> None:
    assert event_of(structured_of(FULL), organization_id="org_789").organization_id == "org_789"
    assert event_of(structured_of({**FULL, "organizationid": None}), organization_id="o").organization_id == "o"
    assert flaw_of(lambda: event_of(structured_of(FULL), organization_id="org_other")) == "/organizationid"


BINARY = [("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/"), ("ce_type", b"t")]


@pytest.mark.parametrize(
    ("headers", "value", "pointer"),
    [
        (BINARY[1:], b"{}", "/specversion"),
        ([*BINARY, ("ce_id", b"2")], b"{}", "/id"),
        ([*BINARY, ("ce_x", b"\xff")], b"{}", "/x"),
        ([*BINARY, ("ce_X", b"x")], b"{}", "/X"),
        ([*BINARY, ("ce_data", b"x")], b"{}", "/data"),
        ([*BINARY, ("content-type", b"application/avro")], b"{}", "/datacontenttype"),
        (BINARY, b"{", "/data"),
        ([("content-type", BATCH.encode())], b"[]", ""),
        ([("content-type", b"application/cloudevents+avro")], b"{}", "/datacontenttype"),
        ([], b"", ""),
        ([], b"[]", ""),
    ],
)
def test_a_record_that_is_no_cloud_event_says_why(headers: Any, value: bytes, pointer: str) -> None:
    assert flaw_of(lambda: from_kafka(headers, value)) == pointer


def test_structured_mode_goes_before_headers_that_were_copied() -> None:
    headers = [("Content-Type", f"{STRUCTURED}; charset=UTF-8".encode()), ("ce_id", b"copied")]
    assert from_kafka(headers, orjson.dumps(MINIMAL)).id == "a-1"
    assert from_kafka([], orjson.dumps(MINIMAL)).id == "a-1"  # clients that write no headers at all


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b"Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),  # the binding's own example (3.1.3.2)
        (b'"a quoted \\"string\\""', 'a quoted "string"'),
        (b"100%", "100%"),
        (b"%2541", "%41"),  # decoded once
        ("raw é".encode(), "raw é"),
    ],
)
def test_values_of_http_headers_are_decoded_once(written: bytes, read: str) -> None:
    headers = [(b"ce-specversion", b"1.0"), (b"ce-id", b"1"), (b"ce-source", b"/"), (b"ce-type", b"t")]
    assert from_http([*headers, (b"ce-subject", written)], None).subject == read
    assert flaw_of(lambda: from_http([*headers, (b"ce-subject", b"%FF")], None)) == "/subject"
    assert is_binary_http(headers)
    assert not is_binary_http([(b"ce-other", b"x"), (b"content-type", b"x")])


def test_values_of_http_headers_are_encoded_as_the_binding_says() -> None:
    event = structured_of({**MINIMAL, "subject": 'Euro € 😀 "%'})
    assert to_http(event)[0]["ce-subject"] == "Euro%20%E2%82%AC%20%F0%9F%98%80%20%22%25"


@pytest.mark.parametrize(
    ("content_type", "is_one"),
    [
        ("application/json", True),
        ("Application/JSON; charset=UTF-8", True),
        ('application/vnd.x+json;charset="utf-8"', True),
        ("application/json; charset=utf-16", False),
        ("text/json-like", False),
        ("+json", False),
        ("", False),
    ],
)
def test_what_is_json_says_its_type(content_type: str, is_one: bool) -> None:
    assert is_json_type(content_type) is is_one


@pytest.mark.parametrize(
    ("raw", "value"),
    [(b"123456789012345678901", 123456789012345678901), (b"[1.5]", [1.5]), (b'"\\ud800"', "\ud800")],
)
def test_json_is_read_as_it_is_written(raw: bytes, value: object) -> None:
    assert parsed(raw) == value
