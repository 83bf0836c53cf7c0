"""Lists: `?limit&cursor` in, `{"data": […], "next_cursor": …, "has_more": …}` out."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

from api.errors import Flaw, InvalidRequest

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=100, description="How many at most.")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before.")]


class Page(BaseModel, Generic[T]):
    """One page of a list in a stable order."""

    data: list[T]
    next_cursor: str | None = Field(description="Give it as `cursor` to get what follows; null at the end.")
    has_more: bool


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a row stands in a list that is ordered by time: rows of one moment are ordered by their ids."""

    at: datetime
    id: str


def page_of(found: Sequence[T], *, limit: int, ids: Sequence[str]) -> Page[T]:
    """Return the page for `found`, which holds one more than `limit` when there is more; `ids` are theirs."""
    return _page(found, limit, lambda index: ids[index])


def page_by_time(found: Sequence[T], *, limit: int, places: Sequence[Place]) -> Page[T]:
    """Return the page for `found` as `page_of` does, of a list that is ordered by time; `places` are theirs."""
    return _page(found, limit, lambda index: _written(places[index]))


def id_after(cursor: str | None) -> str:
    """Return the id that a cursor stands for, "" for the first page; raises InvalidRequest when it is none of ours."""
    if cursor is None:
        return ""
    found = _text_of(cursor)
    if not found:
        raise _no_cursor()
    return found


def place_after(cursor: str | None) -> Place | None:
    """Return the place that a cursor stands for, None for the first page; raises InvalidRequest when it is none."""
    if cursor is None:
        return None
    microseconds, _, identifier = _text_of(cursor).partition(" ")
    try:
        at = _EPOCH + int(microseconds) * _MICROSECOND
        _ = at + _MICROSECOND  # a list that goes back in time begins there
        return Place(at, identifier)
    except (ValueError, OverflowError):
        raise _no_cursor() from None


def _page(found: Sequence[T], limit: int, place_at: Callable[[int], str]) -> Page[T]:
    has_more = len(found) > limit
    next_cursor = base64.urlsafe_b64encode(place_at(limit - 1).encode()).decode() if has_more else None
    return Page(data=list(found[:limit]), next_cursor=next_cursor, has_more=has_more)


def _written(place: Place) -> str:
    return f"{(place.at - _EPOCH) // _MICROSECOND} {place.id}"


def _text_of(cursor: str) -> str:
    """Return what a cursor spells, "" when it is none of ours."""
    try:
        found = base64.urlsafe_b64decode(cursor.encode("ascii")).decode("ascii")
    except (binascii.Error, UnicodeError):
        return ""
    return found if found.isprintable() else ""


def _no_cursor() -> InvalidRequest:
    flaw = Flaw("is no cursor that we gave", parameter="cursor")
    return InvalidRequest(f"cursor: {flaw.detail}", flaws=[flaw])
