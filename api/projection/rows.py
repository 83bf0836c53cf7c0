"""What was seen as rows of the log's tables: plain tuples, as COPY takes them."""

import base64
from collections.abc import Mapping
from typing import Any, Final

import orjson

from api.projection.folding import Changed
from api.projection.reading import AttemptSeen, EventSeen, QuarantineSeen
from api.projection.storable import storable_text
from schemas.ids import DeliveryId, made_at

EVENT_COLUMNS: Final = (
    "id", "at", "organization_id", "type", "created_at", "key", "source_id", "source", "body", "traceparent",
    "partition", "offset",
)  # fmt: skip
# Of what an existing row changes, and what it keeps, with PostgreSQL's types.
_KEPT: Final = {
    "id": "text", "at": "timestamptz", "organization_id": "text", "subscription_id": "text", "event_id": "text",
    "event_type": "text", "created_at": "timestamptz", "is_test": "bool", "key": "text", "sequence": "bigint",
    "transformation_version": "int", "event_partition": "int", "event_offset": "bigint", "traceparent": "text",
}  # fmt: skip
_CHANGED: Final = {
    "state": "text", "round": "text", "attempts": "int", "status": "int", "error_kind": "text", "error": "text",
    "duration_ms": "bigint", "due_at": "timestamptz", "last_attempt_at": "timestamptz", "finished_at": "timestamptz",
}  # fmt: skip
DELIVERY_COLUMNS: Final = (*_KEPT, *_CHANGED)
ATTEMPT_COLUMNS: Final = (
    "id", "at", "organization_id", "delivery_id", "round", "attempt", "state", "status", "error_kind", "error",
    "started_at", "due_at",
    "duration_ms", "next_attempt_at", "url", "address", "request_headers", "response_headers", "response_body",
    "response_truncated", "body_bytes", "subscription_version", "worker", "transformation_version",
)  # fmt: skip


def event_row(seen: EventSeen) -> tuple[Any, ...]:
    """Return an event's row, its columns in the order of EVENT_COLUMNS."""
    event = seen.event
    return (
        event.id,
        seen.at,
        event.organization_id,
        event.type,
        event.created_at,
        event.key,
        event.source_id,
        event.source,
        seen.body,
        seen.traceparent,
        seen.partition,
        seen.offset,
    )


# Not UPDATE … FROM unnest(…): that is a join, and with statistics of a table that was empty a minute ago the planner
# goes through the table once for each row of it, or through all of both (measured: 10 s for 2,000 rows).
CHANGE_DELIVERIES: Final = f"""
INSERT INTO deliveries ({", ".join(DELIVERY_COLUMNS)})
SELECT * FROM unnest({", ".join(f"${n}::{kind}[]" for n, kind in enumerate([*_KEPT.values(), *_CHANGED.values()], 1))})
ON CONFLICT (id, at) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _CHANGED)}
"""  # noqa: S608 - our own names


def delivery_row(identifier: DeliveryId, row: Changed) -> tuple[Any, ...]:
    """Return a delivery's row, in the order of DELIVERY_COLUMNS."""
    origin, standing = row.origin, row.standing
    return (
        identifier,
        made_at(identifier),
        origin.organization_id,
        origin.subscription_id,
        origin.event_id,
        origin.event_type,
        origin.event_created_at,
        origin.is_test,
        origin.key,
        origin.sequence,
        origin.transformation_version,
        origin.event_position.partition,
        origin.event_position.offset,
        origin.traceparent,
        standing.state,
        standing.round,
        standing.attempts,
        standing.status,
        standing.error_kind,
        standing.error,
        standing.duration_ms,
        standing.due_at,
        standing.last_attempt_at,
        standing.finished_at,
    )


def attempt_row(seen: AttemptSeen) -> tuple[Any, ...]:
    """Return an attempt's row, in the order of ATTEMPT_COLUMNS."""
    attempt = seen.attempt
    return (
        attempt.id,
        seen.at,
        attempt.organization_id,
        attempt.delivery_id,
        attempt.round,
        attempt.attempt,
        attempt.state.value,
        attempt.status,
        attempt.error_kind,
        attempt.error,
        attempt.started_at,
        attempt.due_at,
        attempt.duration_ms,
        attempt.next_attempt_at,
        attempt.url,
        attempt.address,
        _json(attempt.request_headers),
        _json(attempt.response_headers),
        attempt.response_body,
        attempt.response_truncated,
        attempt.body_bytes,
        attempt.subscription_version,
        attempt.worker,
        attempt.transformation_version,
    )


def _json(headers: Mapping[str, str] | None) -> str | None:
    return None if headers is None else orjson.dumps(headers).decode()


def quarantine_row(seen: QuarantineSeen) -> tuple[Any, ...]:
    """Return the row of a record that nobody could read."""
    headers = [[storable_text(name), base64.b64encode(value).decode()] for name, value in seen.headers]
    return (
        seen.id,
        seen.at,
        seen.topic,
        seen.partition,
        seen.offset,
        seen.stage,
        seen.error_class,
        seen.error,
        seen.key,
        seen.value,
        orjson.dumps(headers).decode(),
    )
