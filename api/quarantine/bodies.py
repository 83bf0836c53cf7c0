"""The JSON of quarantined records."""

import base64
from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.quarantine.tables import QuarantineRow
from producers.outbox import headers_from_json

SHOWN_BYTES: Final = 10 * 1024  # of a key or a value

_RECORD: Final[dict[str, Any]] = {
    "id": "qtn_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b",
    "at": "2026-11-21T09:30:00Z",
    "topic": "hookline.events",
    "partition": 3,
    "offset": 1207,
    "stage": "route",
    "error_class": "Undecodable",
    "error": "the value is no Avro single-object encoding",
    "key": {"data": "dXNlcl8xMjM=", "encoding": "base64", "truncated": False, "bytes": 8},
    "value": {"data": "bm90IGF2cm8=", "encoding": "base64", "truncated": False, "bytes": 8},
    "headers": [{"name": "ce_type", "value": "user.created"}],
    "retried_at": None,
}


class BytesBody(BaseModel):
    """Bytes as they are on the topic."""

    data: str = Field(description="The first 10,240 of them.")
    encoding: Literal["base64"]
    truncated: bool = Field(description="Whether there are more than are shown.")
    bytes: int = Field(description="How many there are.")


class HeaderBody(BaseModel):
    """A header of a record; what is not UTF-8 in its value is written `\\xff`."""

    name: str
    value: str


class QuarantineBody(BaseModel):
    """A record that nobody could read."""

    model_config = ConfigDict(json_schema_extra={"examples": [_RECORD]})

    id: str
    at: datetime = Field(description="When it was put into the quarantine.")
    topic: str = Field(description="Where it came from.")
    partition: int
    offset: int
    stage: str = Field(description="Who could not read it: route, deliver, move, index or projection.")
    error_class: str
    error: str
    key: BytesBody | None
    value: BytesBody | None
    headers: list[HeaderBody]
    retried_at: datetime | None = Field(description="When it was put back on its topic, the last time.")


def shown(row: QuarantineRow) -> QuarantineBody:
    """Return a row as its body."""
    return QuarantineBody(
        id=row.id,
        at=row.at,
        topic=row.topic,
        partition=row.partition,
        offset=row.offset,
        stage=row.stage,
        error_class=row.error_class,
        error=row.error,
        key=_bytes(row.key),
        value=_bytes(row.value),
        headers=[
            HeaderBody(name=name, value=value.decode("utf-8", "backslashreplace"))
            for name, value in headers_from_json(row.headers)
        ],
        retried_at=row.retried_at,
    )


def _bytes(raw: bytes | None) -> BytesBody | None:
    if raw is None:
        return None
    data = base64.b64encode(raw[:SHOWN_BYTES]).decode()
    return BytesBody(data=data, encoding="base64", truncated=len(raw) > SHOWN_BYTES, bytes=len(raw))
