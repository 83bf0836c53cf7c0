"""Which fields of an event type are marked in its schema, as trees of their paths in `data`."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from schemas.catalogue import EventType
from schemas.payloads.paths import Path, Tree, tree_of

_REMEMBERED: Final = 4096  # sets of paths; an event type has one or two


@dataclass(frozen=True, slots=True)
class Marks:
    """The marked fields of an event type; None: there are none. Where `data` is masked, `previous` is by the same."""

    personal: Tree | None = None
    secret: Tree | None = None


UNMARKED: Final = Marks()  # of a type that nobody knows


def marks_of(event_type: EventType | None) -> Marks:
    """Return what is marked in a type's schema; of an unknown one nothing is."""
    if event_type is None or not (event_type.personal or event_type.secret):
        return UNMARKED
    return _marks_of(event_type.personal, event_type.secret)


@lru_cache(_REMEMBERED)
def _marks_of(personal: tuple[Path, ...], secret: tuple[Path, ...]) -> Marks:
    return Marks(tree_of(personal) if personal else None, tree_of(secret) if secret else None)
