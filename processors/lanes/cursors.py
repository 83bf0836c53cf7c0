"""The records of `hookline.behind`: their keys, and which of them count. Pure.

A worker that lost a partition without knowing it may write late. So whoever is given one claims it first, with a
number higher than all before, and a record counts only if no claim of another stands before it in the partition's
log. Kafka refuses a late commit of offsets by the group's generation; a record it cannot refuse.
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
    """What a partition's log says: whose it is, the cursors that count, and the keys whose last record does not."""

    writer: Writer = NOBODY
    cursors: dict[bytes, Cursor] = field(default_factory=dict)
    overwritten: set[bytes] = field(default_factory=set)

    def take(self, record: LogRecord) -> None:
        """Take the next record of the log; raises UnreadableRecord for a cursor that counts and cannot be read."""
        epoch, name = record.writer
        if record.key == CLAIM_KEY:
            if epoch > self.writer[0]:
                self.writer = record.writer
            return
        # An older claim may have been compacted away: then its cursors are all that is left of it.
        if record.writer == NOBODY or epoch < self.writer[0] or (epoch == self.writer[0] and name != self.writer[1]):
            self.overwritten.add(record.key)
            return
        cursor = None if record.value is None else decode(Cursor, record.value)
        self.writer = record.writer
        self.overwritten.discard(record.key)
        if cursor is None:
            self.cursors.pop(record.key, None)
        else:
            self.cursors[record.key] = cursor


def key_of(topic: str, subscription_id: SubscriptionId, key: str | None = None) -> bytes:
    """Return a cursor's key on the topic."""
    own = f"{topic}|{subscription_id}"
    return (own if key is None else f"{own}|{key}").encode()
