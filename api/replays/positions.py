"""Where a replay of the log stands: from which offset to which of each partition, and how far it came.

All that is before `next` is done: what it led to was sent, or is an item that says why not. Kept as JSON on the
replay's row, `{"0": [begin, next, end, by_time_below], …}`, and moved on in the transaction that marks what was sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A part of one partition, without `end`.

    Offsets are of `hookline.events`. Below `by_time_below` Kafka had forgotten all when it was asked for: of the stored
    bodies there only those of the time window are meant. From there on every offset is.
    """

    begin: int
    next: int
    end: int
    by_time_below: int = 0

    @property
    def is_done(self) -> bool:
        """Whether nothing of it is left."""
        return self.next >= self.end

    def moved(self, upto: int) -> Self:
        """Return it with all before `upto` done; never beyond its end, never back."""
        return replace(self, next=min(max(upto, self.next), self.end))


Positions = dict[int, Stretch]


def positions_in(kept: Mapping[str, list[int]] | None) -> Positions:
    """Return positions as a row has them."""
    return {
        int(number): Stretch(begin=begin, next=next_, end=end, by_time_below=below)
        for number, (begin, next_, end, below) in (kept or {}).items()
    }


def kept_of(positions: Positions) -> dict[str, list[int]]:
    """Return positions as a row keeps them."""
    return {
        str(number): [each.begin, each.next, each.end, each.by_time_below] for number, each in sorted(positions.items())
    }


def offsets_read(positions: Positions) -> int:
    """Return how many offsets are done."""
    return sum(each.next - each.begin for each in positions.values())


def offsets_in(positions: Positions) -> int:
    """Return how many offsets are to be done in all."""
    return sum(each.end - each.begin for each in positions.values())
