"""JSON Schema of data: derived from Avro, and of one mind with the check that every event passes."""

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from schemas.catalogue import EventType, catalogue
from schemas.errors import InvalidInput
from schemas.json_schema import json_schema_of, published_schema, received_schema
from schemas.json_values import Json
from tests.schemas.drawn import json_texts

INT = {"type": "integer", "format": "int32", "minimum": -(1 << 31), "maximum": (1 << 31) - 1}
LONG = {"type": "integer", "format": "int64", "minimum": -(1 << 63), "maximum": (1 << 63) - 1}
FRACTIONS = st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not number.is_integer())
NAMES = ("a", "b", "c/d", "e")
ANYTHING: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | FRACTIONS | json_texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=8,
)
VALUES: dict[str, st.SearchStrategy[Json]] = {
    "string": json_texts,
    "boolean": st.booleans(),
    "int": st.integers(-(1 << 31), (1 << 31) - 1),
    "long": st.integers(-(1 << 63), (1 << 63) - 1),
    "float": FRACTIONS,
    "double": FRACTIONS | st.integers(-(1 << 63), (1 << 63) - 1),
}
Kind = tuple[Any, st.SearchStrategy[Json]]  # an Avro type, and values of it


def _array(of: Kind) -> Kind:
    return {"type": "array", "items": of[0]}, st.lists(of[1], max_size=3).map(list)


def _map(of: Kind) -> Kind:
    return {"type": "map", "values": of[0]}, st.dictionaries(json_texts, of[1], max_size=3).map(dict)


def _or_null(of: Kind) -> Kind:
    return (of[0] if isinstance(of[0], list) else ["null", of[0]]), st.none() | of[1]


def _record(fields: list[tuple[Kind, bool]]) -> Kind:
    avro = [
        {"name": name, "type": kind[0]} | ({"default": None} if may_miss else {})
        for name, (kind, may_miss) in zip(NAMES, fields, strict=False)
    ]
    named = list(zip(NAMES, fields, strict=False))
    required = {name: kind[1] for name, (kind, may_miss) in named if not may_miss}
    optional = {name: kind[1] for name, (kind, may_miss) in named if may_miss}
    return {"type": "record", "name": "r", "fields": avro}, st.fixed_dictionaries(required, optional=optional)


primitives: st.SearchStrategy[Kind] = st.sampled_from(list(VALUES.items()))
records = st.lists(
    st.tuples(
        st.recursive(
            primitives,
            lambda inner: (
                inner.map(_array)
                | inner.map(_map)
                | inner.map(_or_null)
                | st.lists(st.tuples(inner, st.booleans()), max_size=3).map(_record)
            ),
            max_leaves=6,
        ),
        st.booleans(),
    ),
    max_size=4,
).map(_record)


@given(st.data(), records)
def test_the_check_and_the_schema_are_of_one_mind(data: st.DataObject, kind: Kind) -> None:
    avro, values = kind
    event_type = EventType(name="a.b", category="a", description="D.", schema=avro, example={}, open_ended=False)
    validator = jsonschema_rs.Draft202012Validator(published_schema(event_type))
    fitting = data.draw(values)
    event_type.check(fitting)
    assert validator.is_valid(fitting)
    changed = data.draw(ANYTHING | _one_changed(fitting))
    try:
        event_type.check(changed)
    except InvalidInput:
        event("refused")
        assert not validator.is_valid(changed)
    else:
        event("accepted")
        assert validator.is_valid(changed)


def _one_changed(value: Json) -> st.SearchStrategy[Json]:
    """Something else in one place of an object, a field that nobody named, or one that is missing."""
    if not isinstance(value, dict):
        return ANYTHING
    put = st.builds(lambda name, item: {**value, name: item}, st.sampled_from([*value, "new"]), ANYTHING)
    if not value:
        return put
    taken = st.sampled_from([*value]).map(lambda gone: {name: each for name, each in value.items() if name != gone})
    deeper = st.sampled_from([*value]).flatmap(
        lambda name: _one_changed(value[name]).map(lambda item: {**value, name: item})
    )
    return put | taken | deeper


@pytest.mark.parametrize("event_type", catalogue().values(), ids=lambda event_type: event_type.name)
def test_every_example_is_what_its_schemas_say(event_type: EventType) -> None:
    example = dict(event_type.example)
    jsonschema_rs.Draft202012Validator(published_schema(event_type)).validate(example)
    received = jsonschema_rs.Draft202012Validator(received_schema(event_type))
    received.validate(example)
    received.validate({**example, "of_a_later_version": 1})


@pytest.mark.parametrize(
    ("avro", "shape"),
    [
        ("string", {"type": "string"}),
        (["null", "string"], {"type": ["string", "null"]}),
        (
            ["null", "string", "long"],
            {"anyOf": [{"type": "string"}, LONG, {"type": "null"}]},
        ),
        (
            {"type": "map", "values": "int"},
            {"type": "object", "additionalProperties": INT},
        ),
        ({"type": "array", "items": "double"}, {"type": "array", "items": {"type": "number"}}),
        ({"type": "string", "logicalType": "uuid"}, {"type": "string"}),
        (["null", {"type": "array", "items": "string"}], {"type": ["array", "null"], "items": {"type": "string"}}),
        ({"type": "enum", "name": "e", "symbols": ["A", "B"]}, {"type": "string", "enum": ["A", "B"]}),
        (
            ["null", {"type": "enum", "name": "e", "symbols": ["A"]}],
            {"anyOf": [{"type": "string", "enum": ["A"]}, {"type": "null"}]},
        ),
        (
            {
                "type": "record",
                "name": "r",
                "fields": [{"name": "a", "type": "boolean"}, {"name": "b", "type": "int", "default": 0}],
            },
            {
                "type": "object",
                "properties": {"a": {"type": "boolean"}, "b": INT},
                "required": ["a"],
            },
        ),
    ],
)
def test_avro_becomes_json_schema(avro: Any, shape: dict[str, Any]) -> None:
    assert json_schema_of(avro) == shape
