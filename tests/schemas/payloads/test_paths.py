"""Paths of fields: which fields a tree of them takes, leaves and masks."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InvalidInput
from schemas.json_values import Json
from schemas.payloads.paths import MASK, Path, masked, only, path_of, tree_of, without

NAMES = ("a", "b", "c")
values = st.recursive(
    st.none() | st.integers(0, 9) | st.text("xyz", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from(NAMES), values, max_size=3)
paths = st.lists(st.sampled_from([*NAMES, "*"]), min_size=1, max_size=4).map(tuple)
Leaf = tuple[tuple[str | int, ...], Json]


@st.composite
def some_paths(draw: st.DrawFn) -> list[Path]:
    """Return paths in which no name stands beside a `*`."""
    kept: list[Path] = []
    for path in draw(st.lists(paths, min_size=1, max_size=4)):
        try:
            tree_of([*kept, path])
        except InvalidInput:
            continue
        kept.append(path)
    return kept


def leaves_of(value: Json, at: tuple[str | int, ...] = ()) -> Iterator[Leaf]:
    """Yield every value that is no object or array, in order; array items without their number: they move up."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from leaves_of(item, (*at, name))
    elif isinstance(value, list):
        for item in value:
            yield from leaves_of(item, (*at, 0))
    else:
        yield at, value


def takes(path: Path, at: tuple[str | int, ...]) -> bool:
    """Return whether a path takes what is at a place: said once more, slowly."""
    return len(path) <= len(at) and all(name in {"*", there} for name, there in zip(path, at, strict=False))


def is_taken(chosen: list[Path], at: tuple[str | int, ...]) -> bool:
    return any(takes(path, at) for path in chosen)


def is_on_the_way(chosen: list[Path], at: tuple[str | int, ...]) -> bool:
    """Return whether a path goes on below a place."""
    return any(len(path) > len(at) and takes(path[: len(at)], at) for path in chosen)


@given(objects, some_paths())
def test_only_keeps_the_leaves_that_a_path_takes_in_their_order(value: Json, chosen: list[Path]) -> None:
    kept = only(value, tree_of(chosen))
    assert list(leaves_of(kept)) == [leaf for leaf in leaves_of(value) if is_taken(chosen, leaf[0])]
    assert only(kept, tree_of(chosen)) == kept


@given(objects, some_paths())
def test_without_keeps_the_leaves_that_no_path_takes_in_their_order(value: Json, chosen: list[Path]) -> None:
    kept = without(value, tree_of(chosen))
    assert list(leaves_of(kept)) == [leaf for leaf in leaves_of(value) if not is_taken(chosen, leaf[0])]
    assert without(kept, tree_of(chosen)) == kept


@given(objects, some_paths())
def test_what_is_kept_and_what_is_left_out_are_the_whole(value: Json, chosen: list[Path]) -> None:
    tree = tree_of(chosen)
    together = [*leaves_of(only(value, tree)), *leaves_of(without(value, tree))]
    assert sorted(together, key=repr) == sorted(leaves_of(value), key=repr)


@given(objects, some_paths())
def test_masking_changes_only_what_a_path_takes_and_all_of_that(value: Json, chosen: list[Path]) -> None:
    tree = tree_of(chosen)
    after = masked(value, tree)
    taken = [leaf for leaf in leaves_of(after) if is_taken(chosen, leaf[0])]
    assert {leaf for _, leaf in taken} <= {MASK, None}
    assert masked(after, tree) == after
    before = list(leaves_of(value))
    for at, leaf in leaves_of(without(after, tree)):  # arrays are gone through, whether a path says so or not
        assert (at, leaf) in before or (leaf == MASK and (0 in at or is_on_the_way(chosen, at)))


@given(objects, some_paths())
def test_what_comes_in_is_left_as_it_was(value: Json, chosen: list[Path]) -> None:
    before, tree = repr(value), tree_of(chosen)
    only(value, tree), without(value, tree), masked(value, tree)
    assert repr(value) == before


def test_each_says_what_its_docstring_says() -> None:
    order: dict[str, Any] = {
        "id": 1,
        "items": [{"sku": "a", "price": 5}, {"sku": "b", "price": None}],
        "to": {"name": "Ann"},
    }
    prices = tree_of([("items", "*", "price")])
    assert only(order, prices) == {"items": [{"price": 5}, {"price": None}]}
    assert without(order, prices) == {"id": 1, "items": [{"sku": "a"}, {"sku": "b"}], "to": {"name": "Ann"}}
    assert masked(order, prices) == {
        **order,
        "items": [{"sku": "a", "price": "***"}, {"sku": "b", "price": None}],
    }
    assert masked(order, tree_of([("to",)])) == {**order, "to": "***"}
    assert masked([{"id": 1}, {"id": 2}], tree_of([("id",)])) == [{"id": "***"}, {"id": "***"}]
    assert masked({"to": "Ann", "id": 1}, tree_of([("to", "name")])) == {"to": "***", "id": 1}
    assert masked({"to": None, "items": [None, "a"]}, tree_of([("to", "name"), ("items", "*", "sku")])) == {
        "to": None,
        "items": [None, "***"],
    }
    assert without({"a": {"x": 1, "y": 2}}, tree_of([("a", "*")])) == {"a": {}}
    assert only(order, tree_of([("id", "deeper"), ("to", "street")])) == {"to": {}}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("data", ("data",)),
        ("data.items.*.price", ("data", "items", "*", "price")),
        ("/data/first.name", ("data", "first.name")),
        ("/metadata/a~1b~0c", ("metadata", "a/b~c")),
        ("/previous/", ("previous", "")),
    ],
)
def test_a_path_is_dotted_or_a_json_pointer(text: str, names: Path) -> None:
    assert path_of(text) == names


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("email", "begins with one of data, previous, metadata"),
        ("id", "the envelope stays whole"),
        ("data..email", "write it as"),
        ("", "write it as"),
        ("data.", "write it as"),
        ("/", "begins with"),
        ("/data/a~2", "~0"),
        (f"data.{'x' * 300}", "300 characters"),
        ("data" + ".x" * 110, "names"),
    ],
)
def test_what_is_no_path_is_refused_with_a_pointer(text: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as refused:
        path_of(text, pointer="/payload/include/0")
    assert refused.value.pointer == "/payload/include/0"


def test_a_name_beside_a_star_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at the same place") as refused:
        tree_of([("data", "a", "x"), ("data", "*", "y")], pointer="/payload/exclude")
    assert refused.value.pointer == "/payload/exclude/1"
    with pytest.raises(InvalidInput):
        tree_of([("data", "*"), ("data", "x")])


def test_what_is_below_a_path_that_takes_all_says_nothing_more() -> None:
    assert tree_of([("data", "a"), ("data", "a", "b")]) == tree_of([("data", "a", "b"), ("data", "a")])
