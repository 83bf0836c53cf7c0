"""From the body of a POST to events that Kafka has: each id that a publisher brought becomes one event.

An id is claimed before its event goes to Kafka and marked when Kafka has it. A repeat of what was only claimed (we
ended, or Kafka was away) goes out again under the same event id and with the same time: whoever reads both sees one
event.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import orjson
import structlog
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from api.database import DatabaseAway, tenant_transaction_of
from api.errors import Conflict, Refusal
from api.events.bodies import NewEvent
from api.events.publishing import EventPublishing
from api.events.tables import Claim, claimed, mark_produced
from api.metrics import Metrics
from api.problems import refusal_of
from producers.errors import ProducingError
from schemas.catalogue import check_not_reserved
from schemas.envelope import new_event
from schemas.errors import InvalidInput
from schemas.ids import EventId, OrganizationId
from schemas.records import Event

log = structlog.get_logger("api.events.posting")

Outcome = EventId | Refusal
_READ_AT_ONCE: Final = 50  # events of a batch, some 5 ms, before other requests have their turn


class EventPosting:
    """Publishes for POST /events and its batch."""

    def __init__(
        self, engine: AsyncEngine, publishing: EventPublishing, metrics: Metrics, *, largest_bytes: int
    ) -> None:
        self._engine = engine
        self._publishing = publishing
        self._metrics = metrics
        self._largest_bytes = largest_bytes
        self._under_way: dict[tuple[OrganizationId, str], asyncio.Event] = {}

    async def post(self, body: NewEvent, organization_id: OrganizationId, traceparent: str | None) -> EventId:
        """Return the event's id once Kafka has it. Raises Refusal."""
        event = self._read(body, organization_id)
        outcome = event if isinstance(event, Refusal) else (await self._post([event], traceparent))[0]
        if isinstance(outcome, Refusal):
            raise outcome
        return outcome

    async def post_all(
        self, bodies: Sequence[NewEvent | dict[str, object]], organization_id: OrganizationId, traceparent: str | None
    ) -> list[Outcome]:
        """Return, for each event of a batch, its id once Kafka has it, or why not; none stops the others."""
        read: list[Event | Refusal] = []
        for index, body in enumerate(bodies):
            read.append(self._read(body, organization_id, below=f"/events/{index}"))
            if index % _READ_AT_ONCE == _READ_AT_ONCE - 1:
                await asyncio.sleep(0)
        outcomes = iter(await self._post([event for event in read if isinstance(event, Event)], traceparent))
        return [next(outcomes) if isinstance(event, Event) else event for event in read]

    def _read(
        self, body: NewEvent | dict[str, object], organization_id: OrganizationId, *, below: str = ""
    ) -> Event | Refusal:
        try:
            given = NewEvent.model_validate(body)
            check_not_reserved(given.type)
            return new_event(
                type=given.type,
                organization_id=organization_id,
                data=given.data,
                key=given.key,
                previous=given.previous,
                metadata=given.metadata,
                source_id=given.id,
                largest_bytes=self._largest_bytes,
            )
        except (InvalidInput, ValidationError) as error:
            self._metrics.events.labels("refused").inc()
            return refusal_of(error, below=below)

    async def _post(self, events: Sequence[Event], traceparent: str | None) -> list[Outcome]:
        named = [event for event in events if event.source_id is not None]
        if not named:
            return await self._publish(events, traceparent)
        organization_id = named[0].organization_id
        async with self._alone({(organization_id, str(event.source_id)) for event in named}):
            fingerprints = {event.id: fingerprint_of(event) for event in named}
            claims = await self._claims(named, fingerprints)
            decided = [_decided(event, claims, fingerprints) for event in events]
            fresh = {event.id: event for event in decided if isinstance(event, Event)}
            published = dict(zip(fresh, await self._publish([*fresh.values()], traceparent), strict=True))
            produced = {
                event.source_id
                for event in fresh.values()
                if event.source_id is not None and not isinstance(published[event.id], Refusal)
            }
            await self._mark(organization_id, sorted(produced))
        return [published[event.id] if isinstance(event, Event) else event for event in decided]

    async def _publish(self, events: Sequence[Event], traceparent: str | None) -> list[Outcome]:
        outcomes = await self._publishing.publish_all(events, traceparent)
        failed = [outcome for outcome in outcomes if isinstance(outcome, ProducingError)]
        if failed:
            log.warning("event.not_published", error=str(failed[0]), events=len(failed))
        return [refusal_of(outcome) if isinstance(outcome, ProducingError) else outcome for outcome in outcomes]

    @asynccontextmanager
    async def _alone(self, names: Collection[tuple[OrganizationId, str]]) -> AsyncIterator[None]:
        """Wait until nobody in this process publishes any of these ids, then keep others waiting.

        Another process may publish the same id meanwhile: under the same event id, by the claim.
        """
        while busy := next((self._under_way[name] for name in names if name in self._under_way), None):
            await busy.wait()
        done = asyncio.Event()
        self._under_way.update(dict.fromkeys(names, done))
        try:
            yield
        finally:
            for name in names:
                del self._under_way[name]
            done.set()

    async def _claims(
        self, named: Sequence[Event], fingerprints: Mapping[EventId, bytes]
    ) -> Mapping[str, Claim] | DatabaseAway:
        wanted: dict[str, Claim] = {}
        for event in named:
            source_id = str(event.source_id)
            wanted.setdefault(source_id, Claim(source_id, event.id, fingerprints[event.id], event.created_at))
        try:
            async with tenant_transaction_of(self._engine, named[0].organization_id) as db:
                return await claimed(db, named[0].organization_id, [*wanted.values()])
        except DatabaseAway as away:
            return away

    async def _mark(self, organization_id: OrganizationId, source_ids: Sequence[str]) -> None:
        if not source_ids:
            return
        try:
            async with tenant_transaction_of(self._engine, organization_id) as db:
                await mark_produced(db, organization_id, source_ids, produced_at=datetime.now(UTC))
        except (DatabaseAway, SQLAlchemyError) as error:  # Kafka has them: a repeat publishes them again, as the same
            log.warning("event.not_marked", error=type(error).__name__, events=len(source_ids))


def fingerprint_of(event: Event) -> bytes:
    """Return SHA-256 of what an event says, without its id and time; the order of names in objects does not matter."""
    said = [
        event.type,
        event.key,
        *(None if part is None else orjson.loads(part) for part in (event.data, event.previous, event.metadata)),
    ]
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).digest()


def _decided(
    event: Event, claims: Mapping[str, Claim] | DatabaseAway, fingerprints: Mapping[EventId, bytes]
) -> Event | Outcome:
    """Return the event as it is to be published, the id of the one that was, or why it cannot be."""
    if event.source_id is None:
        return event
    if isinstance(claims, DatabaseAway):
        return claims
    claim = claims[event.source_id]
    if claim.fingerprint != fingerprints[event.id]:
        return Conflict("this id was used for another event within the last 7 days: give each event an id of its own")
    if claim.produced_at is not None:
        return claim.event_id
    return replace(event, id=claim.event_id, created_at=claim.created_at)
