"""Records nobody can read go to `hookline.quarantine`, untouched, and stop nothing (FAUST.md, F5)."""

from producers.records import Outgoing
from schemas.headers import Headers, quarantine_headers
from schemas.records import Position
from schemas.topics import QUARANTINE


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
    """
    return Outgoing(topic, key, value, [*headers, *quarantine_headers(source, error=error, stage=stage)])
