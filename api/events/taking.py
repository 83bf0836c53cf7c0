"""From what a request holds to an event: our own JSON, or a CloudEvent in any of its modes."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from api.errors import Flaw, Refusal
from api.events.bodies import NewEvent
from api.problems import refusal_of, refusal_of_flaws
from api.requests import json_of
from schemas.catalogue import BUILT_IN, Catalogue, check_not_reserved
from schemas.cloudevents.attributes import CloudEvent
from schemas.cloudevents.headers import from_http
from schemas.cloudevents.json_format import structured_of
from schemas.cloudevents.mapping import event_of, traceparent_of
from schemas.envelope import EventTooLarge, new_event
from schemas.errors import InvalidInput
from schemas.ids import OrganizationId
from schemas.json_values import Json
from schemas.records import Event

SOURCE: Final = "/hookline/api"  # of events that do not say who said them
_CLAIM_BYTES: Final = 128  # 256 characters in hexadecimal, one more than an `id` of ours may have: they never meet
_OF_THE_BODY: Final = ("/data", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """An event as it was read.

    `claim` is what makes it idempotent, None when it brought no id. `is_dated`: its time is the publisher's.
    """

    event: Event
    claim: str | None
    traceparent: str | None
    is_dated: bool = False


Read = Callable[[Json], Taken]
"""Reads one event; raises InvalidInput, ValidationError or Refusal, pointers beginning at the event."""


class EventReader:
    """Reads events for one caller. `traceparent` is the request's, for events that have none of their own."""

    def __init__(
        self,
        organization_id: OrganizationId,
        *,
        traceparent: str | None,
        largest_bytes: int,
        catalogue: Catalogue = BUILT_IN,
    ) -> None:
        self._organization_id = organization_id
        self._traceparent = traceparent
        self._largest_bytes = largest_bytes
        self._catalogue = catalogue

    def own(self, value: Json) -> Taken:
        """Read our own JSON."""
        given = NewEvent.model_validate(value)
        check_not_reserved(given.type)
        event = new_event(
            type=given.type,
            organization_id=self._organization_id,
            data=given.data,
            key=given.key,
            previous=given.previous,
            metadata=given.metadata,
            source_id=given.id,
            source=SOURCE,
            catalogue=self._catalogue,
            largest_bytes=self._largest_bytes,
        )
        return Taken(event=event, claim=given.id, traceparent=self._traceparent)

    def structured(self, value: Json) -> Taken:
        """Read a CloudEvent that is one JSON object."""
        return self._of(structured_of(value))

    def either(self, value: Json) -> Taken:
        """Read a CloudEvent where there is a `specversion`, else our own JSON."""
        is_cloud_event = isinstance(value, dict) and "specversion" in value
        return self.structured(value) if is_cloud_event else self.own(value)

    def binary(self, headers: Iterable[tuple[bytes, bytes]]) -> Read:
        """Return what reads a CloudEvent whose attributes are these headers, from its data."""

        def read(value: Json) -> Taken:
            try:
                return self._of(from_http(headers, value))
            except EventTooLarge:
                raise
            except InvalidInput as error:
                if error.pointer.startswith("/data/") or error.pointer in _OF_THE_BODY:
                    pointer = error.pointer.removeprefix("/data")
                    raise refusal_of_flaws([Flaw(error.detail, pointer=pointer)]) from None
                name = f"ce-{error.pointer[1:].partition('/')[0]}"
                raise refusal_of_flaws([Flaw(error.detail, header=name)]) from None

        return read

    def _of(self, cloud: CloudEvent) -> Taken:
        event = event_of(
            cloud,
            organization_id=self._organization_id,
            catalogue=self._catalogue,
            largest_bytes=self._largest_bytes,
        )
        return Taken(
            event=event,
            claim=claim_of(cloud),
            traceparent=traceparent_of(cloud) or self._traceparent,
            is_dated=cloud.time is not None,
        )


def claim_of(cloud: CloudEvent) -> str:
    """Return under which name a CloudEvent is idempotent: by `source` and `id` together (CloudEvents 1.0.2, 3.1)."""
    named = f"{cloud.source}\x00{cloud.id}".encode("utf-8", "surrogatepass")
    return hashlib.shake_256(named).hexdigest(_CLAIM_BYTES)


def line_read_by(read: Read) -> Callable[[bytes], Taken]:
    """Return what reads an event from the bytes of a line."""
    return lambda line: read(json_of(line, called="the line"))


def refused(error: InvalidInput | ValidationError | Refusal, *, below: str) -> Refusal:
    """Return how we refuse what a reader raised; `below` is where in the body the event stands."""
    return error if isinstance(error, Refusal) else refusal_of(error, below=below)
