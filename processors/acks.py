"""Which records of one partition may be acknowledged: only those with nothing unfinished before them.

Faust commits past messages still in flight (FAUST.md, F1), and a Kafka offset says one thing only: all before it is
finished. So what finishes early waits here until what stands before it has finished too. One `CompletedPrefix` serves
one partition for one assignment: after a rebalance a new one begins, and the old one's completions are ignored.
"""

import base64
import binascii
import zlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from processors.errors import WorkerError

T = TypeVar("T")

MOST_TEXT: Final = 4000  # characters of a commit's metadata; a broker takes 4096 (offset.metadata.max.bytes)
_MOST_INFLATED: Final = 1 << 20  # bytes; a million offsets are far more than a partition holds


class OutOfPlace(WorkerError):
    """An offset was begun twice, out of order, or completed without being in flight: a bug of ours."""


@dataclass(slots=True)
class _Begun(Generic[T]):
    offset: int
    item: T
    completed: bool = False


class CompletedPrefix(Generic[T]):
    """Takes records of one partition in log order, hears in any order that they are finished, releases them in order.

    Offsets may leave gaps (compaction, transactions). Each call is O(1), amortised.
    """

    __slots__ = ("_begun", "_in_flight", "_next")

    def __init__(self) -> None:
        self._begun: deque[_Begun[T]] = deque()  # its first is unfinished, or it is empty
        self._in_flight: dict[int, _Begun[T]] = {}
        self._next = 0

    def begin(self, offset: int, item: T) -> None:
        """Note that a record is being worked on; raises OutOfPlace when `offset` is not past all begun before it."""
        if offset < self._next:
            raise OutOfPlace(f"offset {offset} begun after {self._next - 1}")
        begun = _Begun(offset, item)
        self._begun.append(begun)
        self._in_flight[offset] = begun
        self._next = offset + 1

    def complete(self, offset: int) -> list[T]:
        """Note that a record is finished; return the items that the prefix grew by, in log order, often none.

        Raises OutOfPlace when that offset is not in flight.
        """
        begun = self._in_flight.pop(offset, None)
        if begun is None:
            raise OutOfPlace(f"offset {offset} is not in flight: completed twice, or never begun")
        begun.completed = True
        released: list[T] = []
        while self._begun and self._begun[0].completed:
            released.append(self._begun.popleft().item)
        return released

    def __len__(self) -> int:
        """Return how many records are remembered: the unfinished ones and those finished behind them."""
        return len(self._begun)

    @property
    def unfinished(self) -> int:
        """How many records were begun and are not completed."""
        return len(self._in_flight)

    @property
    def lowest_unfinished(self) -> int | None:
        """The offset that holds the prefix, None when nothing is in flight."""
        return self._begun[0].offset if self._begun else None

    @property
    def position(self) -> int:
        """The offset to commit: all before it is finished. 0 while nothing was begun."""
        return self._begun[0].offset if self._begun else self._next

    @property
    def end(self) -> int:
        """The offset past the last one begun: the lowest that may begin next. 0 while nothing was begun."""
        return self._next

    def completed_ahead(self) -> list[int]:
        """Return, ascending, the offsets that are finished but stand behind an unfinished one."""
        return [begun.offset for begun in self._begun if begun.completed]


def ahead_to_text(position: int, ahead: Iterable[int]) -> str:
    """Return offsets past `position`, ascending, as text that fits a commit's metadata; "" for none.

    It is a bitmap from `position` on, deflated, in base64. When it does not fit, the highest offsets are left out:
    who is not named there is only worked on again.
    """
    offsets = list(ahead)
    while offsets:
        bits = bytearray((offsets[-1] - position) // 8 + 1)
        for offset in offsets:
            bits[(offset - position) // 8] |= 1 << (offset - position) % 8
        text = base64.b64encode(zlib.compress(bits, 1)).decode()
        if len(text) <= MOST_TEXT:
            return text
        del offsets[len(offsets) // 2 :]
    return ""


def ahead_from_text(position: int, text: str) -> frozenset[int]:
    """Return the offsets that `ahead_to_text` wrote; none for text of anybody else (a tool that moved the offset)."""
    inflate = zlib.decompressobj()
    try:
        bits = inflate.decompress(base64.b64decode(text, validate=True), _MOST_INFLATED)
    except (binascii.Error, zlib.error, ValueError):  # ValueError: not ASCII
        return frozenset()
    return frozenset(
        position + 8 * index + bit for index, byte in enumerate(bits) if byte for bit in range(8) if byte >> bit & 1
    )
