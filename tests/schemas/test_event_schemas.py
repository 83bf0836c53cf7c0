"""Which Avro schemas event types may have, and where and how others are refused."""

import json
from contextlib import suppress
from typing import Any

import avro.schema
import pytest
from hypothesis import given

from schemas.catalogue import catalogue
from schemas.errors import InvalidInput
from schemas.event_schemas import BUILT_IN_ATTRIBUTES, DEEPEST_SCHEMA, MOST_FIELDS, checked_schema
from schemas.json_values import Json
from tests.schemas.drawn import json_objects
from tests.schemas.drawn_schemas import schemas

STRING = {"name": "id", "type": "string"}


def record(*fields: Any, **more: Any) -> Any:
    return {"type": "record", "name": "shipped", "fields": list(fields), **more}


def field(kind: Any, **more: Any) -> Any:
    return record({"name": "x", "type": kind, **more})


def nested(levels: int) -> Any:
    kind: Any = "string"
    for _ in range(levels):
        kind = {"type": "array", "items": kind}
    return kind


@pytest.mark.parametrize(
    "schema",
    [
        record(),
        record(STRING, namespace="com.example", doc="What was shipped."),
        field("string", sensitivity="secret"),
        field({"type": "string"}, sensitivity="secret"),
        field(["null", "string"], default=None, sensitivity="secret", doc="d"),
        field(["string", "null"], default="x"),
        field({"type": "long", "logicalType": "timestamp-micros"}, default=0, sensitivity="personal"),
        field({"type": "map", "values": ["null", "double"]}, default={"a": None, "b": 1}),
        field({"type": "enum", "name": "Size", "symbols": ["S", "M"], "default": "S"}, default="M"),
        field({"type": "record", "name": "Inner", "fields": [STRING]}, default={"id": ""}),
        field(nested(DEEPEST_SCHEMA - 1)),
        record({"name": "password", "type": ["null", "string"], "default": None}),  # never there, never missed
    ],
)
def test_is_taken_and_is_avro(schema: Any) -> None:
    assert checked_schema(schema) is schema
    avro.schema.parse(json.dumps(schema))


@pytest.mark.parametrize("event_type", catalogue().values(), ids=lambda event_type: event_type.name)
def test_the_built_in_ones_are_such_schemas(event_type: Any) -> None:
    checked_schema(dict(event_type.schema), more=BUILT_IN_ATTRIBUTES)


X = "/schema/fields/0"


@pytest.mark.parametrize(
    ("schema", "pointer", "said"),
    [
        (None, "/schema", "must be an Avro record"),
        ("string", "/schema", "must be an Avro record"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, "/schema", "must be an Avro record"),
        ({"type": "record", "fields": []}, "/schema/name", "must be a name"),
        ({"type": "record", "name": "x.y", "fields": []}, "/schema/name", "must be a name"),
        ({"type": "record", "name": "x"}, "/schema/fields", "must be an array of fields"),
        (record(namespace="a b"), "/schema/namespace", "names joined by dots"),
        (record(doc=1), "/schema/doc", "must be text"),
        (record(reserved=True), "/schema/reserved", "is no attribute of records here"),
        (record(aliases=["y"]), "/schema/aliases", "is no attribute"),
        (record("x"), X, "must be a field"),
        (record({"name": "x"}), f"{X}/type", "is missing: write one of string"),
        (record({"name": "a-b", "type": "string"}), f"{X}/name", "must be a name"),
        (record(STRING, STRING), "/schema/fields/1/name", "'id' is there twice"),
        (field("string", sensitivty="secret"), f"{X}/sensitivty", "they have default, doc, name, sensitivity, type"),
        (field("string", sensitivity="high"), f"{X}/sensitivity", "must be personal or secret"),
        (field("long", sensitivity="secret"), f"{X}/sensitivity", "secret is for a string"),
        (field(["null", "int"], default=None, sensitivity="secret"), f"{X}/sensitivity", "secret is for a string"),
        (field("strnig"), f"{X}/type", "'strnig' is no type we take"),
        (field("shipped"), f"{X}/type", "written out where it is used"),  # recursion
        (field("null"), f"{X}/type", "null goes with another type"),
        (field("bytes"), f"{X}/type", "JSON carries no bytes"),
        (field(7), f"{X}/type", "is no Avro type"),
        (field({"type": "fixed", "name": "F", "size": 2}), f"{X}/type/type", "JSON carries no fixed"),
        (field({"type": {"type": "string"}}), f"{X}/type/type", "this is no type we take"),
        (field([]), f"{X}/type", "a union of null with one type"),
        (field(["string"]), f"{X}/type", "a union of null with one type"),
        (field(["string", "long"]), f"{X}/type", "a union of null with one type"),
        (field(["null", "null"]), f"{X}/type", "a union of null with one type"),
        (field(["null", ["null", "string"]]), f"{X}/type", "a union of null with one type"),
        (field(["null", "bytes"]), f"{X}/type/1", "JSON carries no bytes"),
        (field({"type": "long", "logicalType": "date"}), f"{X}/type/logicalType", "must be timestamp-micros"),
        (field({"type": "int", "logicalType": "timestamp-micros"}), f"{X}/type/logicalType", "is no attribute of int"),
        (field({"type": "array"}), f"{X}/type/items", "is missing"),
        (field({"type": "map", "values": "bytes"}), f"{X}/type/values", "JSON carries no bytes"),
        (field({"type": "enum", "name": "E", "symbols": []}), f"{X}/type/symbols", "1 to 500 names"),
        (field({"type": "enum", "name": "E", "symbols": ["A", "A"]}), f"{X}/type/symbols/1", "is there twice"),
        (field({"type": "enum", "name": "E", "symbols": ["a b"]}), f"{X}/type/symbols/0", "must be a name"),
        (field({"type": "enum", "name": "E", "symbols": ["A"], "default": "B"}), f"{X}/type/default", "of the symbols"),
        (field({"type": "enum", "name": "E", "symbols": ["A"]}, default="B"), f"{X}/default", "must be one of A"),
        (field({"type": "enum", "name": "shipped", "symbols": ["A"]}), f"{X}/type/name", "names two types"),
        (field("int", default="1"), f"{X}/default", "must be a whole number of 32 bits"),
        (field(["null", "string"], default="x"), f"{X}/default", "must be null, the first type"),
        (field(["string", "null"], default=None), f"{X}/default", "must be a string, not null"),
        (field({"type": "array", "items": "long"}, default=[1, "2"]), f"{X}/default/1", "a whole number of 64 bits"),
        (field("string", **{"a/b": 1}), f"{X}/a~1b", "is no attribute of fields"),
        (field("string", default="\x00"), f"{X}/default", "NUL"),
        (record({"name": "password", "type": "string"}), f"{X}/name", "removed from every event"),
        (field(nested(DEEPEST_SCHEMA)), f"{X}/type{'/items' * (DEEPEST_SCHEMA - 1)}", "nests deeper than 10 levels"),
        (
            record(*({"name": f"f{n}", "type": "string"} for n in range(MOST_FIELDS + 1))),
            f"/schema/fields/{MOST_FIELDS}",
            "at most 500",
        ),
        (record(doc="x" * 70_000), "/schema", "at most 65,536"),
    ],
)
def test_is_refused_with_a_pointer_and_what_to_do(schema: Any, pointer: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        checked_schema(schema)
    assert caught.value.pointer == pointer


@given(schemas)
def test_what_is_drawn_is_taken_and_is_avro(schema: Any) -> None:
    checked_schema(schema)
    avro.schema.parse(json.dumps(schema))


@given(json_objects)
def test_no_json_makes_the_check_fail_otherwise(value: dict[str, Json]) -> None:
    for schema in (value, {**record(), **value}, field(value), field("string", **value)):
        with suppress(InvalidInput):
            checked_schema(schema)
