"""From the body of a POST to events that Kafka has: each id that a publisher brought becomes one event.

An id is claimed before its event goes to Kafka and marked when Kafka has it. A repeat of what was only claimed (we
ended, or Kafka was away) goes out again under the same event id and with the same time: whoever reads both sees one
event.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, TypeVar

import asyncpg
import orjson
import structlog
from pydantic import ValidationError

from api.database import DatabaseAway, Statements
from api.errors import Conflict, Refusal
from api.events.gathering import Gathering
from api.events.publishing import EventPublishing
from api.events.tables import Claim, claimed, mark_produced
from api.events.taking import Taken, refused
from api.metrics import Metrics
from api.problems import refusal_of
from schemas.errors import InvalidInput
from schemas.ids import EventId, OrganizationId, made_at
from schemas.records import Event

log = structlog.get_logger("api.events.posting")

Outcome = EventId | Refusal
Given = TypeVar("Given")
_READ_AT_ONCE: Final = 50  # events of a batch, some 5 ms, before other requests have their turn


class EventPosting:
    """Publishes for POST /events, its batch and its stream."""

    def __init__(self, statements: Statements, publishing: EventPublishing, metrics: Metrics) -> None:
        self._statements = statements
        self._publishing = publishing
        self._refused = metrics.events.labels("refused")
        self._claiming = Gathering(self._claim_all)
        self._marking = Gathering(self._mark_all)
        self._under_way: dict[tuple[OrganizationId, str], asyncio.Event] = {}

    async def post(self, value: Given, read: Callable[[Given], Taken]) -> EventId:
        """Return the event's id once Kafka has it. Raises Refusal."""
        taken = self._read(value, read, below="")
        outcome = taken if isinstance(taken, Refusal) else (await self._post([taken]))[0]
        if isinstance(outcome, Refusal):
            raise outcome
        return outcome

    async def post_all(
        self, values: Sequence[Given], read: Callable[[Given], Taken], *, below: str | None = None
    ) -> list[Outcome]:
        """Return, for each event of a batch, its id once Kafka has it, or why not; none stops the others.

        Pointers begin with `below` and the event's place; at the event when that is None.
        """
        read_ones: list[Taken | Refusal] = []
        for index, value in enumerate(values):
            read_ones.append(self._read(value, read, below="" if below is None else f"{below}/{index}"))
            if index % _READ_AT_ONCE == _READ_AT_ONCE - 1:
                await asyncio.sleep(0)
        outcomes = iter(await self._post([each for each in read_ones if isinstance(each, Taken)]))
        return [next(outcomes) if isinstance(each, Taken) else each for each in read_ones]

    def _read(self, value: Given, read: Callable[[Given], Taken], *, below: str) -> Taken | Refusal:
        try:
            return read(value)
        except (InvalidInput, ValidationError, Refusal) as error:
            self._refused.inc()
            return refused(error, below=below)

    async def _post(self, taken: Sequence[Taken]) -> list[Outcome]:
        named = [each for each in taken if each.claim is not None]
        if not named:
            return await self._publish(taken)
        organization_id = named[0].event.organization_id
        async with self._alone({(organization_id, str(each.claim)) for each in named}):
            fingerprints = {each.event.id: fingerprint_of(each.event) for each in named}
            claims = await self._claims(named, fingerprints)
            decided = [_decided(each, claims, fingerprints) for each in taken]
            # One event that is twice in a batch is published once.
            fresh = {each.event.id: each for each in decided if isinstance(each, Taken)}
            published = dict(zip(fresh, await self._publish([*fresh.values()]), strict=True))
            produced = {
                each.claim
                for each in fresh.values()
                if each.claim is not None and not isinstance(published[each.event.id], Refusal)
            }
            await self._mark(organization_id, sorted(produced))
        return [published[each.event.id] if isinstance(each, Taken) else each for each in decided]

    async def _publish(self, taken: Sequence[Taken]) -> list[Outcome]:
        outcomes = await self._publishing.publish_all([(each.event, each.traceparent) for each in taken])
        failed = [outcome for outcome in outcomes if outcome is not None]
        if failed:
            log.warning("event.not_published", error=str(failed[0]), events=len(failed))
        return [
            each.event.id if outcome is None else refusal_of(outcome)
            for each, outcome in zip(taken, outcomes, strict=True)
        ]

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
        self, named: Sequence[Taken], fingerprints: Mapping[EventId, bytes]
    ) -> Mapping[str, Claim] | DatabaseAway:
        wanted: dict[str, Claim] = {}
        for each in named:
            event, name = each.event, str(each.claim)
            claimed_at = made_at(event.id) if each.is_dated else event.created_at
            wanted.setdefault(name, Claim(name, event.id, fingerprints[event.id], claimed_at))
        try:
            return await self._claiming.ask(named[0].event.organization_id, [*wanted.values()])
        except DatabaseAway as away:
            return away

    async def _mark(self, organization_id: OrganizationId, source_ids: Sequence[str]) -> None:
        if not source_ids:
            return
        try:
            await self._marking.ask(organization_id, source_ids)
        except (DatabaseAway, asyncpg.PostgresError) as error:
            # Kafka has them: a repeat publishes them again, as the same.
            log.warning("event.not_marked", error=type(error).__name__, events=len(source_ids))

    async def _claim_all(self, organization_id: OrganizationId, wanted: Sequence[Claim]) -> Mapping[str, Claim]:
        return await claimed(self._statements, organization_id, wanted)

    async def _mark_all(self, organization_id: OrganizationId, source_ids: Sequence[str]) -> None:
        await mark_produced(self._statements, organization_id, source_ids, produced_at=datetime.now(UTC))


def fingerprint_of(event: Event) -> bytes:
    """Return SHA-256 of what an event says, without its id and time; the order of names in objects does not matter."""
    said = [
        event.type,
        event.key,
        *(None if part is None else orjson.loads(part) for part in (event.data, event.previous, event.metadata)),
    ]
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).digest()


def _decided(
    taken: Taken, claims: Mapping[str, Claim] | DatabaseAway, fingerprints: Mapping[EventId, bytes]
) -> Taken | Outcome:
    """Return the event as it is to be published, the id of the one that was, or why it cannot be."""
    if taken.claim is None:
        return taken
    if isinstance(claims, DatabaseAway):
        return claims
    claim, event = claims[taken.claim], taken.event
    if claim.fingerprint != fingerprints[event.id]:
        return Conflict("this id was used for another event within the last 7 days: give each event an id of its own")
    if claim.produced_at is not None:
        return claim.event_id
    created_at = event.created_at if taken.is_dated else claim.created_at
    return replace(taken, event=replace(event, id=claim.event_id, created_at=created_at))
