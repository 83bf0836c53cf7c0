"""The subscriber's own headers: none that HTTP or we set, none that could split a request."""

import pytest

from api.subscriptions.headers import LONGEST_VALUE, MASK, MOST_HEADERS, check_headers, checked_header, merged
from schemas.errors import InvalidInput


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", "Bearer abc"),
        ("X-Api-Key", "a" * LONGEST_VALUE),
        ("x_odd!#$%&'*+-.^`|~", "1"),
        ("Cookie", 'a="b, c"; d=e\tf'),
        ("X-Webhook-Id", "1"),  # ours begin so, this one does not
    ],
)
def test_headers_of_their_own_are_taken(name: str, value: str) -> None:
    checked_header(name, value)


@pytest.mark.parametrize(
    "name",
    [
        *("Host", "HOST", "Content-Length", "content-type", "Content-Encoding", "Accept-Encoding", "User-Agent"),
        *("Connection", "Keep-Alive", "Proxy-Authorization", "Proxy-Authenticate", "Proxy-Connection"),
        *("TE", "Trailer", "Transfer-Encoding", "Upgrade", "Expect", "traceparent"),
        *("webhook-id", "Webhook-Signature", "WEBHOOK-x", "hookline-replay"),
        *("", "a b", "a:b", "a\r\nb", "a\x00", "é", "(x)", "x" * 101),
    ],
)
def test_names_that_are_not_theirs_to_set_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        checked_header(name, "1")


@pytest.mark.parametrize(
    "value", ["", " a", "a ", "a\r\nHost: evil", "a\nb", "a\rb", "\x00", "é", "a\x7f", "x" * (LONGEST_VALUE + 1)]
)
def test_values_that_could_split_a_request_are_refused_and_not_repeated(value: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        checked_header("X-A", value)
    assert "evil" not in str(refused.value)


def test_names_differ_in_more_than_case() -> None:
    with pytest.raises(InvalidInput, match="once"):
        check_headers({"X-A": "1", "x-a": "2"})


def test_there_is_a_limit_to_their_number() -> None:
    check_headers({f"x-{number}": "1" for number in range(MOST_HEADERS)})
    with pytest.raises(InvalidInput, match=str(MOST_HEADERS)):
        check_headers({f"x-{number}": "1" for number in range(MOST_HEADERS + 1)})


@pytest.mark.parametrize(
    ("change", "result"),
    [
        ({}, {"X-A": "1", "X-B": "2"}),
        ({"X-C": "3"}, {"X-A": "1", "X-B": "2", "X-C": "3"}),
        ({"x-a": "9"}, {"x-a": "9", "X-B": "2"}),
        ({"x-A": None}, {"X-B": "2"}),
        ({"X-Unknown": None}, {"X-A": "1", "X-B": "2"}),
        ({"X-A": MASK, "X-B": None}, {"X-A": "1"}),  # what an answer showed, sent back
    ],
)
def test_a_patch_is_merged(change: dict[str, str | None], result: dict[str, str]) -> None:
    assert merged({"X-A": "1", "X-B": "2"}, change) == result


def test_the_mask_is_no_value_for_a_new_header() -> None:
    with pytest.raises(InvalidInput, match="no"):
        merged({}, {"X-A": MASK})


def test_a_patch_cannot_add_beyond_the_limit() -> None:
    kept = {f"x-{number}": "1" for number in range(MOST_HEADERS)}
    with pytest.raises(InvalidInput, match=str(MOST_HEADERS)):
        merged(kept, {"x-more": "1"})
