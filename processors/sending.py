"""One attempt: a signed POST to a subscriber's endpoint, and what it came to. All failures come back as an Outcome."""

import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final, Self

from multidict import CIMultiDict

from processors.answers import Answer, Headers
from processors.connections import Connections
from processors.dialling import Dialler
from processors.endpoints import Endpoint
from processors.failures import EXCHANGE_FAILURES, failure_of, refused_address
from processors.judging import Judge
from processors.outcomes import Outcome, kind_of_status
from processors.requests import request_to, target_of
from processors.retry_after import wait_asked_for
from schemas.headers import REPLAY_HEADER, SEQUENCE_HEADER
from schemas.records import FIRST_ROUND, Delivery
from schemas.signing import signed_headers
from schemas.urls import PORTS

KEPT_BYTES: Final = 10 * 1024  # of what was read, and of the headers, kept for the log
MASKED: Final = "***"
_NAMES_AND_VALUES_KEPT: Final = 100


class Sender:
    """Sends deliveries. Made in the running loop; close it there."""

    def __init__(
        self,
        *,
        most_at_once: int,
        allow_loopback: bool,
        user_agent: str,
        ports: frozenset[int] = PORTS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Open nothing yet. Callers send `most_at_once` at a time, and so many connections are kept between them."""
        self._connections = Connections(Dialler(Judge(allow_loopback, ports), tls=tls), most_idle=most_at_once)
        self._user_agent = user_agent

    async def send(self, delivery: Delivery, endpoint: Endpoint) -> Outcome:
        """Return what one attempt to send `delivery` came to, within the endpoint's timeout."""
        started_at = datetime.now(UTC)
        headers = self._headers(delivery, endpoint, started_at)
        try:
            target = target_of(endpoint.url)
            answer = await self._connections.exchange(
                target,
                endpoint.allowed,
                request_to(target, headers, delivery.body),
                within_s=endpoint.timeout.total_seconds(),
            )
        except EXCHANGE_FAILURES as error:
            kind, text = failure_of(error, endpoint)
            return Outcome(
                started_at=started_at,
                ended_at=datetime.now(UTC),
                error_kind=kind,
                error=text,
                address=refused_address(error),
                request_headers=_kept_request(headers, endpoint),
            )
        kind_or_none, ended_at = kind_of_status(answer.status), datetime.now(UTC)
        return Outcome(
            started_at=started_at,
            ended_at=ended_at,
            error_kind=kind_or_none,
            error=None if kind_or_none is None else f"the receiver answered {answer.status}",
            status=answer.status,
            address=answer.address,
            request_headers=_kept_request(headers, endpoint),
            response_headers=_kept_response(answer.headers),
            response_body=answer.body[:KEPT_BYTES],
            truncated=answer.truncated or len(answer.body) > KEPT_BYTES,
            retry_after=None if kind_or_none is None else _wait_asked_for(answer, started_at, ended_at),
        )

    def _headers(self, delivery: Delivery, endpoint: Endpoint, at: datetime) -> dict[str, str]:
        headers = {
            **endpoint.headers,
            "Content-Type": "application/json",
            "User-Agent": self._user_agent,
            **signed_headers(
                delivery.event_id,
                delivery.body,
                endpoint.keys_at(at),
                at=at,
                style=endpoint.style,
                name=endpoint.signature_header,
            ),
        }
        if endpoint.event_type_header is not None:
            headers[endpoint.event_type_header] = delivery.event_type
        if endpoint.delivery_id_header is not None:
            headers[endpoint.delivery_id_header] = delivery.id
        if endpoint.ordered:
            headers[SEQUENCE_HEADER] = str(delivery.sequence)
        if delivery.traceparent is not None:
            headers["traceparent"] = delivery.traceparent
        if delivery.round != FIRST_ROUND:
            headers[REPLAY_HEADER] = delivery.round
        return headers

    async def close(self) -> None:
        """Close every connection."""
        await self._connections.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _wait_asked_for(answer: Answer, started_at: datetime, ended_at: datetime) -> timedelta | None:
    headers = CIMultiDict((name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers)
    return wait_asked_for(answer.status, headers, started_at=started_at, ended_at=ended_at)


def _kept_request(headers: Mapping[str, str], endpoint: Endpoint) -> dict[str, str]:
    """Return the request's headers for the log, the signature and all that the subscriber set itself masked."""
    masked = endpoint.masked_headers
    return {name: MASKED if name.lower() in masked else value for name, value in headers.items()}


def _kept_response(headers: Headers) -> dict[str, str]:
    """Return the answer's headers for the log: Set-Cookie masked, of a flood only the beginning."""
    kept: dict[str, str] = {}
    room = KEPT_BYTES
    for raw_name, raw_value in headers[:_NAMES_AND_VALUES_KEPT]:
        name, value = raw_name.decode("utf-8", "replace"), raw_value.strip(b" \t").decode("utf-8", "replace")
        room -= len(name) + len(value)
        if room < 0:
            break
        kept[name] = MASKED if name.lower() == "set-cookie" else value
    return kept
