"""The JSON of deliveries and of their attempts, as they go out."""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.deliveries.tables import AttemptRow, DeliveryRow, DeliveryState
from schemas.records import NEVER_SHAPED

SHOWN_BYTES: Final = 10 * 1024  # of a body, of a request or of an answer
_LONGEST_CHARACTER: Final = 4  # bytes of UTF-8

Encoding = Literal["utf-8", "base64"]

_DELIVERY: Final[dict[str, Any]] = {
    "id": "dlv_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b",
    "event_id": "evt_019a9f2b6c7d7f0e8d9c0b1a2f3e4d5c",
    "event_type": "user.created",
    "subscription_id": "sub_019a9f2a11127a3b8c4d5e6f708192a3",
    "state": "retrying",
    "round": "0",
    "attempt_count": 1,
    "status": 503,
    "error_kind": "http",
    "error": "the receiver answered 503",
    "duration_ms": 84,
    "created_at": "2026-11-21T09:30:00Z",
    "next_attempt_at": "2026-11-21T09:31:03Z",
    "last_attempt_at": "2026-11-21T09:30:00.120000Z",
    "finished_at": None,
    "is_test": False,
    "key": "user_123",
    "transformation_version": 1,
}
_ATTEMPT: Final[dict[str, Any]] = {
    "id": "att_019a9f2b6cf17d0a9b8c7d6e5f403122",
    "round": "0",
    "attempt": 1,
    "state": "retrying",
    "started_at": "2026-11-21T09:30:00.120000Z",
    "due_at": "2026-11-21T09:30:00Z",
    "duration_ms": 84,
    "error_kind": "http",
    "error": "the receiver answered 503",
    "url": "https://example.com/webhooks",
    "address": "93.184.216.34:443",
    "next_attempt_at": "2026-11-21T09:31:03Z",
    "worker": "worker-0",
    "subscription_version": 3,
    "transformation_version": 1,
    "request": {
        "headers": {"content-type": "application/json", "webhook-signature": "***"},
        "body": '{"id":"evt_019a9f2b6c7d7f0e8d9c0b1a2f3e4d5c","type":"user.created"}',
        "body_encoding": "utf-8",
        "body_bytes": 68,
        "truncated": False,
    },
    "response": {
        "status": 503,
        "headers": {"content-type": "text/plain"},
        "body": "try later",
        "body_encoding": "utf-8",
        "truncated": False,
    },
}


class DeliveryBody(BaseModel):
    """One event owed to one subscription, as its current round stands."""

    model_config = ConfigDict(json_schema_extra={"examples": [_DELIVERY]})

    id: str
    event_id: str
    event_type: str
    subscription_id: str
    state: DeliveryState = Field(description="`sending`: an attempt is due and not yet reported.")
    round: str = Field(description="`0`: the first sending; else the id of the replay that sends it.")
    attempt_count: int = Field(description="Attempts made in this round.")
    status: int | None = Field(description="HTTP status of the last answer.")
    error_kind: str | None
    error: str | None
    duration_ms: int | None = Field(description="Of the last attempt.")
    created_at: datetime = Field(description="When the event happened.")
    next_attempt_at: datetime | None = Field(description="null unless it is retrying.")
    last_attempt_at: datetime | None
    finished_at: datetime | None = Field(description="When this round ended: success, failed or held.")
    is_test: bool
    key: str | None
    transformation_version: int | None = Field(
        description="Of the subscription's `payload` when it was first sent; null: it was held without a body."
    )


class RequestBody(BaseModel):
    """What an attempt sent. The signature and the subscription's own headers are masked: `***`."""

    headers: dict[str, str]
    body: str | None = Field(description="Its first 10,240 bytes; null when the log does not hold the event.")
    body_encoding: Encoding = Field(description="`base64` when the bytes are not UTF-8.")
    body_bytes: int = Field(description="How many bytes were sent.")
    truncated: bool = Field(description="Whether there was more than is shown.")


class ResponseBody(BaseModel):
    """What the receiver answered."""

    status: int
    headers: dict[str, str]
    body: str = Field(description="Its first 10,240 bytes, as they came: compressed ones stay compressed.")
    body_encoding: Encoding = Field(description="`base64` when the bytes are not UTF-8.")
    truncated: bool = Field(description="Whether there was more than is shown.")


class AttemptBody(BaseModel):
    """One HTTP request, or a `held` outcome that made none."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ATTEMPT]})

    id: str
    round: str
    attempt: int = Field(description="From 1 within the round; 0: held when it was routed.")
    state: DeliveryState = Field(description="What it left the delivery in.")
    started_at: datetime
    due_at: datetime
    duration_ms: int
    error_kind: str | None
    error: str | None
    url: str | None
    address: str | None = Field(description="The address that was dialled.")
    next_attempt_at: datetime | None
    worker: str
    subscription_version: int
    transformation_version: int | None = Field(
        description="Of the subscription's `payload` when its body was made; 0: the full body; null: there was none."
    )
    request: RequestBody | None = Field(description="null when no request was made.")
    response: ResponseBody | None = Field(description="null without an answer.")


class DeliveryDetail(DeliveryBody):
    """A delivery and all its attempts, the oldest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_DELIVERY, "attempts": [_ATTEMPT]}]})

    attempts: list[AttemptBody]


def shown(row: DeliveryRow, *, now: datetime) -> DeliveryBody:
    """Return a row as its body; `now` tells what is due from what waits."""
    return DeliveryBody.model_construct(**_fields(row, now))


def shown_with_attempts(
    row: DeliveryRow, attempts: Sequence[AttemptRow], *, bodies: Mapping[int, bytes], now: datetime
) -> DeliveryDetail:
    """Return a row as its body, with its attempts; `bodies` are what `shown_attempt` takes, by transformation."""
    return DeliveryDetail.model_construct(
        **_fields(row, now),
        attempts=[shown_attempt(attempt, body=bodies.get(attempt.transformation_version)) for attempt in attempts],
    )


def state_of(row: DeliveryRow, *, now: datetime) -> DeliveryState:
    """Return the state that is shown: what is retrying and due is being sent."""
    if row.state == DeliveryState.RETRYING and row.due_at <= now:
        return DeliveryState.SENDING
    return DeliveryState(row.state)


def shown_attempt(row: AttemptRow, *, body: bytes | None) -> AttemptBody:
    """Return an attempt as its body.

    `body` is what was sent, or its first 10,240 bytes; None when the log cannot tell.
    """
    return AttemptBody(
        id=row.id,
        round=row.round,
        attempt=row.attempt,
        state=DeliveryState(row.state),
        started_at=row.started_at,
        due_at=row.due_at,
        duration_ms=row.duration_ms,
        error_kind=row.error_kind,
        error=row.error,
        url=row.url,
        address=row.address,
        next_attempt_at=row.next_attempt_at,
        worker=row.worker,
        subscription_version=row.subscription_version,
        transformation_version=shown_version(row.transformation_version),
        request=_request_of(row, body),
        response=_response_of(row),
    )


def readable(raw: bytes, *, whole_bytes: int) -> tuple[str, Encoding, bool]:
    """Return a body's first 10,240 bytes as text, how they are written, and whether it had more.

    `whole_bytes` is how long the body was. A character that the cut goes through is left out, so that text stays text.
    """
    kept = raw[:SHOWN_BYTES]
    truncated = whole_bytes > len(kept)
    for left_out in range(_LONGEST_CHARACTER if truncated else 1):
        try:
            return kept[: len(kept) - left_out].decode(), "utf-8", truncated
        except UnicodeDecodeError:
            continue
    return base64.b64encode(kept).decode(), "base64", truncated


def _fields(row: DeliveryRow, now: datetime) -> dict[str, Any]:
    state = state_of(row, now=now)
    return {
        "id": row.id,
        "event_id": row.event_id,
        "event_type": row.event_type,
        "subscription_id": row.subscription_id,
        "state": state,
        "round": row.round,
        "attempt_count": row.attempts,
        "status": row.status,
        "error_kind": row.error_kind,
        "error": row.error,
        "duration_ms": row.duration_ms,
        "created_at": row.created_at,
        "next_attempt_at": row.due_at if state is DeliveryState.RETRYING else None,
        "last_attempt_at": row.last_attempt_at,
        "finished_at": row.finished_at,
        "is_test": row.is_test,
        "key": row.key,
        "transformation_version": shown_version(row.transformation_version),
    }


def shown_version(version: int) -> int | None:
    """Return a transformation's version; None for what never had a body."""
    return None if version == NEVER_SHAPED else version


def _request_of(row: AttemptRow, body: bytes | None) -> RequestBody | None:
    if row.request_headers is None:
        return None
    text, encoding, truncated = readable(body or b"", whole_bytes=row.body_bytes)
    return RequestBody(
        headers=row.request_headers,
        body=None if body is None else text,
        body_encoding=encoding,
        body_bytes=row.body_bytes,
        truncated=truncated and body is not None,
    )


def _response_of(row: AttemptRow) -> ResponseBody | None:
    if row.status is None:
        return None
    raw = row.response_body or b""
    text, encoding, truncated = readable(raw, whole_bytes=len(raw) + row.response_truncated)
    return ResponseBody(
        status=row.status,
        headers=row.response_headers or {},
        body=text,
        body_encoding=encoding,
        truncated=truncated,
    )
