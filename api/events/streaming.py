"""Events from a stream of lines: read as they come, published in batches, in bounded memory.

Results are kept in a file once they are more than a megabyte, because the answer begins when the last line is in. Were
it written while lines come, a client that does not read meanwhile (curl, most HTTP clients, every proxy that buffers)
would fill both directions, and each side would wait for the other.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from tempfile import SpooledTemporaryFile
from typing import IO, Final

import orjson

from api.credentials import Caller
from api.errors import BodyTooLarge, Refusal, TooManyRequests
from api.events.posting import EventPosting, Outcome
from api.events.taking import EventReader, Taken, line_read_by
from api.limits.defaults import limit_of
from api.limits.taking import RateLimits
from api.permissions import RateClass
from api.problems import document_of

_AT_ONCE: Final = 200  # lines published together
_IN_MEMORY: Final = 1024 * 1024  # bytes of results
_ANSWERED_AT_ONCE: Final = 64 * 1024
_IDLE_S: Final = 60.0  # between two pieces of the body
_WAITED_FOR_LIMIT_S: Final = 60.0  # for one batch

Line = tuple[int, bytes | None]  # its number from 1; None for one that is too long


@dataclass(slots=True)
class Counts:
    """What became of the lines; empty ones count nowhere."""

    lines: int = 0
    published: int = 0
    refused: int = 0
    failed: int = 0
    stopped: str | None = None


class EventStream:
    """One stream, from its first line to its answer."""

    def __init__(
        self,
        posting: EventPosting,
        limits: RateLimits,
        caller: Caller,
        reader: EventReader,
        *,
        request_id: str,
        longest_line: int,
        largest: int,
    ) -> None:
        self.counts = Counts()
        self._posting = posting
        self._limits = limits
        self._caller = caller
        self._read = line_read_by(reader.either)
        self._request_id = request_id
        self._lines = Lines(longest_line)
        self._largest = largest
        # A batch must fit into what the limit lets through in a second, and leave others their part.
        most = limit_of(RateClass.PUBLISHING, caller.limits).most
        self._at_once = max(1, min(_AT_ONCE, most // 4))
        self._results: IO[bytes] = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed when the answer is out

    async def publish(self, body: AsyncIterator[bytes]) -> Iterator[bytes]:
        """Publish each line of a body; return the answer, piece by piece.

        Raises Refusal when nothing was published because Kafka or the database is away, ClientDisconnect when the body
        breaks off: the lines that were whole are published, and their sender was told nothing and may repeat them.
        """
        try:
            await self._publish_all(body)
        except BaseException:
            self._results.close()
            raise
        self._results.write(orjson.dumps({"summary": asdict(self.counts)}) + b"\n")
        self._results.seek(0)
        return self._answer()

    async def _publish_all(self, body: AsyncIterator[bytes]) -> None:
        size = 0
        while self.counts.stopped is None:
            try:
                async with asyncio.timeout(_IDLE_S):
                    piece = await anext(body, None)
            except TimeoutError:
                self.counts.stopped = f"nothing came for {_IDLE_S:.0f} s"
                return
            size += len(piece or b"")
            if size > self._largest:
                self.counts.stopped = f"the stream is larger than {self._largest:,} bytes: send the rest as another"
                return
            if piece is None:
                await self._publish_lines(self._lines.last())
                return
            await self._publish_lines(self._lines.of(piece))

    async def _publish_lines(self, lines: Sequence[Line]) -> None:
        for start in range(0, len(lines), self._at_once):
            if self.counts.stopped is None:
                await self._publish_batch(lines[start : start + self._at_once])

    async def _publish_batch(self, lines: Sequence[Line]) -> None:
        refusal = await self._waited_for(len(lines))
        if refusal is not None:
            outcomes: Sequence[Outcome] = [refusal] * len(lines)
        else:
            outcomes = await self._posting.post_all([line for _, line in lines], self._taken)
        is_first = self.counts.lines == 0
        for (number, _), outcome in zip(lines, outcomes, strict=True):
            self._note(number, outcome)
        away = [each for each in outcomes if isinstance(each, Refusal) and _is_our_fault(each)]
        if away:
            if is_first and len(away) == len(lines):
                raise away[0]
            self.counts.stopped = f"{away[0].detail}: the rest was not read"

    def _taken(self, line: bytes | None) -> Taken:
        if line is None:
            raise BodyTooLarge(f"the line is longer than {self._lines.longest:,} bytes")
        return self._read(line)

    async def _waited_for(self, lines: int) -> Refusal | None:
        """Wait until the limit lets these lines through; return why it did not. The request was counted as one."""
        cost, waited_s = lines - (self.counts.lines == 0), 0.0
        while True:
            try:
                await self._limits.take_more(self._caller, RateClass.PUBLISHING, cost)
            except TooManyRequests as refusal:
                wait_s = float(refusal.headers["Retry-After"])
                waited_s += wait_s
                if waited_s > _WAITED_FOR_LIMIT_S:
                    return refusal
                await asyncio.sleep(wait_s)
            else:
                return None

    def _note(self, number: int, outcome: Outcome) -> None:
        self.counts.lines += 1
        if not isinstance(outcome, Refusal):
            self.counts.published += 1
            self._results.write(orjson.dumps({"line": number, "id": outcome}) + b"\n")
            return
        if _is_our_fault(outcome):
            self.counts.failed += 1
        else:
            self.counts.refused += 1
        document = document_of(outcome, request_id=self._request_id, status=int(outcome.status))
        self._results.write(orjson.dumps({"line": number, "error": document}) + b"\n")

    def _answer(self) -> Iterator[bytes]:
        with self._results:
            while piece := self._results.read(_ANSWERED_AT_ONCE):
                yield piece


class Lines:
    """Puts the lines of a body together from its pieces; holds no more than one line of `longest` bytes."""

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self._begun = b""
        self._is_too_long = False
        self._number = 0

    def of(self, piece: bytes) -> list[Line]:
        """Return the lines that this piece ends."""
        *ended, begun = (self._begun + piece).split(b"\n")
        lines = [line for text in ended for line in self._line(text)]
        self._begun = begun
        if len(begun) > self.longest:
            self._begun, self._is_too_long = b"", True
        return lines

    def last(self) -> list[Line]:
        """Return the last line when no line break ends it."""
        return [*self._line(self._begun)]

    def _line(self, text: bytes) -> Iterator[Line]:
        self._number += 1
        is_too_long, self._is_too_long = self._is_too_long or len(text) > self.longest, False
        if is_too_long:
            yield self._number, None
        elif text.strip():
            yield self._number, text


def _is_our_fault(refusal: Refusal) -> bool:
    return refusal.status == HTTPStatus.SERVICE_UNAVAILABLE
