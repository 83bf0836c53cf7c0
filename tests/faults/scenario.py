"""A fault as the runner plays it: a story, its figures with their limits, and controls that must break one of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults.figures import Figure

Play = Callable[["Setting"], list[Figure]]


@dataclass(frozen=True)
class Setting:
    """What one run is given: a new folder, the seed, how much of the full size, and whom to tell how it goes."""

    folder: Path
    seed: int
    scale: float
    say: Callable[[str], None] = lambda _: None

    def scaled(self, full: int, *, at_least: int = 1) -> int:
        """Return so much of the full number as this run is to do."""
        return max(at_least, round(full * self.scale))


@dataclass(frozen=True)
class Control:
    """The same fault without what protects from it: one of `breaks` must be over its limit, or it proves little."""

    story: str
    play: Play
    breaks: tuple[str, ...] = ("lost",)


@dataclass(frozen=True)
class Scenario:
    """One fault. `name` is for the command line."""

    name: str
    story: str
    play: Play
    controls: tuple[Control, ...] = ()
