"""The catalogue: which event types there are, and what their data may be."""

import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import avro.io
import avro.schema
import pytest
from hypothesis import given

from schemas import catalogue as module
from schemas import checking
from schemas.catalogue import (
    TEST_EVENT,
    Catalogue,
    EventType,
    UnknownEventType,
    _read_all,
    catalogue,
    check_not_reserved,
    event_type_of,
)
from schemas.errors import InvalidInput
from schemas.ids import OrganizationId
from schemas.json_values import Json
from schemas.records import EventTypeDefinition
from tests.schemas.drawn import json_objects

FOLDER = Path(module.__file__).parent / "event_types"
RELEASED = FOLDER / "released"
# Those of seed 000 that it names, and the fourteen that we chose; and what seeds 001 and 004 name.
NAMED = {
    "user": "created updated deleted locked unlocked verified",
    "auth": "login logout failed mfa_challenged",
    "application": "created updated deleted credentials_rotated",
    "organization": "created updated settings_changed branding_updated",
    "mfa": "enabled disabled verified recovery_codes_generated",
    "sso": "session_created session_ended configuration_updated",
    "role": "assigned revoked created updated deleted",
}
CHOSEN = {
    "user": "email_changed password_changed password_reset_requested restored",
    "auth": "risk_detected session_revoked",
    "application": "approval_withdrawn approved grant_revoked",
    "organization": "deleted domain_verified",
    "mfa": "recovery_code_used",
    "sso": "login_failed",
    "role": "permissions_changed",
}
OF_OTHERS = ["quest.completed", "task.completed", "task.submitted", "badge.earned", "user.registered", "grade.updated"]
CATEGORIES = {  # whose names do not begin with their category's
    "certificate": "certificate_lifecycle",
    "dns": "dns_operations",
    "job": "job_queue",
}
every_type = pytest.mark.parametrize("event_type", catalogue().values(), ids=lambda event_type: event_type.name)


def names_of(families: dict[str, str]) -> list[str]:
    return [f"{family}.{verb}" for family, verbs in families.items() for verb in verbs.split()]


def test_the_catalogue_has_what_the_seeds_name_and_fourteen_more_of_their_categories() -> None:
    named, chosen = names_of(NAMED), names_of(CHOSEN)
    assert (len(named), len(chosen)) == (30, 14)
    assert {*named, *chosen, *OF_OTHERS} <= set(catalogue())
    assert set(CHOSEN) == set(NAMED) <= {event_type.category for event_type in catalogue().values()}
    assert {*CATEGORIES.values(), "connection", "quest", "task", "badge", "grade"} <= {
        event_type.category for event_type in catalogue().values()
    }


@every_type
def test_the_example_fits_and_says_nothing_sensitive(event_type: EventType) -> None:
    example = dict(event_type.example)
    event_type.check(example)
    assert module.catalogue()[event_type.name].example == example
    if not event_type.open_ended:
        parsed = avro.schema.parse(json.dumps(event_type.schema))
        filled = {field.name: example.get(field.name) for field in parsed.fields}
        assert avro.io.validate(parsed, filled)  # type: ignore[attr-defined, unused-ignore] # it has no types


@every_type
def test_the_schema_is_avro_and_named_for_its_type(event_type: EventType) -> None:
    parsed = avro.schema.parse((FOLDER / f"{event_type.name}.avsc").read_text())
    assert parsed.fullname == f"hookline.events.{event_type.name}"
    family = event_type.name.partition(".")[0]
    assert event_type.category == CATEGORIES.get(family, family)
    assert event_type.description.endswith(".")
    assert event_type.owner


@every_type
def test_every_field_is_described(event_type: EventType) -> None:
    assert [
        field["name"] for field in fields_of(event_type.schema) if not field.get("doc", "").endswith((".", "…"))
    ] == []


@every_type
def test_the_ordering_key_is_a_text_of_its_data(event_type: EventType) -> None:
    """Without one, events whose publisher names no key have no order: a test event alone."""
    if event_type.open_ended:
        assert event_type.ordering_key is None
        return
    kinds = {field["name"]: field["type"] for field in fields_of(event_type.schema)}
    assert kinds[event_type.ordering_key] in ("string", ["null", "string"])


@every_type
def test_what_tells_who_somebody_is_is_marked_as_personal(event_type: EventType) -> None:
    names = {field["name"] for field in fields_of(event_type.schema)}
    telling = {name for name in names if re.search(r"(^|_)(email|phone|ip_address|user_agent)$", name)}
    telling |= {"name"} & names if event_type.name.partition(".")[0] in {"user", "member"} else set()
    assert {path[0] for path in event_type.personal} == telling


@every_type
def test_a_secret_is_a_text_and_masked_in_the_example(event_type: EventType) -> None:
    kinds = {field["name"]: field["type"] for field in fields_of(event_type.schema)}
    for path in event_type.secret:
        assert kinds[path[0]] in ("string", ["null", "string"])
        assert event_type.example[path[0]] == "***"


@every_type
def test_a_schema_can_grow_and_uses_only_what_the_check_knows(event_type: EventType) -> None:
    """FULL_TRANSITIVE: what is not required has the default null, so that either side may lack it."""
    for field in fields_of(event_type.schema):
        kind = field["type"]
        if isinstance(kind, list):
            assert kind[0] == "null"
            assert len(kind) == 2
            assert field["default"] is None
            kind = kind[1]
        else:
            assert "default" not in field
        assert known(kind), kind


@every_type
def test_only_what_hookline_says_of_what_is_configured_is_reserved(event_type: EventType) -> None:
    """An own type of a name that is reserved later would end: own types came with these two, no third may follow."""
    assert event_type.reserved == (event_type.category in {"subscription", "event_type"})
    if event_type.reserved:
        with pytest.raises(InvalidInput, match="published by Hookline alone") as caught:
            check_not_reserved(event_type.name)
        assert caught.value.pointer == "/type"
    else:
        check_not_reserved(event_type.name)


def fields_of(schema: Any) -> list[Any]:
    return list(schema["fields"])


def known(kind: Any) -> bool:
    if isinstance(kind, str):
        return kind in checking._PRIMITIVES
    if kind["type"] == "record":
        return all(known(field["type"]) for field in kind["fields"])
    return kind["type"] in {"array", "map"} and known(kind.get("items", kind.get("values")))


@given(json_objects)
def test_the_test_event_takes_any_object(data: dict[str, Json]) -> None:
    event_type_of(TEST_EVENT).check(data)


SCHEMA: Any = {
    "type": "record",
    "name": "done",
    "fields": [
        {"name": "text", "type": ["null", "string"], "default": None},
        {"name": "small", "type": ["null", "int"], "default": None},
        {"name": "big", "type": ["null", "long"], "default": None},
        {"name": "real", "type": ["null", "double"], "default": None},
        {"name": "flag", "type": ["null", "boolean"], "default": None},
        {"name": "list", "type": ["null", {"type": "array", "items": ["null", "long"]}], "default": None},
        {"name": "map", "type": ["null", {"type": "map", "values": "string"}], "default": None},
        {"name": "micros", "type": {"type": "long", "logicalType": "timestamp-micros"}, "default": 0},
        {"name": "one", "type": ["string"], "default": ""},
        {
            "name": "inner",
            "type": [
                "null",
                {
                    "type": "record",
                    "name": "Inner",
                    "fields": [
                        {"name": "id", "type": "string"},
                        {"name": "of", "type": {"type": "array", "items": "string"}, "default": []},
                    ],
                },
            ],
            "default": None,
        },
    ],
}
EVERYTHING = EventType(
    name="thing.done",
    category="thing",
    description="All that a schema may hold.",
    schema=SCHEMA,
    example={},
    open_ended=False,
)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"text": None, "small": -(1 << 31), "big": (1 << 63) - 1, "real": 1.5, "flag": False},
        {"real": 1},  # JSON has one kind of number
        {"list": [1, None, 2], "map": {"a": "b"}, "micros": 5},
        {"list": [], "map": {}, "inner": {"id": "x", "of": ["y"]}},
        {"inner": {"id": ""}},
    ],
)
def test_fits(data: Json) -> None:
    EVERYTHING.check(data)


@pytest.mark.parametrize(
    ("data", "pointer", "said"),
    [
        (None, "/data", "must be a JSON object, not null"),
        ([], "/data", "must be a JSON object, not an array"),
        ("x", "/data", "must be a JSON object, not a string"),
        ({"text": 1}, "/data/text", "must be a string, not a number"),
        ({"small": 1 << 31}, "/data/small", "32 bits, not a number"),
        ({"small": 1.0}, "/data/small", "32 bits"),
        ({"small": True}, "/data/small", "32 bits, not a boolean"),
        ({"big": 1 << 63}, "/data/big", "64 bits"),
        ({"big": -(1 << 63) - 1}, "/data/big", "64 bits"),
        ({"real": True}, "/data/real", "must be a number, not a boolean"),
        ({"real": "1"}, "/data/real", "must be a number"),
        ({"flag": 0}, "/data/flag", "true or false"),
        ({"list": {}}, "/data/list", "must be an array, not an object"),
        ({"list": [1, "x"]}, "/data/list/1", "64 bits"),
        ({"map": []}, "/data/map", "must be an object, not an array"),
        ({"map": {"a": "b", "c/d~e": 1}}, "/data/map/c~1d~0e", "must be a string"),
        ({"map": {"a": None}}, "/data/map/a", "not null"),
        ({"micros": "now"}, "/data/micros", "64 bits"),
        ({"micros": None}, "/data/micros", "not null"),
        ({"one": None}, "/data/one", "must be a string, not null"),
        ({"inner": []}, "/data/inner", "must be an object"),
        ({"inner": {}}, "/data/inner/id", "is missing; thing.done requires it"),
        ({"inner": {"id": "x", "of": [1]}}, "/data/inner/of/0", "must be a string"),
        ({"inner": {"id": "x", "more": 1}}, "/data/inner/more", "no such field; it has id, of"),
        ({"a/b": 1}, "/data/a~1b", "no such field"),
    ],
)
def test_does_not_fit(data: Json, pointer: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        EVERYTHING.check(data)
    assert caught.value.pointer == pointer
    assert str(caught.value) == f"{pointer}: {caught.value.detail}"


def test_required_fields_of_the_catalogue_are_required() -> None:
    with pytest.raises(InvalidInput, match=r"is missing; user\.created requires it") as caught:
        event_type_of("user.created").check({"email": "a@example.com"})
    assert caught.value.pointer == "/data/id"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("user.creatd", "user.created"),  # of its family
        ("users.created", "user.created"),
        ("usr.verified", "user.verified"),
        ("", "schemas list"),
        ("x" * 999, "schemas list"),
    ],
)
def test_an_unknown_type_is_told_the_nearest_ones(name: str, hint: str) -> None:
    with pytest.raises(UnknownEventType, match=hint) as caught:
        event_type_of(name)
    assert caught.value.pointer == "/type"
    assert len(str(caught.value)) < 600


def an_own_type(name: str = "order.paid", *, version: int = 1, organization_id: str = "org_1") -> EventType:
    return module.defined(
        EventTypeDefinition(
            organization_id=OrganizationId(organization_id),
            name=name,
            version=version,
            state="active",
            category="order",
            description="An order was paid.",
            owner="shop",
            schema=json.dumps({"type": "record", "name": "paid", "fields": [{"name": "id", "type": "string"}]}),
            example='{"id": "1"}',
            updated_at=datetime(2026, 11, 22, tzinfo=UTC),
            ordering_key="id",
        )
    )


def test_an_organization_has_the_built_in_types_and_its_own_and_no_others() -> None:
    known = Catalogue()
    known.put(an_own_type())
    assert known.of("order.paid", "org_1").ordering_key == "id"
    assert known.get("order.paid", "org_2") is None
    assert known.get("order.paid") is None
    assert "order.paid" in [event_type.name for event_type in known.all_of("org_1")]
    assert known.all_of("org_2") == [*catalogue().values()]
    with pytest.raises(UnknownEventType, match=r"near it are order\.paid"):
        known.of("order.payed", "org_1")


def test_an_own_type_goes_on_when_a_release_brings_a_built_in_one_of_its_name() -> None:
    """`POST /event-types` refuses built-in names, so an own type of one was there first."""
    known = Catalogue()
    known.put(an_own_type("user.created"))
    assert known.of("user.created", "org_1").owner == "shop"
    assert [each.owner for each in known.all_of("org_1") if each.name == "user.created"] == ["shop"]
    assert known.of("user.created", "org_2") == known.of("user.created") == event_type_of("user.created")


def test_what_hookline_alone_publishes_is_nobodys_to_replace() -> None:
    known = Catalogue()
    known.put(an_own_type("subscription.disabled"))
    assert known.of("subscription.disabled", "org_1").organization_id is None
    assert known.all_of("org_1") == [*catalogue().values()]
    with pytest.raises(ValueError, match="belongs to no organization"):
        known.put(event_type_of("user.created"))


def test_an_older_version_changes_nothing_and_a_deleted_type_is_gone() -> None:
    known = Catalogue()
    known.put(an_own_type(version=2))
    known.put(an_own_type(version=1))
    assert known.of("order.paid", "org_1").version == 2
    known.remove(OrganizationId("org_1"), "order.paid")
    known.remove(OrganizationId("org_1"), "order.paid")  # a tombstone read twice
    assert known.get("order.paid", "org_1") is None


def test_what_an_earlier_release_wrote_fits_and_is_masked_by_its_marks(tmp_path: Path) -> None:
    """A publisher that is upgraded last still writes it, and the log holds it."""
    kind = {"type": "enum", "name": "kind", "symbols": ["new", "old"], "default": "new"}
    email = {"name": "email", "type": ["null", "string"], "default": None, "sensitivity": "personal"}
    fields: list[Any] = [{"name": "id", "type": "string"}, {"name": "kind", "type": kind}]
    file = {"type": "record", "name": "paid", "doc": "x", "category": "x", "owner": "x", "state": "active"}
    first = {**file, "version": 1, "fields": [*fields, email]}
    second = {**file, "version": 2, "fields": [fields[0], {"name": "kind", "type": {**kind, "symbols": ["new"]}}]}
    (tmp_path / "released").mkdir()
    files = {"invoice.paid": second, "released/invoice.paid.1": first, "released/invoice.paid.2": second}
    for name, schema in files.items():
        (tmp_path / f"{name}.avsc").write_text(json.dumps(schema))
    (today,) = _read_all(tmp_path)
    today.check({"id": "x", "kind": "old", "email": "a@example.com"})
    assert today.personal == (("email",),)
    assert today.schema == second


def test_looking_for_names_near_an_unknown_one_holds_up_no_worker() -> None:
    """Anybody may publish what is unknown, as often as they like; all names compared took 100 ms."""
    known = Catalogue()
    for number in range(200):
        known.put(an_own_type(f"warehouse{number}.item_moved_to_shelf_number_{number}"))
    took = []
    for number in range(10):
        began = time.process_time()
        with pytest.raises(UnknownEventType):
            known.of(f"store{number}.something_that_happened_in_a_warehouse_somewhere", "org_1")
        took.append(time.process_time() - began)
    assert min(took) < 0.02
