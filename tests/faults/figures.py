"""A figure of a run, its limit, and the worst of several runs."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure; it holds when it is at most `limit` (None: told for information)."""

    name: str
    value: float
    limit: float | None = None

    @property
    def holds(self) -> bool:
        """Return whether it is within its limit."""
        return self.limit is None or self.value <= self.limit


def worst_of(runs: Sequence[Sequence[Figure]]) -> list[Figure]:
    """Return each figure's worst value over the runs, in the first run's order; a figure may be missing in some."""
    worst: dict[str, Figure] = {}
    for figure in (figure for run in runs for figure in run):
        if figure.name not in worst or figure.value > worst[figure.name].value:
            worst[figure.name] = figure
    return list(worst.values())
