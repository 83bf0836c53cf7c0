"""The records of `hookline.behind`: their keys, and which of them count. Pure.

A worker that lost a partition without knowing it may write late. So whoever is given one claims it first, with a
number higher than all before, and a record counts only if nothing of a higher claim stands before it in the
partition's log; of two claims with one number the greater name is higher, whichever came first, so that it does not
matter which of them compaction leaves. Kafka refuses a late commit of offsets by the group's generation; a record it
cannot refuse.
"""

from dataclasses import dataclass, field
from typing import Final

from schemas.codec import decode
from schemas.ids import SubscriptionId
from schemas.records import Cursor

CLAIM_KEY: Final = b"claim"
Writer = tuple[int, str]
NOBODY: Final[Writer] = (0, "")  # whoever does not say by which claim it writes: it never counts


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A record of the topic: by whose claim it was written, its key, its value (None: a tombstone)."""

    writer: Writer
    key: bytes
    value: bytes | None


@dataclass(slots=True)
class Folded:
    """What a partition's log says: whose it is, the cursors that count, and the keys whose last record does not.

    Those keys the next owner writes again before compaction, an hour later, may keep the wrong record of the two.
    """

    writer: Writer = NOBODY
    cursors: dict[bytes, Cursor] = field(default_factory=dict)
    overwritten: set[bytes] = field(default_factory=set)

    def take(self, record: LogRecord) -> None:
        """Take the next record of the log; raises UnreadableRecord for a cursor that counts and cannot be read."""
        counts = record.writer != NOBODY and record.writer >= self.writer
        if counts:
            self.writer = record.writer  # of a cursor too: its claim may have been compacted away, a late one left
            self.overwritten.discard(record.key)
        else:
            self.overwritten.add(record.key)
        if record.key == CLAIM_KEY or not counts:
            return
        cursor = None if record.value is None else decode(Cursor, record.value)
        if cursor is None:
            self.cursors.pop(record.key, None)
        else:
            self.cursors[record.key] = cursor


def key_of(topic: str, subscription_id: SubscriptionId, key: str | None = None) -> bytes:
    """Return a cursor's key on the topic."""
    own = f"{topic}|{subscription_id}"
    return (own if key is None else f"{own}|{key}").encode()
