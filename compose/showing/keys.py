"""`hookline keys` for people: a bar while values are sealed anew, and a table of what each key is used for."""

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from compose.master_keys import KeyUse, Resealed
from compose.showing.tables import print_table

_COLUMNS = ("key", "subscriptions", "answers", "signing keys", "outbox", "topic", "")


class Progressing:
    """A bar on stderr when it is a terminal; elsewhere two lines, how much there is and how much was done."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("sealing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
            console=Console(stderr=True), disable=not sys.stderr.isatty(),
        )  # fmt: skip
        self._task = self._progress.add_task("", total=None)
        self._seen: Resealed | None = None

    def show(self, seen: Resealed) -> None:
        """Show how far it is."""
        if self._seen is None and self._progress.disable:
            print(f"{seen.total:,} rows to seal", file=sys.stderr, flush=True)
        self._seen = seen
        self._progress.update(self._task, completed=seen.done, total=max(seen.total, seen.done))

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        if self._seen is not None:
            again = "" if error is None else "; what is done stays done, `hookline keys rotate` goes on"
            print(f"{self._seen.done:,} of {self._seen.total:,} rows sealed{again}", file=sys.stderr, flush=True)


def print_uses(uses: Sequence[KeyUse]) -> None:
    """Print what each key is used for, and what follows."""
    print_table(_COLUMNS, [_row(use) for use in uses], folding=[len(_COLUMNS) - 1])


def _row(use: KeyUse) -> list[str | Text]:
    counts = [f"{number:,}" for number in (use.subscriptions, use.answers, use.signing_keys, use.outbox, use.topic)]
    return [use.id, *counts, _verdict(use)]


def _verdict(use: KeyUse) -> Text:
    if not use.is_here:
        return Text("not in HOOKLINE_MASTER_KEYS", style="red")
    if use.is_current:
        return Text("seals")
    return Text("may be dropped", style="green") if use.may_be_dropped else Text("needed: hookline keys rotate")
