"""`make faults`: faults played on the real stack, three runs each, the worst of them beside its limit.

python -m tests.faults kills stops --runs 3 --seed 7 --scale 0.1 --json figures.json

Full sizes take hours and want a machine of their own; `--scale 0.02 --runs 1` shows that everything works. The exit
code is 1 when a figure is over its limit, or when a control is within all of its own.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog
from rich.console import Console
from rich.table import Table

from schemas.errors import HooklineError
from tests.faults.figures import Figure, worst_of
from tests.faults.scenario import Play, Scenario, Setting
from tests.faults.scenarios import ALL

RUNS = 3


@dataclass(frozen=True)
class Result:
    """What came of one scenario: each run's figures, the worst, and what its controls came to, if played."""

    name: str
    story: str
    runs: list[list[Figure]]
    worst: list[Figure]
    controls: list["Controlled"]
    flaws: list[str]

    @property
    def holds(self) -> bool:
        """Return whether every figure is within its limit and no control is."""
        return (
            not self.flaws
            and all(figure.holds for figure in self.worst)
            and all(control.broke for control in self.controls)
        )


@dataclass(frozen=True)
class Controlled:
    """What a control came to, and whether it broke what it must."""

    story: str
    figures: list[Figure]
    broke: bool


def main(argv: Sequence[str] | None = None) -> int:
    """Play what was asked for, print a table; return the exit code."""
    asked = _arguments(argv)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    if asked.list:
        for scenario in ALL:
            console.print(f"{scenario.name:16} {scenario.story}")
        return 0
    chosen = [scenario for scenario in ALL if not asked.scenarios or scenario.name in asked.scenarios]
    console.print(f"seed {asked.seed}, scale {asked.scale:g}, {asked.runs} runs")
    results = [_played(scenario, asked, console) for scenario in chosen]
    console.print(_table(results))
    if asked.json:
        of_all = {"seed": asked.seed, "scale": asked.scale, "scenarios": [asdict(result) for result in results]}
        asked.json.write_text(json.dumps(of_all, indent=2) + "\n")
    return 0 if all(result.holds for result in results) else 1


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [scenario.name for scenario in ALL]
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"all without: {', '.join(names)}")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"runs of each; the worst counts (default {RUNS})")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="the seed of an earlier run")
    parser.add_argument("--scale", type=float, default=1.0, help="how much of the full size (default 1.0)")
    parser.add_argument("--json", type=Path, help="write every figure of every run to this file")
    parser.add_argument("--no-controls", action="store_true", help="leave the controls out")
    parser.add_argument("--only-controls", action="store_true", help="play nothing but the controls")
    parser.add_argument("--keep", type=Path, help="keep folders with logs and arrivals here")
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    asked = parser.parse_args(argv)
    if unknown := set(asked.scenarios) - set(names):
        parser.error(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return asked


def _played(scenario: Scenario, asked: argparse.Namespace, console: Console) -> Result:
    console.print(f"[bold]{scenario.name}[/]: {scenario.story}")
    runs, flaws = list[list[Figure]](), list[str]()
    for run in range(0 if asked.only_controls else asked.runs):
        figures, flaw = _run(scenario.play, f"{scenario.name}-{run}", asked.seed + run, asked, console)
        runs.append(figures)
        flaws += [f"run {run}: {flaw}"] if flaw else []
    controlled = []
    for number, control in enumerate(() if asked.no_controls else scenario.controls):
        figures, flaw = _run(control.play, f"{scenario.name}-control-{number}", asked.seed, asked, console)
        broke = any(not figure.holds for figure in figures if figure.name in control.breaks)
        controlled.append(Controlled(control.story, figures, broke))
        flaws += [f"control: {flaw}"] if flaw else []
    return Result(scenario.name, scenario.story, runs, worst_of(runs), controlled, flaws)


def _run(play: Play, name: str, seed: int, asked: argparse.Namespace, console: Console) -> tuple[list[Figure], str]:
    """Return a run's figures, and what went wrong where it could not be played to its end."""
    began = time.monotonic()

    def say(text: str) -> None:
        console.print(f"  {name} {time.monotonic() - began:5.0f} s  {text}", markup=False)

    with _folder(name, asked.keep) as folder:
        try:
            figures = play(Setting(folder, seed, asked.scale, say))
        except (HooklineError, AssertionError) as error:
            say(f"cannot go on: {error}")
            return [], str(error)
    say(", ".join(f"{figure.name} {figure.value:g}" for figure in figures))
    return figures, ""


@contextmanager
def _folder(name: str, keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        yield Path(tempfile.mkdtemp(prefix=f"{name}-", dir=keep))
        return
    with tempfile.TemporaryDirectory(prefix=f"hookline-faults-{name}-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _table(results: Sequence[Result]) -> Table:
    table = Table("fault", "figure", "worst", "at most", "")
    for result in results:
        for number, figure in enumerate(result.worst):
            table.add_row(
                result.name if number == 0 else "",
                figure.name,
                f"{figure.value:g}",
                "" if figure.limit is None else f"{figure.limit:g}",
                "" if figure.limit is None else "ok" if figure.holds else "[bold red]over[/]",
            )
        for control in result.controls:
            shown = ", ".join(f"{figure.name} {figure.value:g}" for figure in control.figures if figure.value)
            verdict = "fails, as it must" if control.broke else "[bold red]does not fail[/]"
            table.add_row("" if result.worst else result.name, f"control: {control.story}", shown, "", verdict)
        for flaw in result.flaws:
            table.add_row("", f"[bold red]{flaw}[/]", "", "", "")
    return table


if __name__ == "__main__":
    sys.exit(main())
