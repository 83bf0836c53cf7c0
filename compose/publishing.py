"""`hookline publish`: one event from the command line, or one a line from standard input or a file."""

import os
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Self, cast

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TimeElapsedColumn
from rich.text import Text

from compose.complaints import ExitCode
from compose.printing import print_json_line
from compose.publishing_lines import queue_line
from producers.errors import BrokersAway, ProducingError
from producers.publisher import PATIENCE_S, Publisher
from producers.receipts import Receipt
from schemas.catalogue import BUILT_IN, Catalogue
from schemas.errors import InvalidInput
from schemas.ids import EventId
from schemas.json_reading import parsed
from schemas.redaction import Json

LONGEST_LINE: Final = 1024 * 1024  # bytes; four times what an event may have, so that its own check can speak
_FLUSH_S: Final = PATIENCE_S + 1.0  # by then every report is there
_LAST_WORDS_S: Final = 2.0  # after Ctrl-C
_LINES_A_LOOK: Final = 200
INTERRUPTED: Final = "interrupted"
MOST_FAILURES_TOLD: Final = 10  # when Kafka refuses one it refuses many for the same reason
SOURCE: Final = "/hookline/publish"


@dataclass(frozen=True, slots=True)
class Sending:
    """What the events of one command have in common."""

    type: str | None  # None: each line says its own, with everything else
    organization_id: str
    key: str | None = None
    previous: Json = None
    metadata: Json = None
    source_id: str | None = None
    catalogue: Catalogue = BUILT_IN  # for CloudEvents; for the others the publisher has it
    kafka: str = ""  # where it goes, for the error that nobody is there


@dataclass(slots=True)
class Counts:
    """What became of the lines: `read` = `rejected` + `published` + `failed` + those on their way."""

    read: int = 0
    rejected: int = 0
    published: int = 0
    failed: int = 0
    stopped_by: str | None = None

    @property
    def all_published(self) -> bool:
        """Whether Kafka has an event for every line."""
        return self.stopped_by is None and self.published == self.read

    def __str__(self) -> str:
        unknown = self.read - self.rejected - self.published - self.failed
        parts = [f"Kafka has {self.published:,} of {self.read:,} events"]
        parts += [f"lines that do not hold: {self.rejected:,}"] if self.rejected else []
        parts += [f"{self.failed:,} failed"] if self.failed else []
        parts += [f"{unknown:,} may still arrive"] if unknown else []
        return "; ".join(parts)


def json_given(text: str, *, option: str) -> Json:
    """Return the JSON value that an option gives, written out or as `@file`; raises InvalidInput naming the option."""
    try:
        raw = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
    except (OSError, UnicodeEncodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise InvalidInput(f"{option}: cannot read {text[1:]}: {reason}") from None
    try:
        return parsed(raw)
    except InvalidInput as error:
        raise InvalidInput(f"{option}: {error}") from None


def opened(path: Path) -> BinaryIO:
    """Return a file of lines; raises InvalidInput when it cannot be read."""
    try:
        return path.open("rb")
    except OSError as error:
        raise InvalidInput(f"--file: cannot read {path}: {error.strerror}") from None


def publish_one(publisher: Publisher, sending: Sending, data: Json) -> EventId:
    """Return the event's id when Kafka has it; raises InvalidInput or ProducingError."""
    try:
        return _queue(publisher, sending, data).result(timeout=_FLUSH_S)
    except BrokersAway as error:
        raise BrokersAway(f"{error} (Kafka at {sending.kafka})") from error


def publish_lines(publisher: Publisher, sending: Sending, lines: BinaryIO, *, as_json: bool) -> ExitCode:
    """Publish each line, say on stderr what became of them, and return how the command ends."""
    if lines.isatty():
        print("one JSON object a line; Ctrl-D ends, Ctrl-C breaks off", file=sys.stderr)
    with ProgressOnStderr(lines) as progress:
        publishing = LinePublisher(
            publisher,
            sending,
            tell_problem=progress.tell,
            tell_published=_print_id if as_json else lambda _, __: None,
        )
        progress.show(publishing.counts)
        counts = publishing.publish(lines, on_line=progress.on_line)
    sys.stdout.flush()
    stopped = f"{counts.stopped_by}: " if counts.stopped_by else ""
    print(f"hookline: {stopped}{counts}", file=sys.stderr)
    if counts.stopped_by == INTERRUPTED:
        return ExitCode.INTERRUPTED
    return ExitCode.OK if counts.all_published else ExitCode.FAILED


class LinePublisher:
    """Publishes the JSON object on each line of a stream; a line that does not hold stops nobody.

    `tell_problem` hears one line of text, `tell_published` the line's number and the event's id, from another thread.
    """

    def __init__(
        self,
        publisher: Publisher,
        sending: Sending,
        *,
        tell_problem: Callable[[str], None],
        tell_published: Callable[[int, EventId], None] = lambda _, __: None,
    ) -> None:
        self.counts = Counts()
        self._publisher = publisher
        self._sending = sending
        self._tell_problem = tell_problem
        self._tell_published = tell_published
        self._lock = threading.Lock()

    def publish(self, lines: BinaryIO, *, on_line: Callable[[], None] = lambda: None) -> Counts:
        """Publish until the stream ends, Kafka is away or Ctrl-C; return what became of the lines."""
        try:
            for number, line in numbered(lines):
                if self.counts.stopped_by is not None:
                    break
                self._publish_line(number, line)
                on_line()
            self._publisher.flush(_FLUSH_S)
        except KeyboardInterrupt:
            self.counts.stopped_by = INTERRUPTED
            self._publisher.flush(_LAST_WORDS_S)
        return self.counts

    def _publish_line(self, number: int, line: bytes | None) -> None:
        def report(event_id: EventId, error: ProducingError | None) -> None:
            self._report(number, event_id, error)

        self.counts.read += 1
        try:
            if line is None:
                raise InvalidInput(f"is longer than {LONGEST_LINE:,} bytes")
            if self._sending.type is None:
                queue_line(
                    self._publisher,
                    self._sending.organization_id,
                    parsed(line),
                    report,
                    catalogue=self._sending.catalogue,
                )
            else:
                _queue(self._publisher, self._sending, parsed(line), on_published=report)
        except InvalidInput as error:
            self.counts.rejected += 1
            self._tell_problem(f"line {number}: {error}")
        except ProducingError as error:
            self._note_failure(number, error)

    def _report(self, number: int, event_id: EventId, error: ProducingError | None) -> None:
        if error is not None:
            self._note_failure(number, error)
            return
        with self._lock:
            self.counts.published += 1
            self._tell_published(number, event_id)

    def _note_failure(self, number: int, error: ProducingError) -> None:
        with self._lock:
            self.counts.failed += 1
            if isinstance(error, BrokersAway):
                self.counts.stopped_by = self.counts.stopped_by or f"{error} (Kafka at {self._sending.kafka})"
            elif self.counts.failed <= MOST_FAILURES_TOLD:
                self._tell_problem(f"line {number}: {error}")


class ProgressOnStderr:
    """A bar with counts and rate on a terminal's stderr; on anything else nothing but the problems."""

    def __init__(self, lines: BinaryIO) -> None:
        self._lines = lines
        self._seen = 0
        self._total = _size_of(lines)
        self._column = _CountsColumn()
        self._progress = Progress(
            SpinnerColumn(), BarColumn(), self._column, TimeElapsedColumn(),
            console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True,
        )  # fmt: skip
        self._task = self._progress.add_task("", total=self._total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, counts: Counts) -> None:
        """Show these counts from now on."""
        self._column.counts = counts

    def tell(self, text: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def on_line(self) -> None:
        """Move the bar, now and then."""
        self._seen += 1
        if self._total is not None and self._seen % _LINES_A_LOOK == 0:
            self._progress.update(self._task, completed=self._lines.tell())


class _CountsColumn(ProgressColumn):
    counts = Counts()

    def render(self, task: Task) -> Text:
        counts, seconds = self.counts, max(task.elapsed or 0.0, 0.001)
        bad = counts.rejected + counts.failed
        text = Text(f"{counts.published:,} published  {counts.published / seconds:,.0f}/s")
        return text.append(f"  {bad:,} failed", style="red") if bad else text


def numbered(lines: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Yield each line that is not empty with its number from 1; None for one that is longer than LONGEST_LINE."""
    number = 0
    while line := lines.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE and not line.endswith(b"\n"):
            while (rest := lines.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                pass
            yield number, None
        elif line.strip():
            yield number, line


def _print_id(number: int, event_id: EventId) -> None:
    print_json_line({"line": number, "id": event_id})


def _queue(
    publisher: Publisher,
    sending: Sending,
    data: Json,
    *,
    on_published: Callable[[EventId, ProducingError | None], None] | None = None,
) -> Receipt:
    return publisher.publish(
        type=cast(str, sending.type),
        organization_id=sending.organization_id,
        data=cast(Any, data),  # what is no object is refused there
        key=sending.key,
        previous=cast(Any, sending.previous),
        metadata=cast(Any, sending.metadata),
        source_id=sending.source_id,
        on_published=on_published,
    )


def _size_of(lines: BinaryIO) -> int | None:
    try:
        found = os.fstat(lines.fileno())
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
