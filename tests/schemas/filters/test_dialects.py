"""Filter objects: the dialects of the CloudEvents Subscriptions API, what is refused, and one text for one meaning."""

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from typing import Any, cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InvalidInput
from schemas.filters import EventContext, FilterFailed, checked_filters, filters_of
from schemas.filters import dialects as limits
from schemas.json_values import Json
from tests.schemas.filters.events import event, takes

GITHUB = event(
    {},
    type="com.github.push",
    source="https://github.com/cloudevents",
    key="https://github.com/cloudevents/spec",
    metadata={"region": "eu-1", "tries": 3, "ratio": 0.5, "live": True, "none": None, "deep": {"a": 1}, "type": "x"},
)


@pytest.mark.parametrize(
    ("filters", "taken"),
    [
        ([], True),  # absence of a filter or an empty array is true (3.2.1)
        # The specification's own examples (3.2.4.1.1).
        ([{"exact": {"type": "com.github.push", "subject": "https://github.com/cloudevents/spec"}}], True),
        ([{"prefix": {"type": "com.github.", "subject": "https://github.com/cloudevents"}}], True),
        ([{"suffix": {"type": ".created", "subject": "/cloudevents/spec"}}], False),
        ([{"suffix": {"type": ".push", "subject": "/cloudevents/spec"}}], True),
        ([{"all": [{"exact": {"type": "com.github.push"}}, {"exact": {"subject": "https://github.com"}}]}], False),
        ([{"any": [{"exact": {"type": "com.github.push"}}, {"exact": {"subject": "https://github.com"}}]}], True),
        ([{"not": {"exact": {"type": "com.github.push"}}}], False),
        # All of the array (3.2.4).
        ([{"exact": {"type": "com.github.push"}}, {"exact": {"source": "https://github.com/cloudevents"}}], True),
        ([{"exact": {"type": "com.github.push"}}, {"exact": {"source": "https://github.com"}}], False),
        ([{"exact": {"type": "COM.github.push"}}], False),  # case sensitive
        ([{"exact": {"id": "evt_019a9f2a11127a3b8c4d5e6f708192a3"}}], True),
        ([{"exact": {"organizationid": "org_1"}}], True),
        ([{"exact": {"time": "2026-01-02T03:04:05.678000Z"}}], True),
        ([{"prefix": {"time": "2026-01-02T"}}], True),
        ([{"exact": {"specversion": "1.0", "datacontenttype": "application/json"}}], True),
        # Metadata as extensions: texts, and what JSON writes for numbers and booleans.
        ([{"exact": {"region": "eu-1", "tries": "3", "ratio": "0.5", "live": "true"}}], True),
        ([{"exact": {"deep": '{"a":1}'}}], False),
        ([{"prefix": {"none": "n"}}], False),
        ([{"exact": {"type": "x"}}], False),  # an attribute of the event's own is not metadata's
        # What is not there is not equal to anything, and its inverse holds.
        ([{"exact": {"absent": "x"}}], False),
        ([{"not": {"exact": {"absent": "x"}}}], True),
    ],
)
def test_takes(filters: Json, taken: bool) -> None:
    assert takes(filters, GITHUB) is taken


def test_an_event_without_key_and_source_has_neither() -> None:
    for name in ("subject", "source"):
        assert not takes([{"prefix": {name: "h"}}], event())


@pytest.mark.parametrize(
    ("filters", "pointer"),
    [
        ({"exact": {"type": "a"}}, "/filters"),
        ("exact", "/filters"),
        (None, "/filters"),
        (["exact"], "/filters/0"),
        ([{}], "/filters/0"),
        ([{"exact": {"type": "a"}, "prefix": {"type": "a"}}], "/filters/0"),
        ([{"exact": {"type": "a"}}, {"sql": "TRUE"}], "/filters/1/sql"),  # an optional dialect that is not had
        ([{"a/b": 1}], "/filters/0/a~1b"),
        ([{"exact": {}}], "/filters/0/exact"),
        ([{"exact": "type"}], "/filters/0/exact"),
        ([{"exact": {"type": ""}}], "/filters/0/exact/type"),  # MUST NOT be empty strings
        ([{"exact": {"": "a"}}], "/filters/0/exact/"),
        ([{"exact": {"type": 1}}], "/filters/0/exact/type"),
        ([{"exact": {"type": None}}], "/filters/0/exact/type"),
        ([{"exact": {"ty pe": "a"}}], "/filters/0/exact/ty pe"),
        ([{"exact": {"type": "x" * 1001}}], "/filters/0/exact/type"),
        ([{"exact": {f"a{n}": "x" for n in range(21)}}], "/filters/0/exact"),
        ([{"all": []}], "/filters/0/all"),  # at least one filter expression in the array
        ([{"any": {"exact": {"type": "a"}}}], "/filters/0/any"),
        ([{"not": [{"exact": {"type": "a"}}]}], "/filters/0/not"),
        ([{"all": [{"exact": {"type": "a"}}, {"not": {"exact": {"b": 2}}}]}], "/filters/0/all/1/not/exact/b"),
        ([{"cel": {}}], "/filters/0/cel"),
        ([{"any": [{"cel": "foo"}]}], "/filters/0/any/0/cel"),
        ([{"exact": {"type": "a\x00"}}], "/filters/0/exact/type"),
    ],
)
def test_what_is_no_filter_is_refused_with_a_pointer(filters: Json, pointer: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        checked_filters(filters)
    assert caught.value.pointer == pointer
    assert "\n" not in str(caught.value)


def test_the_pointer_begins_where_the_caller_says() -> None:
    with pytest.raises(InvalidInput) as caught:
        checked_filters([1], pointer="/subscriptions/3/filters")
    assert caught.value.pointer == "/subscriptions/3/filters/0"


def test_filters_are_so_many_so_deep_and_of_so_many_expressions() -> None:
    one: Json = {"exact": {"type": "a"}}

    def nested(levels: int) -> Json:
        return reduce(lambda inner, _: {"not": inner}, range(levels - 1), one)

    checked_filters([one] * limits.MOST_FILTERS)
    checked_filters([nested(limits.DEEPEST)])
    checked_filters([{"cel": f"data.x == {n}"} for n in range(limits.MOST_EXPRESSIONS)])
    for too_much in (
        [one] * (limits.MOST_FILTERS + 1),
        [{"any": [one] * limits.MOST_FILTERS}],
        [nested(limits.DEEPEST + 1)],
        [{"cel": f"data.x == {n}"} for n in range(limits.MOST_EXPRESSIONS + 1)],
    ):
        with pytest.raises(InvalidInput):
            checked_filters(cast(Json, too_much))


# What filters mean, written down a second time: plain recursion over the event's attributes.
ATTRIBUTES = {"type": "user.created", "subject": "ab", "organizationid": "org_1", "region": "eu", "tries": "3"}
EVENT = event({}, key="ab", metadata={"region": "eu", "tries": 3})


COMPARE: dict[str, Callable[[str, str], bool]] = {
    "exact": lambda value, wanted: value == wanted,
    "prefix": lambda value, wanted: value[: len(wanted)] == wanted,
    "suffix": lambda value, wanted: value[-len(wanted) :] == wanted,
}


def holds(one: Any) -> bool:
    """Return whether a filter object takes EVENT."""
    ((dialect, of),) = one.items()
    match dialect:
        case "all":
            return all(holds(each) for each in of)
        case "any":
            return any(holds(each) for each in of)
        case "not":
            return not holds(of)
    compare = COMPARE[dialect]
    return all(name in ATTRIBUTES and compare(ATTRIBUTES[name], value) for name, value in of.items())


values = st.sampled_from(["user.created", "user.", ".created", "ab", "a", "b", "org_1", "eu", "3", "x"])
comparisons = st.builds(
    lambda dialect, of: {dialect: of},
    st.sampled_from(["exact", "prefix", "suffix"]),
    st.dictionaries(st.sampled_from([*ATTRIBUTES, "absent"]), values, min_size=1, max_size=2),
)
filters = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.builds(lambda of: {"not": of}, inner),
        st.builds(
            lambda name, of: {name: of}, st.sampled_from(["all", "any"]), st.lists(inner, min_size=1, max_size=3)
        ),
    ),
    max_leaves=6,
)


def accepted(value: Any) -> bool:
    """Return whether filters are not too deep."""
    try:
        checked_filters(value)
    except InvalidInput:
        return False
    return True


def turned_around(value: Any) -> Any:
    """Return the same JSON with the names of every object in the other order."""
    if isinstance(value, dict):
        return {name: turned_around(value[name]) for name in reversed(value)}
    return [turned_around(each) for each in value] if isinstance(value, list) else value


several = st.lists(filters, max_size=3).filter(accepted)


@given(several)
def test_filters_take_what_a_second_reading_of_them_takes(some: list[Any]) -> None:
    assert takes(some, EVENT) is all(holds(one) for one in some)


@given(filters, filters)
def test_not_all_any_are_those_of_logic(one: Any, other: Any) -> None:
    def of(*some: Any) -> bool | None:
        return takes([*some], EVENT) if accepted([*some]) else None

    pairs = [
        (of({"not": {"not": one}}), of(one)),
        (of({"not": {"all": [one, other]}}), of({"any": [{"not": one}, {"not": other}]})),  # De Morgan
        (of({"any": [one, other]}), of({"any": [other, one]})),
        (of({"all": [one, other]}), of(one, other)),
    ]
    for left, right in pairs:
        assert left is None or right is None or left is right


@given(several)
def test_the_canonical_text_reads_back_as_itself(some: list[Any]) -> None:
    text = checked_filters(some)
    assert checked_filters(orjson.loads(text)) == text
    assert orjson.loads(text) == some
    assert checked_filters(turned_around(some)) == text  # PostgreSQL's jsonb orders names its own way


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=3),
        lambda x: st.lists(x) | st.dictionaries(st.sampled_from(["exact", "not", "all", "cel", "type"]), x, max_size=2),
    )
)
def test_any_json_is_taken_or_refused_and_raises_nothing_else(value: Any) -> None:
    try:
        text = checked_filters(value)
    except InvalidInput:
        return
    assert filters_of(text).broken is None


@pytest.mark.parametrize(
    ("some", "taken"),
    [
        ([{"any": [{"cel": "data.absent == 1"}, {"exact": {"type": "user.created"}}]}], True),
        ([{"any": [{"cel": "data.absent == 1"}, {"exact": {"type": "no"}}]}], None),
        ([{"all": [{"cel": "data.absent == 1"}, {"exact": {"type": "no"}}]}], False),
        ([{"cel": "data.absent == 1"}, {"exact": {"type": "no"}}], False),
        ([{"cel": "data.absent == 1"}, {"exact": {"type": "user.created"}}], None),
        ([{"cel": "data.absent == 1"}, {"cel": "type == 'no'"}], False),
        ([{"any": [{"cel": "data.absent == 1"}, {"cel": "type != 'no'"}]}], True),
        ([{"not": {"cel": "data.absent == 1"}}], None),  # what fails is not inverted
    ],
)
def test_what_fails_decides_only_where_nothing_else_does(some: Json, taken: bool | None) -> None:
    if taken is not None:
        assert takes(some, EVENT) is taken
        return
    with pytest.raises(FilterFailed, match="absent"):
        takes(some, EVENT)


@pytest.mark.parametrize("text", ["", "{", "null", '[{"later": 1}]', '[{"cel": "from_a_newer_release()"}]'])
def test_what_this_release_cannot_read_takes_nothing_and_says_why(text: str) -> None:
    known = filters_of(text)
    assert known.broken
    with pytest.raises(FilterFailed, match=r"."):
        known.take(EventContext.of(EVENT))


def test_none_takes_everything_and_parses_nothing() -> None:
    assert filters_of(None).take(EventContext.of(replace(event(), data=b"no JSON")))


def test_filters_of_one_text_are_made_once() -> None:
    text = checked_filters([{"cel": "data.x == 1"}])
    assert filters_of(text) is filters_of(text)


def test_an_event_whose_data_is_no_object_is_nobodys_business_here() -> None:
    with pytest.raises(InvalidInput):
        takes([{"cel": "data.x == 1"}], replace(event(), data=b"[1]"))
