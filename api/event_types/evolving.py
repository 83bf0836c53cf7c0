"""The next version of an event type: whether it goes together with all before it, and what is accepted from then on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from schemas.checking import Schema
from schemas.event_schemas import checked_schema
from schemas.evolution import RETIRED, Change, check_full_transitive, with_retired
from schemas.json_values import Json

_Record = Mapping[str, Schema]
MOST_VERSIONS: Final = 100


@dataclass(frozen=True, slots=True)
class Breaks:
    """Why a schema cannot be the next version: what breaks whom, and what to do instead. One line by `str`."""

    changes: tuple[Change, ...]
    advice: str

    def __str__(self) -> str:
        """Return it in one line."""
        more = f" (and {len(self.changes) - 1} more)" if len(self.changes) > 1 else ""
        return f"this schema breaks earlier versions: {self.changes[0]}{more}; {self.advice}"


def breaks_of(name: str, new: _Record, released: Mapping[int, _Record]) -> Breaks | None:
    """Return what `new` breaks of every version of `name` ever released; None when each reads the other."""
    changes = check_full_transitive(new, released)
    if not changes:
        return None
    return Breaks(tuple(changes), f"make it a type of its own, such as {next_major(name)}, and deprecate this one")


def accepted_with(new: _Record, earlier: _Record) -> Mapping[str, Any]:
    """Return what is accepted when `new` follows: it, and what `earlier` versions had.

    Raises InvalidInput when that is larger than a schema may be: publishers and workers go by it, and take none larger.
    """
    accepted = with_retired(new, earlier)
    checked_schema(cast(Json, accepted), of_fields=frozenset({RETIRED}))
    return accepted


def next_major(name: str) -> str:
    """Return what the next major version of a type is called: `order.shipped.v2`."""
    stem = stem_of(name)
    return f"{name}.v2" if stem == name else f"{stem}.v{int(name.rpartition('.v')[2]) + 1}"


def stem_of(name: str) -> str:
    """Return what a type is called without the number of its major version: `order.shipped` of `order.shipped.v2`."""
    stem, _, last = name.rpartition(".")
    return stem if last.startswith("v") and last[1:].isdecimal() else name
