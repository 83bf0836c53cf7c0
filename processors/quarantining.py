"""Records nobody can read go to `hookline.quarantine`, untouched, and stop nothing (FAUST.md, F5)."""

from typing import Final

from producers.records import Outgoing
from schemas.headers import Headers, quarantine_headers
from schemas.records import Position
from schemas.topics import QUARANTINE

LEFT_OUT: Final = "hookline_left_out_bytes"
MOST_BYTES: Final = 2 * 1024 * 1024 - 16 * 1024  # what topics take (schemas/topics.py), less what is added here


def quarantined(
    source: Position,
    key: bytes | None,
    value: bytes | None,
    headers: Headers,
    *,
    error: Exception,
    stage: str,
    topic: str = QUARANTINE,
) -> Outgoing:
    """Return the record for the quarantine: key, value and headers as they came, then where from and why.

    `stage` names who could not read it (`route`, `deliver`, `move`). The headers of why are Kafka Connect's
    (schemas/headers.py); a record that is quarantined twice carries both, the last ones are the newest.

    Another client's record may be larger than a topic takes once it is unpacked: a few megabytes of zeros. Then key,
    value and headers are left out, a header says how large they are, and the record stays where it came from for as
    long as its topic keeps it. Refused by the brokers, it would end every worker that reads it, again and again.
    """
    why = quarantine_headers(source, error=error, stage=stage)
    size = len(key or b"") + len(value or b"") + sum(len(name) + len(text or b"") for name, text in headers)
    if size > MOST_BYTES:
        return Outgoing(topic, None, None, [(LEFT_OUT, str(size).encode()), *why])
    return Outgoing(topic, key, value, [*headers, *why])
