"""CEL on an event: what it sees, how JSON's values compare, what is refused when saved, what fails when it runs."""

import contextlib
import subprocess
import sys
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InvalidInput
from schemas.filters import EventContext, FilterFailed, checked_filters, filters_of
from schemas.filters.expressions import LONGEST_EXPRESSION, compiled, is_available
from schemas.json_values import Json
from tests.schemas.drawn import json_objects, moments
from tests.schemas.filters.events import cel, event

pytestmark = pytest.mark.skipif(not is_available(), reason="cel-expr-python has no wheel for this machine")
DATA: Json = {
    "amount": 150, "price": 150.5, "name": "ünï😀", "nothing": None, "list": [1, 2, 3], "deep": {"a": {"b": 1}},
    "large": 2**63, "largest": 2**64 - 1, "least": -(2**63), "at": "2026-01-02T00:00:00Z", "active": True,
    "items": [{"sku": "a-1", "price": 10}, {"sku": "b-2", "price": 99.5}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "taken"),
    [
        # The envelope. `type` is one of CEL's own names: it, `event.type` and the function all work.
        ("type == 'user.created' && event.type.startsWith('user.') && type(data.amount) == int", True),
        ("id.startsWith('evt_') && organization_id == 'org_1' && key == '' && source == ''", True),
        ("created_at > timestamp('2026-01-01T00:00:00Z') && created_at.getHours() == 3", True),
        ("created_at - timestamp(data.at) > duration('3h')", True),
        # JSON knows one kind of number; whole ones and others compare.
        ("data.amount > 100 && data.price > 100 && data.amount > 100.5 && data.price > 150", True),
        ("data.amount == 150.0 && data.amount < data.price && data.amount + 1 == 151", True),
        ("data.large > 1 && data.largest > data.large && data.least < 0", True),
        ("data.amount == '150'", False),  # a text is no number
        # Null, missing, deep.
        ("data.nothing == null && has(data.nothing) && !has(data.absent)", True),
        ("has(data.deep.a.b) && data.deep.a.b == 1", True),
        ("has(data.absent) && data.absent > 1", False),
        ("data.active == true", True),
        # Texts count in code points.
        ("data.name == 'ünï😀' && data.name.size() == 4 && data.name.contains('ï') && data.name.endsWith('😀')", True),
        ("data.name.matches('^ü.+$')", True),
        # Lists.
        ("1 in data.list && data.list.all(n, n > 0) && data.list.exists_one(n, n == 2)", True),
        ("data.items.exists(item, item.price > 50 && item.sku.matches('^[a-z]-[0-9]+$'))", True),
        ("data.items.filter(item, item.price > 50).map(item, item.sku) == ['b-2']", True),
        ("previous.size() == 0 && metadata.size() == 0", True),
        ("data.list.exists(id, id == 3)", True),  # a loop's own name hides ours
    ],
)
def test_takes(expression: str, taken: bool) -> None:
    assert cel(expression, DATA) is taken


def test_sees_what_was_before_and_the_metadata() -> None:
    assert cel("previous.plan != data.plan && metadata.region == 'eu'", {"plan": "pro"}, previous={"plan": "free"},
               metadata={"region": "eu"})  # fmt: skip


def test_sees_what_subscribers_see() -> None:
    assert cel("!has(data.password) && !has(data.user.api_key)", {"password": "x", "user": {"api_key": "y"}})


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("foo == 1", r"line 1, column 1: undeclared reference to 'foo'$"),
        ("type == 'a' &&\n  foo", r"line 2, column 3: undeclared"),
        ("data.a >", r"line 1, column 9: Syntax error"),
        ("id == 1", r"line 1, column 4: found no matching overload"),
        ("data.?x", r"unsupported syntax"),
        ("data.amount", r"must be true or false, .* data.active == true"),
        ("data.list.size()", r"must be true or false, and is of type int"),
        ("'a'", r"of type string"),
        ("", r"1 to 2,000 characters"),
        ("  ", r"1 to 2,000 characters"),
        ("type == '" + "a" * LONGEST_EXPRESSION + "'", r"1 to 2,000 characters"),
        ("data.s.matches(data.pattern)", r"matches takes a literal"),
        ("data.s.matches('(a{30}){30}')", r"too large"),
        ("data.s.matches('" + "a" * 201 + "')", r"at most 200 characters"),
        ("created_at.getHours('Europe/Berlin') == 1", r"times are UTC here"),
        ("google.protobuf.Int32Value{value: 1} == 1", r"is not to be had here"),
        ("data.l.map(x, data.l.map(y, data.l)).size() > 1", r"costs too much even on an event of 1 KB"),
        ("data.a.all(a, data.a.all(b, data.a.all(c, data.a.all(d, true))))", r"at most 3 in one another"),
        ("(" * 40 + "true" + ")" * 40, r"recursion"),
    ],
)
def test_what_cannot_be_asked_is_refused_when_it_is_saved(expression: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as caught:
        checked_filters([{"cel": expression}])
    assert caught.value.pointer == "/filters/0/cel"
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("data.absent == 1", 'Key not found in map : "absent"'),
        ("data.deep.x.y == 1", 'Key not found in map : "x"'),
        ("data.name > 1", "No matching overloads"),
        ("data.amount / 0 == 1", "divide by zero"),
        ("int(data.name) == 1", "cannot convert"),
        ("timestamp(data.name) < created_at", "Timestamp"),
        ("data.list[7] == 1", "Index error"),
        ("data.name.matches('[')", "invalid regular expression"),
        ("data.active > 1", "No matching overloads"),
    ],
)
def test_what_the_event_does_not_answer_fails(expression: str, reason: str) -> None:
    with pytest.raises(FilterFailed) as caught:
        cel(expression, DATA)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["hunter2", 'a"hunter2', 'hunter2"b', "hunter2" * 10_000, '"hunter2\n"'])
def test_a_failure_does_not_quote_the_event(name: str) -> None:
    with pytest.raises(FilterFailed) as caught:
        cel("data.by_name[data.name] == 1", {"name": name, "by_name": {}})
    assert "hunter2" not in str(caught.value)
    assert len(str(caught.value)) <= 200


def test_a_loop_of_more_than_ten_thousand_turns_fails() -> None:
    with pytest.raises(FilterFailed):
        cel("data.list.exists(n, n < 0)", {"list": list(range(10_001))})


@given(
    st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.integers(-1000, 1000),
)
def test_numbers_compare_as_numbers_do(value: float, limit: int) -> None:
    assert cel(f"data.n > {limit}", {"n": value}) is (value > limit)
    assert cel(f"data.n == {limit}.0", {"n": value}) is (value == limit)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_any_text_is_an_expression_or_refused(source: str) -> None:
    try:
        expression = compiled(source)
    except InvalidInput:
        return
    with contextlib.suppress(FilterFailed):
        assert expression.take(EventContext.of(event())) in (True, False)


@given(
    json_objects,
    st.none() | json_objects,
    moments,
    st.sampled_from(["data.a == previous.a", "data == previous", "size(data) > 0", "data.exists(k, data[k] == 1)",
                     "created_at > timestamp('2020-01-01T00:00:00Z')", "data.all(k, k.matches('^a'))",
                     "data.map(k, data[k]).size() > 0", "string(created_at).size() > metadata.a"]),
)  # fmt: skip
def test_of_any_event_it_says_yes_no_or_fails(data: Json, previous: Json, at: datetime, source: str) -> None:
    with contextlib.suppress(FilterFailed):
        assert cel(source, data, previous=previous, created_at=at) in (True, False)


def test_all_filters_of_an_event_share_what_was_made_of_it() -> None:
    context = EventContext.of(event(DATA))
    for expression in ("data.amount > 100", "data.amount > 101"):
        assert filters_of(checked_filters([{"cel": expression}])).take(context)
        assert context.made(_never) is not None


def _never(_: EventContext) -> object:
    pytest.fail("made twice")


WITHOUT_CEL = """
import sys
sys.modules["cel_expr_python"] = None
from schemas.errors import InvalidInput
from schemas.filters import EventContext, FilterFailed, checked_filters, filters_of
from tests.schemas.filters.events import event, takes

assert takes([{"prefix": {"type": "user."}}], event())
try:
    checked_filters([{"cel": "true"}])
except InvalidInput as error:
    print(error.pointer, error.detail)
try:
    filters_of('[{"cel":"true"}]').take(EventContext.of(event()))
except FilterFailed as error:
    print(error)
"""


def test_without_the_library_a_cel_filter_is_refused_and_all_else_works() -> None:
    run = subprocess.run([sys.executable, "-c", WITHOUT_CEL], capture_output=True, text=True, check=True)
    refused, failed = run.stdout.splitlines()
    assert refused.startswith("/filters/0/cel CEL is not to be had on this machine")
    assert "not to be had on this machine" in failed
