"""Which deliveries a caller wants, from the query parameters: checked, or refused with what would be right."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

from fastapi import Depends, Query

from api.deliveries.tables import DeliveryState
from api.parameters import WITHOUT_NUL, Since, Until, check_order
from schemas.error_kinds import ErrorKind

SHORTEST_TEXT: Final = 4  # characters: what the index of fragments is made of (api/deliveries/tables.py)
_PREFIX: Final = "evt_"
_DIGITS: Final = 32
_HEX: Final = re.compile(r"[0-9a-f]{4,32}")
_BEGINNING: Final = re.compile(r"evt_[0-9a-f]{0,32}")


@dataclass(frozen=True, slots=True)
class EventText:
    """What is looked for in an event's id: its `beginning` (the whole id included), a `fragment`, a publisher's id."""

    source_id: str
    beginning: str | None = None
    fragment: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The filters of a list of deliveries; None: any."""

    subscription_id: str | None = None
    event_type: str | None = None
    state: DeliveryState | None = None
    status: int | None = None
    error_kind: ErrorKind | None = None
    since: datetime | None = None
    until: datetime | None = None
    event: EventText | None = None


async def _wanted(  # noqa: PLR0917 - FastAPI gives them by name
    event_type: Annotated[
        str | None, Query(min_length=1, max_length=200, examples=["user.created"]), WITHOUT_NUL
    ] = None,
    state: Annotated[DeliveryState | None, Query(description="`sending`: due and not yet reported.")] = None,
    since: Since = None,
    until: Until = None,
    status: Annotated[int | None, Query(ge=100, le=999, description="HTTP status of the last answer.")] = None,
    error_kind: Annotated[ErrorKind | None, Query(description="Of the last attempt.")] = None,
    event_id: Annotated[
        str | None,
        Query(
            min_length=SHORTEST_TEXT,
            max_length=255,
            description="An event's id, its beginning (`evt_019a9f`), at least four hexadecimal digits of it from the "
            "fifth on, or the whole id that the publisher brought.",
        ),
        WITHOUT_NUL,
    ] = None,
) -> Wanted:
    check_order(since, until)
    return Wanted(
        event_type=event_type,
        state=state,
        since=since,
        until=until,
        status=status,
        error_kind=error_kind,
        event=None if event_id is None else event_text(event_id),
    )


Filters = Annotated[Wanted, Depends(_wanted)]  # subscription_id comes from the query or from the path


def event_text(text: str) -> EventText:
    """Return what `text` can be in an event's id; whatever it is, a publisher's own id may be just that.

    Digits alone are a fragment, and a beginning too: of how many events, the first four tell nothing for 49 days.
    """
    plain = text.lower()
    if _BEGINNING.fullmatch(plain):
        return EventText(source_id=text, beginning=plain)
    if _HEX.fullmatch(plain):
        fragment = None if len(plain) == _DIGITS else plain
        return EventText(source_id=text, beginning=f"{_PREFIX}{plain}", fragment=fragment)
    return EventText(source_id=text)
