"""What is owed, pair by pair, and where each is: taken, dead-lettered, waiting, held, or lost."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.faults.arrivals import Pair
from tests.faults.figures import Figure

Pairs = frozenset[Pair]


@dataclass(frozen=True)
class Account:
    """Who owes what at the end of a run. `twice` counts, by pair, what came again after it was taken.

    A pair may stand in several of the sets (taken, and a copy still waiting): it is lost when it stands in none.
    """

    owed: Pairs
    taken: Pairs
    dead: Pairs = frozenset()
    waiting: Pairs = frozenset()
    held: Pairs = frozenset()
    twice: Mapping[Pair, int] = field(default_factory=dict)

    @property
    def lost(self) -> Pairs:
        """Return what was accepted and is nowhere."""
        return self.owed - self.taken - self.dead - self.waiting - self.held

    @property
    def sent_twice(self) -> int:
        """Return how many requests were made for what had been taken."""
        return sum(count for pair, count in self.twice.items() if pair in self.owed)

    def figures(self, *, most_twice: float | None = None) -> list[Figure]:
        """Return the figures that every fault has; `most_twice` is a share of what is owed.

        What still waits after everything has been mended and given its time is a flaw as well, if a smaller one.
        """
        share = self.sent_twice / max(1, len(self.owed)) * 100
        return [
            Figure("owed", len(self.owed)),
            Figure("lost", len(self.lost), 0),
            Figure("dead-lettered or held", len((self.dead | self.held) - self.taken), 0),
            Figure("still waiting", len(self.waiting - self.taken), 0),
            Figure("sent twice, %", round(share, 3), None if most_twice is None else most_twice * 100),
        ]

    def told(self) -> str:
        """Return a line about what is missing, with an example of each kind."""
        parts = {"lost": self.lost, "waiting": self.waiting - self.taken, "dead": self.dead - self.taken}
        return "; ".join(f"{len(pairs)} {name}, such as {min(pairs)}" for name, pairs in parts.items() if pairs)
