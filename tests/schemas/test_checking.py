"""The check of data: what the generated function passes, the plain walk passes, and the JSON of both is the same."""

import json
from enum import IntEnum
from typing import Any

import avro.io
import avro.schema
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.catalogue import EventType, catalogue
from schemas.checking import Checker, object_json_of
from schemas.errors import InvalidInput
from schemas.fitting import fitting_of
from schemas.json_values import Json
from schemas.masking import MASK, masking_of
from tests.schemas.drawn import json_objects

NAMES = ["id", "a", "b_c", "password", "Token", "class", "def"]
PRIMITIVES = ["string", "boolean", "int", "long", "float", "double"]
MICROS: Any = {"type": "long", "logicalType": "timestamp-micros"}

COLOR: Any = {"type": "enum", "name": "Color", "symbols": ["RED", "BLUE"]}
primitives: st.SearchStrategy[Any] = st.sampled_from([*PRIMITIVES, MICROS, COLOR])


def records_of(kinds: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    fields = st.tuples(
        kinds,
        st.sampled_from([{}, {"default": None}]),
        st.sampled_from([{}, {}, {"sensitivity": "personal"}, {"sensitivity": "secret"}]),
    ).map(lambda found: {"type": found[0], **found[1], **found[2]})
    return st.dictionaries(st.sampled_from(NAMES), fields, max_size=4).map(
        lambda found: {"type": "record", "name": "R", "fields": [{"name": name, **found[name]} for name in found]}
    )


def within(kinds: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        kinds.filter(lambda kind: not isinstance(kind, list)).map(lambda kind: ["null", kind]),
        kinds.map(lambda kind: {"type": "array", "items": kind}),
        kinds.map(lambda kind: {"type": "map", "values": kind}),
        records_of(kinds),
    )


records = records_of(st.recursive(primitives, within, max_leaves=5))


class Number(IntEnum):
    ONE = 1


anything: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([None, True, 0, 1 << 31, -(1 << 63), 1 << 63, 1 << 64, 1.5, float("nan"), Number.ONE, object()])
    | st.sampled_from(["", "x", "a\x00", "\ud800", "\\u0000", "é", b"x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*NAMES, "x/y"]), inner, max_size=4),
    max_leaves=6,
)


def fitting(schema: Any) -> st.SearchStrategy[Any]:
    """Return what mostly fits a schema."""
    if isinstance(schema, list):
        return st.none() | fitting(schema[1])
    if isinstance(schema, str):
        of: dict[str, st.SearchStrategy[Any]] = {
            "string": st.text(max_size=3),
            "boolean": st.booleans(),
            "int": st.integers(-(1 << 31), (1 << 31) - 1),
            "long": st.integers(-(1 << 63), (1 << 63) - 1),
        }
        return of.get(schema, st.sampled_from([1, 0.5, 1e308, float("nan"), float("-inf")]))
    if schema["type"] == "array":
        return st.lists(fitting(schema["items"]), max_size=3)
    if schema["type"] == "map":
        return st.dictionaries(st.sampled_from(["x", "secret", "a/b"]), fitting(schema["values"]), max_size=2)
    if schema["type"] != "record":
        return st.sampled_from([*schema["symbols"], "GREEN"]) if "symbols" in schema else fitting(schema["type"])
    by_name = {field["name"]: fitting(field["type"]) for field in schema["fields"]}
    optional = {field["name"] for field in schema["fields"] if "default" in field}
    return st.fixed_dictionaries(
        {name: found for name, found in by_name.items() if name not in optional},
        optional={name: by_name[name] for name in optional},
    )


schemas_and_data = records.flatmap(lambda schema: st.tuples(st.just(schema), fitting(schema) | anything))


def said(checker: Checker, data: Any) -> bytes | tuple[str | None, str]:
    try:
        return checker.json_of(data, pointer="/data")
    except InvalidInput as error:
        return error.pointer, error.detail


def walking(schema: Any, *, open_ended: bool = False) -> Checker:
    """Return a checker that passes nothing before it has walked it."""
    checker = Checker("thing.done", schema, open_ended=open_ended)
    checker._compiled()
    checker._fits = lambda _: False
    return checker


@given(schemas_and_data)
@settings(max_examples=300)
@example(({"type": "record", "name": "R", "fields": []}, {}))
def test_the_generated_check_and_the_walk_agree(drawn: tuple[Any, Any]) -> None:
    schema, data = drawn
    assert said(Checker("thing.done", schema, open_ended=False), data) == said(walking(schema), data)


@given(anything | json_objects)
@settings(max_examples=300)
def test_of_data_of_any_shape_both_ways_agree_too(data: Any) -> None:
    assert said(Checker("thing.done", {}, open_ended=True), data) == said(walking({}, open_ended=True), data)


@given(schemas_and_data)
def test_checking_without_writing_agrees_as_well(drawn: tuple[Any, Any]) -> None:
    schema, data = drawn
    found = []
    for checker in (Checker("thing.done", schema, open_ended=False), walking(schema)):
        try:
            checker.check(data, pointer="")
            found.append("fits")
        except InvalidInput as error:
            found.append(str(error))
    assert found[0] == found[1]


@pytest.mark.parametrize("event_type", catalogue().values(), ids=lambda event_type: event_type.name)
def test_an_example_is_passed_by_the_generated_check_and_is_avros(event_type: EventType) -> None:
    """The quick way is taken for every type, or publishing is slow; the `avro` package says the same of its shape."""
    if event_type.open_ended:
        return
    fits, example_ = fitting_of(event_type.schema), dict(event_type.example)
    assert fits(example_)
    parsed = avro.schema.parse(json.dumps(event_type.schema))
    for name in example_:
        for wrong in (object(), [1], {"x/y": 1}):
            broken = {**{each.name: None for each in parsed.fields}, **example_, name: wrong}
            validates = avro.io.validate(parsed, broken)  # type: ignore[attr-defined, unused-ignore] # it has no types
            assert fits({**example_, name: wrong}) == validates


SECRETIVE: Any = {
    "type": "record",
    "name": "R",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "hint", "type": "string", "sensitivity": "secret"},
        {"name": "pin", "type": ["null", "string"], "default": None, "sensitivity": "secret"},
        {"name": "mail", "type": ["null", "string"], "default": None, "sensitivity": "personal"},
        {
            "name": "devices",
            "default": None,
            "type": [
                "null",
                {
                    "type": "array",
                    "items": {
                        "type": "record",
                        "name": "Device",
                        "fields": [{"name": "seed", "type": "string", "sensitivity": "secret"}],
                    },
                },
            ],
        },
        {
            "name": "by_name",
            "default": None,
            "type": [
                "null",
                {
                    "type": "map",
                    "values": {
                        "type": "record",
                        "name": "Named",
                        "fields": [{"name": "seed", "type": ["null", "string"], "sensitivity": "secret"}],
                    },
                },
            ],
        },
    ],
}


@pytest.mark.parametrize("checker", [Checker("r", SECRETIVE, open_ended=False), walking(SECRETIVE)])
def test_what_is_marked_secret_is_masked_wherever_it_stands(checker: Checker) -> None:
    data: Json = {
        "id": "x",
        "hint": "hunter2",
        "pin": None,
        "mail": "a@example.com",
        "devices": [{"seed": "hunter2"}],
        "by_name": {"a": {"seed": "hunter2"}, "b": {"seed": None}},
    }
    given_ = json.dumps(data)
    assert orjson.loads(checker.json_of(data, pointer="/data")) == {
        "id": "x",
        "hint": MASK,
        "pin": None,
        "mail": "a@example.com",
        "devices": [{"seed": MASK}],
        "by_name": {"a": {"seed": MASK}, "b": {"seed": None}},
    }
    assert json.dumps(data) == given_  # the caller's own data is left alone
    assert checker.previous_json_of({"hint": "hunter2"}, pointer="/previous") == b'{"hint":"***"}'
    assert b"hunter2" not in orjson.dumps(checker.masked(data))


@given(anything)
def test_a_mask_lets_no_secret_through_whatever_the_shape(value: Any) -> None:
    masked = masking_of(SECRETIVE)
    assert masked is not None
    for name, found in (("hint", value), ("devices", [value]), ("devices", value), ("by_name", {"a": value})):
        shown: Any = masked({name: found})
        assert secrets_of(shown) <= {MASK, None}


def secrets_of(shown: Any) -> set[Any]:
    """Return what stands where a secret may: fields so named, and whatever stands in place of an object."""
    found = set()
    if "hint" in shown:
        found.add(shown["hint"])
    for inner in ("devices", "by_name"):
        items = shown.get(inner)
        items = items.values() if isinstance(items, dict) else items
        for item in items if not isinstance(items, str | None) else [items]:
            found.add(
                item["seed"] if isinstance(item, dict) and "seed" in item else None if isinstance(item, dict) else item
            )
    return found


def test_a_type_that_marks_nothing_is_masked_for_nothing() -> None:
    assert masking_of({"type": "record", "name": "R", "fields": [{"name": "id", "type": "string"}]}) is None


def test_a_schema_of_a_hundred_arrays_in_arrays_is_generated() -> None:
    kind: Any = "long"
    for _ in range(100):
        kind = {"type": "array", "items": kind}
    fits = fitting_of({"type": "record", "name": "R", "fields": [{"name": "a", "type": kind}]})
    assert fits({"a": []})
    assert not fits({"a": [1]})


@pytest.mark.parametrize("kind", ["bytes", "Named", "null", {"type": "fixed", "name": "F", "size": 1}])
def test_a_schema_that_we_take_in_none_is_refused_when_it_is_generated(kind: Any) -> None:
    with pytest.raises(NotImplementedError):
        fitting_of({"type": "record", "name": "R", "fields": [{"name": "a", "type": kind}]})


@pytest.mark.parametrize("kind", ["float", "double"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_cannot_carry_is_refused(kind: str, value: float) -> None:
    schema: Any = {"type": "record", "name": "R", "fields": [{"name": "a", "type": kind}]}
    assert not fitting_of(schema)({"a": value})
    with pytest.raises(InvalidInput, match="NaN or infinite"):
        Checker("thing.done", schema, open_ended=False).json_of({"a": value}, pointer="/data")


def test_a_fields_name_is_never_code() -> None:
    name = "x'); import os; os.abort() #\n"
    fits = fitting_of({"type": "record", "name": "R", "fields": [{"name": name, "type": "string"}]})
    assert fits({name: "x"})
    assert not fits({"x": "x"})


@pytest.mark.parametrize(("value", "written"), [({"a": (1, 2)}, b'{"a":[1,2]}'), ({"token": 1}, b"{}"), ({}, b"{}")])
def test_objects_of_any_shape_are_written_without_what_is_sensitive(value: Any, written: bytes) -> None:
    assert object_json_of(value, pointer="/metadata") == written


class Float64(float):
    """As numpy's: a float to Python, and nothing to orjson."""


def test_a_number_of_a_kind_of_its_own_is_written_as_the_float_that_it_is() -> None:
    schema: Any = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "double"}]}
    fitting: Any = {"a": Float64(1.5)}
    any_shape: Any = {"a": [Float64(1.5)], "token": "x"}
    assert Checker("thing.done", schema, open_ended=False).json_of(fitting, pointer="/data") == b'{"a":1.5}'
    assert object_json_of(any_shape, pointer="/metadata") == b'{"a":[1.5]}'
