"""Tables of at most 100 columns in which no id is ever cut, and details as `name  value`."""

import shutil
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from compose.speakable import speakable

WIDTH: Final = 100
NAME_WIDTH: Final = 22
COLOURS: Final = {
    "success": "green", "succeeded": "green", "completed": "green", "enabled": "green", "failed": "red",
    "disabled": "red", "paused": "yellow", "failing": "yellow", "retrying": "yellow", "held": "yellow",
    "cancelled": "yellow",
}  # fmt: skip

Cell = str | Text


def console() -> Console:
    """Return stdout's console: on a narrow terminal a line goes on below, nothing is cut."""
    return Console(width=max(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns), highlight=False, emoji=False)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, folding: Iterable[int] = ()) -> None:
    """Print rows below their columns' names; only the `folding` columns give way when it gets narrow."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    folded = set(folding)
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=number not in folded, overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(speakable(cell)) for cell in row))
    # A terminal may be wider; what is read side by side should not be.
    console().print(table, width=WIDTH)


def print_fields(fields: Iterable[tuple[str, Cell | None]], *, indent: int = 0) -> None:
    """Print `name  value` lines whole, whatever the width: they are there to be copied. None leaves a line out."""
    out = console()
    for name, value in fields:
        if value is not None:
            line = (
                Text(" " * indent).append(f"{speakable(name, keep=''):<{NAME_WIDTH}}", style="dim").append(_text(value))
            )
            out.print(line, soft_wrap=True)


def two_lines(first: Cell, second: Cell) -> Text:
    """Return a cell of two lines, the second one paler; of one, when there is nothing for the second."""
    if not second:
        return _text(first)
    paler = _text(second)
    paler.stylize("dim")
    return _text(first).append("\n").append(paler)


def coloured(state: str) -> Text:
    """Return a state in its colour."""
    return Text(speakable(state), style=COLOURS.get(state, ""))


def time_of(moment: str | None) -> str:
    """Return a time to the second in UTC, `2026-11-20 10:00:00`; – for none."""
    return "–" if moment is None else _utc(moment).strftime("%Y-%m-%d %H:%M:%S")


def exact_time_of(moment: str | None) -> str | None:
    """Return a time to the millisecond, with its Z; None for none."""
    return None if moment is None else _utc(moment).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"


def number_of(value: int | None) -> str:
    """Return a number with its thousands marked; – for none."""
    return "–" if value is None else f"{value:,}"


def _utc(moment: str) -> datetime:
    return datetime.fromisoformat(moment).astimezone(UTC)


def _text(value: Cell) -> Text:
    return value.copy() if isinstance(value, Text) else Text(speakable(value))
