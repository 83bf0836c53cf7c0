"""Lists: `?limit&cursor` in, `{"data": […], "next_cursor": …, "has_more": …}` out."""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

from api.errors import Flaw, InvalidRequest

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=100, description="How many at most.")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before.")]


class Page(BaseModel, Generic[T]):
    """One page of a list in a stable order."""

    data: list[T]
    next_cursor: str | None = Field(description="Give it as `cursor` to get what follows; null at the end.")
    has_more: bool


def page_of(found: Sequence[T], *, limit: int, ids: Sequence[str]) -> Page[T]:
    """Return the page for `found`, which holds one more than `limit` when there is more; `ids` are theirs."""
    has_more = len(found) > limit
    return Page(
        data=list(found[:limit]), next_cursor=_cursor_after(ids[limit - 1]) if has_more else None, has_more=has_more
    )


def id_after(cursor: str | None) -> str:
    """Return the id that a cursor stands for, "" for the first page; raises InvalidRequest when it is none of ours."""
    if cursor is None:
        return ""
    try:
        found = base64.urlsafe_b64decode(cursor.encode("ascii")).decode("ascii")
    except (binascii.Error, UnicodeError):
        found = ""
    if not found.isprintable() or not found:
        flaw = Flaw("is no cursor that we gave", parameter="cursor")
        raise InvalidRequest(f"cursor: {flaw.detail}", flaws=[flaw])
    return found


def _cursor_after(identifier: str) -> str:
    return base64.urlsafe_b64encode(identifier.encode()).decode()
