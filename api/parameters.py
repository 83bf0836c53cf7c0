"""Query parameters that several routes take, checked before anything is looked up."""

import re
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import Query
from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

from api.errors import Flaw, InvalidRequest

_RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)")


def _moment(text: object) -> datetime:
    """Return the moment that a text spells (RFC 3339, 5.6), in UTC: without an offset nobody knows which it is."""
    try:
        if isinstance(text, str) and _RFC_3339.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise PydanticCustomError(
        "moment", "must be a moment with its offset (RFC 3339), such as 2026-11-21T09:30:00Z; a + is written %2B"
    )


def _without_nul(text: str) -> str:
    if "\x00" in text:  # PostgreSQL keeps none, so there is nothing to find
        raise PydanticCustomError("nul", "holds NUL (U+0000)")
    return text


def _optional_without_nul(text: str | None) -> str | None:
    return None if text is None else _without_nul(text)


WITHOUT_NUL: Final = AfterValidator(_optional_without_nul)

Since = Annotated[datetime | None, Query(description="Not before this moment (RFC 3339)."), BeforeValidator(_moment)]
Until = Annotated[datetime | None, Query(description="Before this moment (RFC 3339)."), BeforeValidator(_moment)]


def check_order(since: datetime | None, until: datetime | None) -> None:
    """Raise InvalidRequest when a span ends before it begins."""
    if since is not None and until is not None and since > until:
        flaw = Flaw("is before `since`", parameter="until")
        raise InvalidRequest(f"until: {flaw.detail}", flaws=[flaw])
