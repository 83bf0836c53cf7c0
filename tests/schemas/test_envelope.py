"""Events on their way in, and bodies on their way out."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given

from schemas.catalogue import Catalogue, EventTypeState, UnknownEventType, catalogue
from schemas.envelope import LARGEST_EVENT_BYTES, LONGEST_KEY, EventTooLarge, body_of, new_event
from schemas.errors import InvalidInput
from schemas.ids import EventId, OrganizationId, is_time_ordered, made_at
from schemas.json_values import Json
from schemas.records import Event
from schemas.redaction import without_sensitive
from tests.schemas.drawn import json_objects

MOMENT = datetime(2026, 11, 21, 12, 30, 1, 250_000, tzinfo=UTC)


def written_by_another(**fields: bytes | None) -> Event:
    """Return an event record that another Kafka client has put on the topic, unchecked."""
    parts: dict[str, Any] = {"data": b"{}", **fields}
    return Event(
        id=EventId("evt_1"), type="user.created", organization_id=OrganizationId("org_789"), created_at=MOMENT, **parts
    )


def new_test_event(data: Any, **more: Any) -> Event:
    return new_event(type="hookline.test", organization_id="org_789", data=data, **more)


def test_the_body_is_the_documented_shape_in_its_order() -> None:
    event = written_by_another(
        data=b'{"email":"john@example.com"}', previous=b'{"email":"old@example.com"}', metadata=b'{"source":"x"}'
    )
    assert body_of(event) == (
        b'{"id":"evt_1","type":"user.created","created_at":"2026-11-21T12:30:01.250000Z","organization_id":"org_789",'
        b'"data":{"email":"john@example.com"},"previous":{"email":"old@example.com"},"metadata":{"source":"x"}}'
    )


def test_a_body_without_previous_and_metadata_still_has_them() -> None:
    body = orjson.loads(body_of(written_by_another()))
    assert list(body) == ["id", "type", "created_at", "organization_id", "data", "previous", "metadata"]
    assert body["previous"] is None
    assert body["metadata"] == {}


def test_a_body_is_the_same_bytes_every_time() -> None:
    event = new_test_event({"b": 1, "a": [1.5, None, "ü"]})
    assert body_of(event) == body_of(event)


@given(json_objects)
def test_what_is_published_is_what_arrives_without_what_is_sensitive(data: dict[str, Json]) -> None:
    body = orjson.loads(body_of(new_test_event(data, previous=data, metadata=data)))
    assert body["data"] == body["previous"] == body["metadata"] == without_sensitive(data)


def test_nothing_sensitive_reaches_the_topic_or_a_body() -> None:
    secretive: Json = {"id": "u", "a": [{"b": {"password": "hunter2"}}], "token": "hunter2", "apiKey": ["hunter2"]}
    event = new_test_event(secretive, previous=secretive, metadata=secretive)
    assert b"hunter2" not in b"".join(part or b"" for part in (event.data, event.previous, event.metadata))
    assert b"hunter2" not in body_of(event)


def test_nothing_sensitive_of_another_clients_record_reaches_a_body() -> None:
    secretive = b'{"id":"u","a":[{"b":{"pass\\u0077ord":"hunter2"}}],"clientSecret":"hunter2"}'
    body = body_of(written_by_another(data=secretive, previous=secretive, metadata=secretive))
    assert b"hunter2" not in body
    assert orjson.loads(body)["data"] == {"id": "u", "a": [{"b": {}}]}


def test_a_sensitive_field_is_removed_and_not_refused() -> None:
    event = new_event(type="user.created", organization_id="org_789", data={"id": "u", "password": "x"})
    assert event.data == b'{"id":"u"}'


@pytest.mark.parametrize("event_type", catalogue().values(), ids=lambda event_type: event_type.name)
def test_every_example_becomes_an_event(event_type: Any) -> None:
    event = new_event(type=event_type.name, organization_id="org_789", data=dict(event_type.example))
    assert orjson.loads(event.data) == event_type.example
    assert is_time_ordered(event.id, "evt")
    assert abs(event.created_at - made_at(event.id)) < timedelta(seconds=1)
    assert event.created_at.tzinfo is UTC


@pytest.mark.parametrize("field", ["data", "previous", "metadata"])
@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b'{"a":NaN}', "is not JSON"),
        (b'{"a":1e999}', "is not JSON"),
        (b'{"a":"\xff"}', "is not JSON"),
        (b'{"a":"\\ud800"}', "is not JSON"),
        (b"[]", "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'{"a":' * 101 + b"{}" + b"}" * 101, "deeper than 100 levels"),
        (b'{"a":' * 900 + b"{}" + b"}" * 900, "deeper than 100 levels"),
        (b"[" * 500_000, "is not JSON"),
    ],
    ids=range(11),
)
def test_another_clients_record_that_is_no_json_is_refused_with_a_pointer(field: str, raw: bytes, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        body_of(written_by_another(**{field: raw}))
    assert caught.value.pointer == f"/{field}"


def test_another_clients_number_beyond_64_bits_arrives_as_the_nearest_float() -> None:
    assert orjson.loads(body_of(written_by_another(data=b'{"a":36893488147419103232}')))["data"] == {"a": 2.0**65}


DEEP: Any = {}
for _ in range(5000):
    DEEP = {"a": DEEP}


@pytest.mark.parametrize(
    ("given_", "pointer"),
    [
        ({"data": {"a": float("nan")}}, "/data/a"),
        ({"data": {"a": [float("inf")]}}, "/data/a/0"),
        ({"data": {"a": 1 << 64}}, "/data/a"),
        ({"data": {"a": "\ud800"}}, "/data/a"),
        ({"data": {"a": "\x00"}}, "/data/a"),
        ({"data": {"\ud800": 1}}, "/data"),
        ({"data": {1: 1}}, "/data"),
        ({"data": {"a": {1}}}, "/data/a"),
        ({"data": []}, "/data"),
        ({"data": None}, "/data"),
        ({"data": DEEP}, "/data" + "/a" * 100),
        ({"previous": []}, "/previous"),
        ({"previous": {"a": float("nan")}}, "/previous/a"),
        ({"metadata": "x"}, "/metadata"),
        ({"metadata": {"a": "\x00"}}, "/metadata/a"),
        ({"metadata": DEEP}, "/metadata" + "/a" * 100),
        ({"key": ""}, "/key"),
        ({"key": "x" * (LONGEST_KEY + 1)}, "/key"),
        ({"key": "a\x00"}, "/key"),
        ({"key": "\udc00"}, "/key"),
        ({"source_id": ""}, "/id"),
        ({"source_id": "\ud800"}, "/id"),
        ({"organization_id": ""}, "/organization_id"),
        ({"organization_id": "a b"}, "/organization_id"),
        ({"organization_id": "x" * 101}, "/organization_id"),
        ({"organization_id": "org\n"}, "/organization_id"),
        ({"type": "user.create"}, "/type"),
        ({"type": "user.created", "data": {"id": 1}}, "/data/id"),
    ],
)
def test_what_does_not_hold_is_refused_with_a_pointer(given_: dict[str, Any], pointer: str) -> None:
    whole = {"type": "hookline.test", "organization_id": "org_789", "data": {}, **given_}
    with pytest.raises(InvalidInput) as caught:
        new_event(**whole)
    assert caught.value.pointer == pointer
    assert "\n" not in str(caught.value)
    str(caught.value).encode()


@pytest.mark.parametrize(
    ("data", "key", "expected"),
    [
        ({"id": "user_1"}, None, "user_1"),
        ({"id": "user_1"}, "mine", "mine"),  # who names a key is meant
        ({"id": ""}, None, None),
        ({"id": "x" * LONGEST_KEY}, None, "x" * LONGEST_KEY),
    ],
)
def test_what_the_type_is_ordered_by_is_the_key(data: Any, key: str | None, expected: str | None) -> None:
    assert new_event(type="user.created", organization_id="org_789", data=data, key=key).key == expected


def test_what_orders_and_is_too_long_for_a_key_is_refused() -> None:
    with pytest.raises(InvalidInput, match="orders events") as caught:
        new_event(type="user.created", organization_id="org_789", data={"id": "x" * (LONGEST_KEY + 1)})
    assert caught.value.pointer == "/data/id"


@pytest.mark.parametrize("state", ["draft", "archived", "deprecated", "active"])
def test_what_is_no_more_or_not_yet_published_is_refused(state: str) -> None:
    own = Catalogue()
    made = dataclasses.replace(
        own.of("user.created"),
        name="order.placed",
        state=EventTypeState(state),
        organization_id=OrganizationId("org_789"),
    )
    own.put(made)
    whole: Any = {"type": "order.placed", "organization_id": "org_789", "data": {"id": "o_1"}, "catalogue": own}
    if state in {"active", "deprecated"}:
        assert new_event(**whole).type == "order.placed"
        return
    with pytest.raises(InvalidInput, match=f"is {state}: it cannot be published") as caught:
        new_event(**whole)
    assert caught.value.pointer == "/type"


def test_an_unknown_type_is_a_kind_of_its_own() -> None:
    with pytest.raises(UnknownEventType):
        new_event(type="nothing.happened", organization_id="org_789", data={})


def test_the_limit_counts_the_json_of_all_three_parts() -> None:
    filled = {"a": "x" * (LARGEST_EVENT_BYTES - len(b'{"a":""}') - 4)}
    new_test_event(filled, previous={}, metadata={})
    with pytest.raises(EventTooLarge, match=r"262,145 bytes of JSON; at most 262,144"):
        new_test_event({"a": filled["a"] + "x"}, previous={}, metadata={})
    with pytest.raises(EventTooLarge):
        new_test_event({}, metadata={"a": "x" * 10}, largest_bytes=10)


def test_what_is_removed_does_not_count() -> None:
    new_test_event({"token": "x" * 1000}, largest_bytes=100)


def test_key_source_id_and_the_rest_are_kept() -> None:
    event = new_test_event({"a": 1}, key="user_1", source_id="theirs", previous={"a": 0}, metadata={"b": 2})
    assert (event.key, event.source_id, event.previous, event.metadata) == ("user_1", "theirs", b'{"a":0}', b'{"b":2}')
    assert event.organization_id == "org_789"
