"""Conditional requests as RFC 9110, 13 has them."""

import pytest
from fastapi import Request

from api.errors import PreconditionFailed
from api.preconditions import is_unchanged


def request(method: str, **headers: str) -> Request:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": method, "headers": named})


@pytest.mark.parametrize(
    ("headers", "unchanged"),
    [
        ({}, False),
        ({"if_none_match": '"2"'}, True),
        ({"if_none_match": '"1", W/"2"'}, True),  # compared weakly
        ({"if_none_match": "*"}, True),
        ({"if_none_match": '"1"'}, False),
        ({"if_none_match": "2"}, False),  # no entity tag
        ({"if_match": '"2"'}, False),
        ({"if_match": '"1", "2"'}, False),
        ({"if_match": "*"}, False),
        ({"if_match": "*", "if_none_match": '"2"'}, True),
    ],
)
def test_a_get_is_answered_with_304_when_the_client_has_it(headers: dict[str, str], *, unchanged: bool) -> None:
    assert is_unchanged(request("GET", **headers), '"2"') is unchanged


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {"if_match": '"1"'}),
        ("PATCH", {"if_match": '"1"'}),
        ("DELETE", {"if_match": 'W/"2"'}),  # compared strongly
        ("PATCH", {"if_none_match": "*"}),
        ("PATCH", {"if_none_match": '"2"'}),
    ],
)
def test_a_condition_that_does_not_hold_fails(method: str, headers: dict[str, str]) -> None:
    with pytest.raises(PreconditionFailed):
        is_unchanged(request(method, **headers), '"2"')
