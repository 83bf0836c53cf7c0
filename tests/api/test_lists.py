"""Cursors come back as they were given; what is no cursor is said to be none."""

import base64

import pytest

from api.errors import InvalidRequest
from api.lists import id_after, page_of, place_after


def test_a_page_that_is_not_the_last_one_leads_to_the_next() -> None:
    page = page_of(["a", "b", "c"], limit=2, ids=["id_a", "id_b", "id_c"])
    assert page.data == ["a", "b"]
    assert page.has_more
    assert id_after(page.next_cursor) == "id_b"


@pytest.mark.parametrize("found", [["a", "b"], ["a"], []])
def test_the_last_page_leads_nowhere(found: list[str]) -> None:
    page = page_of(found, limit=2, ids=found)
    assert (page.data, page.next_cursor, page.has_more) == (found, None, False)


def test_the_first_page_needs_no_cursor() -> None:
    assert id_after(None) == ""


@pytest.mark.parametrize("cursor", ["", "x", "é", "%%%%", "AA==", base64.urlsafe_b64encode(b"a\x00b").decode()])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        id_after(cursor)
    assert refused.value.flaws[0].parameter == "cursor"


@pytest.mark.parametrize("written", ["253402300799999999 x", "-62135596800000001 x", "9" * 30 + " x", "one x", ""])
def test_a_moment_that_no_list_has_is_refused(written: str) -> None:
    with pytest.raises(InvalidRequest):  # the first is the calendar's last moment: nothing comes after it
        place_after(base64.urlsafe_b64encode(written.encode()).decode())
