"""FULL_TRANSITIVE for event types: what breaks whom, judged again by Avro's own library."""

import json
from typing import Any

import avro.schema
import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from hypothesis import assume, given
from hypothesis import strategies as st

from schemas.catalogue import EventType
from schemas.evolution import breaking_changes, check_full_transitive, with_retired
from tests.schemas.drawn_schemas import PRIMITIVES, fitting, pairs

pytestmark = pytest.mark.filterwarnings("ignore::avro.errors.IgnoredLogicalType")


def can_read(reader: Any, writer: Any) -> bool:
    result = ReaderWriterCompatibilityChecker().get_compatibility(
        avro.schema.parse(json.dumps(reader)), avro.schema.parse(json.dumps(writer))
    )
    return bool(result.compatibility is SchemaCompatibilityType.compatible)


@given(pairs)
def test_avros_own_library_says_the_same_in_either_direction(pair: tuple[Any, Any]) -> None:
    check_verdicts(*pair)


def test_avros_own_library_says_the_same_of_every_pair_of_small_types() -> None:
    enums = [
        {"type": "enum", "name": name, "symbols": symbols, **more}
        for name in ("E", "F")
        for symbols in (["A"], ["A", "B"])
        for more in ({}, {"default": "A"})
    ]
    kinds: list[Any] = [*PRIMITIVES, {"type": "long", "logicalType": "timestamp-micros"}, *enums]
    kinds += [["null", kind] for kind in ("int", "double", enums[0])]
    for old in kinds:
        for new in kinds:
            check_verdicts(field(old), field(new))


def check_verdicts(old: Any, new: Any) -> None:
    changes = [change for change in breaking_changes(old, new) if not change.beyond_avro]
    assert all(change.backward or change.forward for change in changes)
    assert any(change.backward for change in changes) != can_read(reader=new, writer=old)
    assert any(change.forward for change in changes) != can_read(reader=old, writer=new)


@given(st.data())
def test_what_either_version_takes_fits_the_newest_with_what_was_retired(data: st.DataObject) -> None:
    old, new = data.draw(pairs)
    assume(not breaking_changes(old, new))
    both = with_retired(new, old)
    for version in (old, new):
        taking(both).check(data.draw(fitting(version)))
    assert with_retired(new, new) == new
    assert breaking_changes(both, old) == []  # a later version is held against it as against the one retired


def taking(schema: Any) -> EventType:
    return EventType(name="a.b", category="", description="", schema=schema, example={}, open_ended=False)


def record(*fields: Any) -> Any:
    return {"type": "record", "name": "shipped", "fields": list(fields)}


def field(kind: Any, **more: Any) -> Any:
    return record({"name": "x", "type": kind, **more})


def enum(*symbols: str, **more: Any) -> Any:
    return {"type": "enum", "name": "E", "symbols": list(symbols), **more}


def inner(name: str, *fields: Any) -> Any:
    return {"type": "record", "name": name, "fields": list(fields)}


BOTH = (True, True)
BACKWARD = (True, False)
FORWARD = (False, True)


@pytest.mark.parametrize(
    ("old", "new", "said", "breaks"),
    [
        (field("string"), record(), "data.x: removed, but v2 requires it", FORWARD),
        (record(), field("string"), "data.x: added as a required field, which events of v2 lack", BACKWARD),
        (field("string"), field("long"), "data.x: is long and was string: neither", BOTH),
        (field("int"), field("long"), "data.x: is long and was int: v2 cannot read a long", FORWARD),
        (field("double"), field("float"), "data.x: is float and was double: it cannot read the double of v2", BACKWARD),
        (field("string"), field(["null", "string"]), "data.x: may be null now, which v2 does not take", FORWARD),
        (field(["null", "string"]), field("string"), "data.x: may not be null any more, but v2 allows null", BACKWARD),
        (field(enum("A", "B")), field(enum("B")), "data.x: has no A any more, which v2 may write", BACKWARD),
        (field(enum("A")), field(enum("A", "C")), "data.x: has a new C, which v2 cannot read", FORWARD),
        (field(inner("A")), field(inner("B")), "data.x: the record is named B and was A in v2: keep the name", BOTH),
        (
            field("string", default=""),
            field("string"),
            "data.x: has no default any more, but events of v2 may lack it",
            BACKWARD,
        ),
        (
            field("string"),
            field("string", default=""),
            "data.x: has a default now, so that events may lack it, but v2 requires it",
            FORWARD,
        ),
        (
            field({"type": "array", "items": ["null", inner("I", {"name": "sku", "type": "string"})]}),
            field({"type": "array", "items": ["null", inner("I")]}),
            "data.x[].sku: removed, but v2 requires it",
            FORWARD,
        ),
        (
            field({"type": "map", "values": "int"}),
            field({"type": "map", "values": "string"}),
            "data.x{}: is string and was int",
            BOTH,
        ),
    ],
)
def test_says_where_and_why_and_for_whom(old: Any, new: Any, said: str, breaks: tuple[bool, bool]) -> None:
    (change,) = breaking_changes(old, new, version="v2")
    assert str(change).startswith(said)
    assert (change.backward, change.forward) == breaks


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (record(), field(["null", "string"], default=None)),
        (field("string", default=""), record()),
        (field(enum("A", default="A")), field(enum("A", "B", default="A"))),
        (field("string"), field("string", sensitivity="secret", doc="Now said.")),
        (field(["null", "string"]), field(["string", "null"])),
    ],
)
def test_lets_a_schema_grow_and_shrink(old: Any, new: Any) -> None:
    assert breaking_changes(old, new) == []


def test_every_version_ever_released_counts() -> None:
    """A field that was optional, and dropped, may not come back as something else."""
    first, second = field(["null", "string"], default=None), record()
    third = field(["null", "long"], default=None)
    assert breaking_changes(second, third) == []
    (change,) = check_full_transitive(third, {1: first, 2: second})
    assert (
        str(change)
        == "data.x: is long and was string: neither this version nor version 1 can read what the other writes"
    )


def test_retired_fields_keep_their_marks() -> None:
    first = field(["null", "string"], default=None, sensitivity="secret")
    assert with_retired(record(), first) == record({**first["fields"][0], "retired": True})


def test_what_is_open_stays_open_and_what_is_closed_stays_closed() -> None:
    """Avro says nothing of it: data of an open type may be any object."""
    closed: dict[str, Any] = {"type": "record", "name": "x", "fields": []}
    opened: dict[str, Any] = {**closed, "open": True}
    shut: dict[str, Any] = {**closed, "open": False}
    assert breaking_changes(opened, opened) == breaking_changes(closed, shut) == []
    (closing,), (opening,) = breaking_changes(opened, closed), breaking_changes(closed, opened)
    assert (closing.field, closing.backward, closing.forward) == ("data", True, False)
    assert (opening.field, opening.backward, opening.forward) == ("data", False, True)
