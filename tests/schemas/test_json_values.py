"""What JSON may hold: everything that arrives as it is, and nothing else."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from http import HTTPStatus
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InvalidInput
from schemas.json_values import DEEPEST, check_json


@dataclass
class Account:
    password: str = "hunter2"


class Wrapped(Enum):
    SECRET = {"password": "hunter2"}  # noqa: RUF012 - orjson would write it as the object it holds


def nested(levels: int, innermost: object = None) -> object:
    """Return that many levels of arrays and objects."""
    value = innermost
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


anything: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.uuids()
    | st.sampled_from([Account(), Wrapped.SECRET, datetime(2026, 1, 1, tzinfo=UTC)]),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
)


@given(anything)
def test_what_passes_is_read_back_the_same(value: Any) -> None:
    pointer = where_it_is_refused(value)
    if pointer is None:
        assert orjson.loads(orjson.dumps(value)) == as_arrays(value)
    else:
        assert pointer.encode().startswith(b"/data")


def where_it_is_refused(value: object) -> str | None:
    try:
        check_json(value, pointer="/data")
    except InvalidInput as error:
        return error.pointer
    return None


def as_arrays(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: as_arrays(item) for name, item in value.items()}
    return [as_arrays(item) for item in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize(
    ("value", "pointer", "said"),
    [
        ({"a": [1, float("nan")]}, "/data/a/1", "NaN"),
        ({"a": float("inf")}, "/data/a", "infinite"),
        ({"a": float("-inf")}, "/data/a", "infinite"),
        ({"a": 1 << 64}, "/data/a", "64 bits"),
        ({"a": -(1 << 63) - 1}, "/data/a", "64 bits"),
        ({"a": {"b": "x\x00"}}, "/data/a/b", "NUL"),
        ({"a/b~c": ["\ud800"]}, "/data/a~1b~0c/0", "lone surrogate"),
        ({"a": {"\udfff": 1}}, "/data/a", "name holds a lone surrogate"),  # a pointer to it cannot be written
        ({"a": {"b\x00": 1}}, "/data/a", "name holds NUL"),
        ({"a": {1: 2}}, "/data/a", "int"),
        ({None: 2}, "/data", "NoneType"),
        ({"a": b"x"}, "/data/a", "bytes"),
        ({"a": {1, 2}}, "/data/a", "set"),
        ({"a": Account()}, "/data/a", "Account"),  # orjson would write its fields, past redaction
        ({"a": Wrapped.SECRET}, "/data/a", "Wrapped"),
        ({"a": (uuid.UUID(int=1),)}, "/data/a/0", "UUID"),
        ({"a": datetime(2026, 1, 1, tzinfo=UTC)}, "/data/a", "datetime"),
    ],
)
def test_what_would_arrive_changed_is_refused_with_a_pointer(value: object, pointer: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        check_json(value, pointer="/data")
    assert caught.value.pointer == pointer


@pytest.mark.parametrize(
    "value",
    [
        *((1 << 64) - 1, -(1 << 63), 1.5, True, None, "ü😀", "\x7f\n", (1, 2), nested(DEEPEST)),
        HTTPStatus.OK,  # an int that is not of the class int: `in range(…)` would count to it
    ],
)
def test_the_edges_of_what_json_carries_pass(value: object) -> None:
    check_json(value, pointer="")


@pytest.mark.parametrize("levels", [DEEPEST + 1, 300, 100_000])
def test_nesting_without_end_is_refused_and_exhausts_no_stack(levels: int) -> None:
    with pytest.raises(InvalidInput, match="deeper than 100 levels"):
        check_json(nested(levels), pointer="")


def test_text_of_a_value_is_in_no_message() -> None:
    with pytest.raises(InvalidInput) as caught:
        check_json({"a": "hunter2\x00"}, pointer="/data")
    assert "hunter2" not in str(caught.value)
