"""How an event looks to a subscription."""

import json
import re
import time
from dataclasses import replace
from datetime import UTC, datetime
from statistics import median
from typing import Any, cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.catalogue import EventType, event_type_of
from schemas.envelope import body_of
from schemas.errors import InvalidInput
from schemas.ids import DeliveryId, EventId, OrganizationId
from schemas.json_values import Json
from schemas.payloads import PayloadSource, Shape, checked_payload, payload_of
from schemas.payloads.payload import MOST_PATHS
from schemas.records import Event
from tests.schemas import drawn

DELIVERY = DeliveryId("dlv_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b")
EVENT = Event(
    id=EventId("evt_019a9f2b6c7d7f0e8d9c0b1a2f3e4d5c"),
    type="user.created",
    organization_id=OrganizationId("org_789"),
    created_at=datetime(2025, 10, 6, 10, 30, 0, 123456, UTC),
    data=b'{"id":"user_123","email":"user@example.com","name":"John Doe"}',
    metadata=b'{"source":"AuthOS","version":"1.0"}',
)
MARKED = EventType(
    name="user.created",
    category="user",
    description="",
    schema=json.loads("""{
        "type": "record",
        "name": "created",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "email", "type": ["null", "string"], "default": null, "sensitivity": "personal"},
            {"name": "pin", "type": ["null", "string"], "default": null, "sensitivity": "secret"},
            {
                "name": "addresses",
                "type": {
                    "type": "array",
                    "items": {
                        "type": "record",
                        "name": "address",
                        "fields": [
                            {"name": "city", "type": "string"},
                            {"name": "street", "type": "string", "sensitivity": "personal"}
                        ]
                    }
                },
                "default": []
            }
        ]
    }"""),
    example={},
    open_ended=False,
)
# Of the seeds, as they stand there: 000, "Standard Payload Format"; 001, "Receive Events".
SEED_000 = """{
  "id": "wh_delivery_123456",
  "event": "user.created",
  "created_at": "2025-10-06T10:30:00Z",
  "organization_id": "org_789",
  "data": {
    "id": "user_123",
    "email": "user@example.com",
    "name": "John Doe"
  },
  "previous": null,
  "metadata": {
    "source": "AuthOS",
    "version": "1.0"
  }
}"""
SEED_001 = """{
  "event": "quest.completed",
  "timestamp": "2025-12-26T12:00:00Z",
  "data": {
    "user_id": "123",
    "quest_id": "456",
    "quest_title": "Learn Python",
    "tasks_completed": 5,
    "total_xp_earned": 500,
    "completed_at": "2025-12-26T12:00:00Z"
  },
  "organization_id": "org-789"
}"""

moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the bounds
names = st.sampled_from(["id", "email", "name", "pin", "addresses", "city", "street", "*"])
paths = st.builds(lambda root, rest: ".".join([root, *rest]), st.sampled_from(["data", "previous", "metadata"]),
                  st.lists(names, max_size=3))  # fmt: skip


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Return any event, some of them with what MARKED marks."""
    fields = draw(drawn.json_objects)
    for name in draw(st.sets(st.sampled_from(["id", "email", "pin", "name"]))):
        fields[name] = draw(drawn.json_texts)
    if draw(st.booleans()):
        fields["addresses"] = [{"city": "Ulm", "street": draw(drawn.json_texts)}]
    return replace(
        EVENT,
        created_at=draw(moments),
        data=orjson.dumps(fields),
        previous=draw(st.sampled_from([None, orjson.dumps(fields)])),
        metadata=draw(st.sampled_from([None, orjson.dumps(draw(drawn.json_objects))])),
    )


@st.composite
def payloads(draw: st.DrawFn) -> str:
    """Return any payload, as JSON text."""
    shape = draw(st.sampled_from(Shape))
    value: dict[str, Json] = {"shape": shape.value}
    if shape is not Shape.THIN:
        for name in ("include", "exclude"):
            chosen = draw(st.lists(paths, max_size=3))
            try:
                checked_payload({name: list(chosen)})
            except InvalidInput:
                continue  # none, twice the same, or a name beside a star
            value[name] = list(chosen)
        if draw(st.booleans()):
            value["mask"] = ["personal"]
    return checked_payload(value)


def body(payload: object, event: Event = EVENT, event_type: EventType | None = None) -> dict[str, Any]:
    text = None if payload is None else checked_payload(cast(Json, payload))
    made = payload_of(text).body(PayloadSource.of(event, event_type), delivery_id=DELIVERY)
    return cast(dict[str, Any], orjson.loads(made))


@given(events())
def test_without_a_payload_the_body_is_the_full_one_byte_for_byte(event: Event) -> None:
    for text in (None, '{"shape":"full"}', "{}"):
        source = PayloadSource.of(event, event_type_of("user.created"))
        assert payload_of(text).body(source, delivery_id=DELIVERY) == body_of(event)


@given(events(), payloads(), st.sampled_from([None, MARKED]))
def test_a_body_made_of_the_stored_one_is_the_events_own(event: Event, text: str, event_type: EventType | None) -> None:
    fresh, payload = PayloadSource.of(event, event_type), payload_of(text)
    stored = PayloadSource.stored(fresh.full, event_type)
    assert payload.body(stored, delivery_id=DELIVERY) == payload.body(fresh, delivery_id=DELIVERY)
    assert stored.full == fresh.full
    assert payload.body(PayloadSource.stored(body_of(event), event_type), delivery_id=DELIVERY) == payload.body(
        fresh, delivery_id=DELIVERY
    )  # and should it have been stored before its type marked anything


@given(events(), payloads())
def test_what_one_subscription_gets_does_not_change_what_another_gets(event: Event, text: str) -> None:
    source = PayloadSource.of(event, MARKED)
    alone = payload_of(text).body(PayloadSource.of(event, MARKED), delivery_id=DELIVERY)
    before = source.full
    for _ in range(2):
        assert payload_of(text).body(source, delivery_id=DELIVERY) == alone
        assert payload_of(None).body(source, delivery_id=DELIVERY) == before
    assert orjson.dumps(source.fields, option=orjson.OPT_UTC_Z) == before


@given(payloads())
def test_a_payload_that_was_checked_says_the_same_when_it_is_checked_again(text: str) -> None:
    assert checked_payload(orjson.loads(text)) == text
    assert payload_of(text) == payload_of(json.dumps(json.loads(text)))


@given(events(), payloads())
def test_the_envelope_stays_whole_and_in_its_order(event: Event, text: str) -> None:
    made = orjson.loads(payload_of(text).body(PayloadSource.of(event, MARKED), delivery_id=DELIVERY))
    assert (
        list(made)
        == {
            Shape.FULL: ["id", "type", "created_at", "organization_id", "data", "previous", "metadata"],
            Shape.THIN: ["id", "type", "created_at", "organization_id", "link"],
            Shape.DELIVERY: list(json.loads(SEED_000)),
            Shape.TIMESTAMP: list(json.loads(SEED_001)),
        }[Shape(orjson.loads(text)["shape"])]
    )
    for name in {"data", "metadata"} & set(made):
        assert isinstance(made[name], dict)
    assert made.get("previous") is None or event.previous is not None


@given(events(), payloads())
def test_what_is_marked_secret_never_leaves(event: Event, text: str) -> None:
    said = {**orjson.loads(event.data), "pin": "4711-and-more"}
    event = replace(event, data=orjson.dumps(said), previous=orjson.dumps(said))
    for source in (PayloadSource.of(event, MARKED), PayloadSource.stored(body_of(event), MARKED)):
        assert b"4711-and-more" not in payload_of(text).body(source, delivery_id=DELIVERY)
        assert b"4711-and-more" not in source.full


@given(events(), st.sampled_from(["full", "delivery", "timestamp"]))
def test_masking_changes_what_is_marked_and_nothing_else(event: Event, shape: str) -> None:
    plain = body({"shape": shape}, event, MARKED)
    masked = body({"shape": shape, "mask": ["personal"]}, event, MARKED)
    for name in {"data", "previous"} & set(plain):
        if isinstance(plain[name], dict):
            if plain[name].get("email") is not None:
                assert masked[name].pop("email") == "***"
                plain[name].pop("email")
            if plain[name].get("addresses") == [{"city": "Ulm", "street": "***"}] or "addresses" in masked[name]:
                for address in masked[name].pop("addresses"):
                    assert address == {"city": "Ulm", "street": "***"}
                plain[name].pop("addresses")
    assert masked == plain


def test_the_delivery_shape_is_the_envelope_of_seed_000() -> None:
    seed = json.loads(SEED_000)
    made = body({"shape": "delivery"})
    assert made == {**seed, "id": DELIVERY}
    assert json.dumps(made) == json.dumps({**seed, "id": DELIVERY})  # the same order, within data too


def test_the_timestamp_shape_is_the_envelope_of_seed_001() -> None:
    seed = json.loads(SEED_001)
    event = replace(
        EVENT,
        type="quest.completed",
        organization_id=OrganizationId("org-789"),
        created_at=datetime(2025, 12, 26, 12, tzinfo=UTC),
        data=orjson.dumps(seed["data"]),
    )
    assert json.dumps(body({"shape": "timestamp"}, event)) == json.dumps(seed)
    late = body({"shape": "timestamp"}, replace(event, created_at=datetime(2025, 12, 26, 12, 0, 0, 999999, UTC)))
    assert late["timestamp"] == seed["timestamp"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", late["timestamp"])


def test_a_thin_body_has_ids_and_a_link_and_no_data() -> None:
    assert body({"shape": "thin"}) == {
        "id": EVENT.id,
        "type": "user.created",
        "created_at": "2025-10-06T10:30:00.123456Z",
        "organization_id": "org_789",
        "link": f"/api/v1/events/{EVENT.id}",
    }


@pytest.mark.parametrize(
    ("payload", "changed"),
    [
        ({"include": ["data.email"]}, {"data": {"email": "user@example.com"}, "metadata": {}}),
        ({"include": ["data", "/metadata/source"]}, {"metadata": {"source": "AuthOS"}}),
        ({"include": ["data"], "exclude": ["data.email", "data.name"]}, {"data": {"id": "user_123"}, "metadata": {}}),
        ({"exclude": ["metadata"]}, {"metadata": {}}),
        ({"exclude": ["data.*"]}, {"data": {}}),
        ({"exclude": ["data.nothing", "previous.name"]}, {}),
        ({"mask": ["personal"]}, {"data": {"id": "user_123", "email": "***", "name": "John Doe"}}),
        ({"mask": ["personal"], "include": ["data.email"]}, {"data": {"email": "***"}, "metadata": {}}),
        ({"shape": None, "include": None, "exclude": None, "mask": None}, {}),
    ],
)
def test_chosen_fields_are_in_or_out(payload: Json, changed: dict[str, Any]) -> None:
    assert body(payload, event_type=MARKED) == {**orjson.loads(body_of(EVENT)), **changed}


def test_previous_is_left_out_as_null_and_masked_as_data_is() -> None:
    event = replace(EVENT, previous=b'{"email":"old@example.com","name":"Johnny"}')
    assert body({"exclude": ["previous"]}, event)["previous"] is None
    assert body({"include": ["data"]}, event)["previous"] is None
    assert body({"exclude": ["previous.email"]}, event)["previous"] == {"name": "Johnny"}
    assert body({"mask": ["personal"]}, event, MARKED)["previous"] == {"email": "***", "name": "Johnny"}


@pytest.mark.parametrize(
    ("payload", "pointer", "says"),
    [
        ([], "", "must be an object"),
        ("thin", "", "must be an object"),
        ({"url": "https://example.com"}, "/url", "no setting of a payload"),
        ({"method": "PUT"}, "/method", "no setting of a payload"),
        ({"a/b": 1}, "/a~1b", "no setting"),
        ({"shape": "fat"}, "/shape", "must be one of full, thin, delivery, timestamp"),
        ({"shape": 1}, "/shape", "must be one of"),
        ({"include": "data"}, "/include", "must be a list"),
        ({"include": []}, "/include", "1 to 100"),
        ({"exclude": ["data.x"] * (MOST_PATHS + 1)}, "/exclude", "1 to 100"),
        ({"include": ["data", 5]}, "/include/1", "must be a path"),
        ({"include": ["data.id", "email"]}, "/include/1", "begins with"),
        ({"exclude": ["data.id", "/data/id"]}, "/exclude/1", "named twice"),
        ({"exclude": ["data.*.x", "data.id"]}, "/exclude/1", "at the same place"),
        ({"mask": ["secret"]}, "/mask", "in any case"),
        ({"mask": []}, "/mask", "must be"),
        ({"shape": "thin", "include": ["data.id"]}, "/include", "has no data"),
        ({"shape": "thin", "mask": ["personal"]}, "/mask", "has no data"),
    ],
)
def test_what_is_no_payload_is_refused_with_a_pointer(payload: Any, pointer: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as refused:
        checked_payload(payload, pointer="/payload")
    assert refused.value.pointer == f"/payload{pointer}"
    assert checked_payload({}) == '{"shape":"full"}'


@pytest.mark.parametrize("text", ["", "[]", '{"shape":"fat"}'])
def test_a_text_that_is_no_payload_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        payload_of(text)


@pytest.mark.parametrize("payload", [None, {"shape": "thin"}, {"exclude": ["data.id"]}])
def test_data_that_is_no_object_becomes_nobodys_body(payload: object) -> None:
    with pytest.raises(InvalidInput):
        body(payload, replace(EVENT, data=b"[]"))
    for raw in (b"nothing", b"[]"):
        with pytest.raises(InvalidInput):
            _ = PayloadSource.stored(raw, None).fields


@pytest.mark.parametrize("shape", ["full", "delivery"])
def test_what_hundreds_want_alike_is_made_once(shape: str) -> None:
    """A worker makes all bodies of an event in one go: a hundred times 30 ms would hold up all that it does."""
    items: Json = [{"a": number, "b": 1, "c": {"x": 1}} for number in range(6500)]
    large = replace(EVENT, data=orjson.dumps({"id": "u", "items": items}))
    payload = payload_of(checked_payload({"shape": shape, "exclude": ["data.items.*.c.x"]}))

    def timed(source: PayloadSource, number: int) -> tuple[bytes, float]:
        assert source.fields["data"]  # read already
        began = time.process_time()
        return payload.body(source, delivery_id=f"dlv_{number}"), time.process_time() - began

    alone = [timed(PayloadSource.of(large, None), number) for number in range(3)]
    source = PayloadSource.of(large, None)
    together = [timed(source, number) for number in range(9)]
    assert [body for body, _ in together[:3]] == [body for body, _ in alone]
    assert median(took for _, took in together) < min(took for _, took in alone) / 4
