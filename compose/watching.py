"""Waiting for a replay's end: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NoReturn

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from compose.asking import Api, Body
from compose.complaints import Interrupted
from compose.refusals import ApiAway, Refused
from schemas.errors import HooklineError

_LOOK_EVERY_S: Final = 0.5
_TELL_EVERY_S: Final = 5.0
_PATIENCE_S: Final = 30.0  # with an API, or its database, that is started again meanwhile
_ENDED: Final = {"completed", "cancelled"}
_SENT_ALL: Final = "finishing"
_OUTCOMES: Final = ("succeeded", "failed", "held", "skipped", "cancelled")


class LostSight(HooklineError):
    """The API stayed away while a replay was watched."""


@dataclass(frozen=True, slots=True)
class Sight:
    """A replay as it was seen `at` seconds of a clock that only goes forward."""

    replay: Body
    at: float

    @property
    def finished(self) -> int:
        """How many of its deliveries have come to an end."""
        return sum(int(self.replay[name]) for name in _OUTCOMES)

    @property
    def progress(self) -> tuple[int, int | None]:
        """How much is done, and of how much (None: nobody knows yet): of the log, while it is read, offsets."""
        read = self.replay.get("log")
        if read is not None and self.replay["state"] not in {_SENT_ALL, *_ENDED}:
            return int(read["read"]), int(read["total"])
        return self.finished, int(self.replay["total"]) or None


def watch_replay(api: Api, replay: Body) -> Body:
    """Return the replay as it has ended.

    Raises Interrupted on Ctrl-C and LostSight when the API stays away; the replay goes on in both cases.
    """
    shown: _Bar | _Lines = _Bar() if sys.stderr.isatty() else _Lines()
    try:
        while True:
            shown.show(Sight(replay, time.monotonic()))
            if replay["state"] in _ENDED:
                return replay
            time.sleep(_LOOK_EVERY_S)
            replay = _seen(api, replay["id"])
    except KeyboardInterrupt:
        _end_watching(replay["id"])
    finally:
        shown.close()


def line_of(sight: Sight, first: Sight) -> str:
    """Return how far a replay is, in one line: counts, the rate since `first`, and how long the rest will take."""
    replay = sight.replay
    counts = ", ".join(f"{replay[name]:,} {name}" for name in _OUTCOMES if replay[name])
    done, total = sight.progress
    read = " of the log" if replay.get("log") is not None and done != sight.finished else ""
    parts = [replay["state"], f"{done:,} of {total or 0:,}{read}"]
    parts += [counts] if counts else []
    took_s = sight.at - first.at
    rate = (sight.finished - first.finished) / took_s if took_s > 0 else 0.0
    pace = (done - first.progress[0]) / took_s if took_s > 0 else 0.0
    if rate > 0 and replay["state"] not in _ENDED:
        parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
    if pace > 0 and total is not None and replay["state"] not in _ENDED:
        parts.append(f"about {timedelta(seconds=round((total - done) / pace))} left")
    return "  ".join(parts)


def _seen(api: Api, identifier: str) -> Body:
    """Return the replay as it is now; an API that is away has a while to come back."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return api.get(f"/replays/{identifier}")
        except (ApiAway, Refused) as error:
            if not error.may_pass:
                raise
            if time.monotonic() > deadline:
                raise LostSight(f"{error}; the replay goes on: hookline replays show {identifier}") from error
            time.sleep(_LOOK_EVERY_S)


def _end_watching(identifier: str) -> NoReturn:
    raise Interrupted(
        f"no longer watching; {identifier} goes on: `hookline replays show {identifier} --watch` looks again,"
        f" `hookline replays cancel {identifier}` ends it"
    ) from None


class _Bar:
    """A bar of what has come to an end, with rate and estimate."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), _CountsColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
            TextColumn("{task.fields[ends]}"), console=Console(stderr=True),
        )  # fmt: skip
        self._task = self._progress.add_task("", ends="", total=None)
        self._progress.start()

    def show(self, sight: Sight) -> None:
        replay = sight.replay
        done, total = sight.progress
        shown = _OUTCOMES if replay.get("log") is not None else _OUTCOMES[1:]  # the bar itself says what succeeded
        self._progress.update(
            self._task,
            completed=done,
            total=total,
            description="all sent" if replay["state"] == _SENT_ALL else replay["state"],
            ends=", ".join(f"{replay[name]:,} {name}" for name in shown if replay[name]),
        )

    def close(self) -> None:
        self._progress.stop()


class _CountsColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        total = "?" if task.total is None else f"{task.total:,.0f}"
        rate = "" if not task.speed else f"  {task.speed:,.0f}/s"
        return Text(f"{task.completed:,.0f}/{total}{rate}")


class _Lines:
    """A line when something has changed, every few seconds; the first and the last one always."""

    def __init__(self) -> None:
        self._first: Sight | None = None
        self._told_at = 0.0
        self._told = ""

    def show(self, sight: Sight) -> None:
        self._first = self._first or sight
        is_due = sight is self._first or sight.at >= self._told_at + _TELL_EVERY_S
        if is_due or sight.replay["state"] in _ENDED:
            line = line_of(sight, self._first)
            self._told_at, told, self._told = sight.at, self._told, line
            if line != told:
                print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the lines as they are."""
