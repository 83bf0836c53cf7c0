"""What this process knows of organizations' own event types: a catalogue in step with PostgreSQL.

Who changes one says so with NOTIFY in the same transaction, and each process reads that organization's types anew, a
few milliseconds after the commit. One connection a process; while it is broken hardly anybody can change a type, and
all are read after it.

A change counts here once Kafka has it, which is when its row has left the outbox. An event that was taken by a newer
type than workers can know would be quarantined there; this way whoever reads an event finds its type on the topic.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, TypeAlias

import asyncpg
import structlog

from api.errors import Unavailable
from api.event_types.tables import CHANNEL
from producers.postgres import AWAY
from schemas.catalogue import Catalogue, EventType, UnknownEventType, defined
from schemas.ids import OrganizationId
from schemas.records import EventTypeDefinition

log = structlog.get_logger("api.event_types")

_CONNECT_S: Final = 5.0
_AGAIN_AFTER_S: Final = 0.5
_HEARTBEAT_S: Final = 1.0  # a connection that a firewall forgot says nothing by itself, and 2 s are promised
Name = tuple[OrganizationId, str]
_ON_ITS_WAY_S: Final = 0.05  # while a change is in the outbox, which the relay empties at once
_IS_ON_ITS_WAY: Final = (
    "EXISTS (SELECT FROM outbox WHERE topic = 'hookline.event-types'"
    " AND key = convert_to(organization_id || '/' || name, 'UTF8')) AS is_on_its_way"
)
_KEYS: Final = f"organization_id, name, revision, updated_at, {_IS_ON_ITS_WAY}"

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"  # generic in its stubs only


class LoadedCatalogue(Catalogue):
    """A catalogue that tells a type which nobody defined from one that cannot be used yet."""

    def __init__(self) -> None:
        super().__init__()
        self.is_loaded = False
        self.on_their_way: set[Name] = set()

    def of(self, name: str, organization_id: str | None = None, *, pointer: str = "/type") -> EventType:
        """Return the event type; raises UnknownEventType, and Unavailable for what is defined and not yet to be had."""
        try:
            return super().of(name, organization_id, pointer=pointer)
        except UnknownEventType:
            if not self.is_loaded:
                raise Unavailable("the database has not told us yet which event types there are") from None
            if (OrganizationId(organization_id or ""), name) in self.on_their_way:
                raise Unavailable(f"{name} is defined and on its way to the workers") from None
            raise


class KnownEventTypes:
    """Keeps a catalogue in step."""

    def __init__(self, database_url: str) -> None:
        """Prepare; `run` does the work."""
        self.catalogue = LoadedCatalogue()
        self.tried = asyncio.Event()
        self._database_url = database_url
        self._changed: set[str] = set()
        self._woken = asyncio.Event()
        self._revisions: dict[Name, tuple[int, datetime]] = {}

    async def run(self) -> None:
        """Follow until cancelled; a connection that breaks is made anew."""
        while True:
            try:
                await self._follow()
            except AWAY as error:
                log.debug("event_types.not_followed", error=type(error).__name__)
            except Exception:  # the operator sees it: without this task types stay what they were, or nothing begins
                log.exception("event_types.not_followed")
            self.tried.set()
            await asyncio.sleep(_AGAIN_AFTER_S)

    async def _follow(self) -> None:
        connection = await asyncpg.connect(
            self._database_url,
            timeout=_CONNECT_S,
            command_timeout=_CONNECT_S,
            server_settings={"application_name": "hookline-api-event-types"},
        )
        try:
            await connection.add_listener(CHANNEL, self._on_notify)  # first: what changes from here on is said
            await self._read(connection, None)
            self.catalogue.is_loaded = True
            self.tried.set()
            while True:
                waiting = {organization_id for organization_id, _ in self.catalogue.on_their_way}
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), _ON_ITS_WAY_S if waiting else _HEARTBEAT_S)
                self._woken.clear()
                changed, self._changed = sorted(self._changed | waiting), set()
                if changed:
                    await self._read(connection, changed)
                else:
                    await connection.execute("SELECT 1")
        finally:
            with suppress(*AWAY):
                await connection.close(timeout=1)

    def _on_notify(self, _connection: object, _pid: int, _channel: str, organization_id: object) -> None:
        self._changed.add(str(organization_id))
        self._woken.set()

    async def _read(self, connection: Connection, organizations: Sequence[str] | None) -> None:
        """Take these organizations' types as they are, or everybody's: what has changed is read whole."""
        only, given = _only("organization_id", organizations)
        rows = await connection.fetch(f"SELECT {_KEYS} FROM event_types {only}", *given)  # noqa: S608 - our own words
        there = {_name_of(row): row for row in rows}
        for name in [*self._revisions, *self.catalogue.on_their_way]:
            if name not in there and (organizations is None or name[0] in organizations):
                self._forget(name)
        changed = []
        for name, row in there.items():
            if row["is_on_its_way"]:
                self.catalogue.on_their_way.add(name)
            elif self._revisions.get(name) != _revision_of(row):
                changed.append(name)
            else:
                self.catalogue.on_their_way.discard(name)
        if changed:
            await self._take(connection, changed)

    async def _take(self, connection: Connection, names: Sequence[Name]) -> None:
        wanted = (
            f"SELECT *, {_IS_ON_ITS_WAY} FROM event_types"  # noqa: S608 - our own words
            " WHERE (organization_id, name) IN (SELECT * FROM unnest($1::text[], $2::text[]))"
        )
        for row in await connection.fetch(wanted, [name[0] for name in names], [name[1] for name in names]):
            name = _name_of(row)
            if row["is_on_its_way"]:  # it was changed since its key was read
                self.catalogue.on_their_way.add(name)
                continue
            self._forget(name)  # one that was deleted and defined again begins with version 1
            self._revisions[name] = _revision_of(row)
            try:
                self.catalogue.put(_event_type_of(row))
            except Exception:  # of a later release, perhaps: the others' types must not go with it
                log.exception("event_type.unreadable", organization_id=name[0], event_type=name[1])

    def _forget(self, name: Name) -> None:
        self._revisions.pop(name, None)
        self.catalogue.on_their_way.discard(name)
        self.catalogue.remove(*name)


def _only(column: str, values: Sequence[str] | None) -> tuple[str, list[Sequence[str]]]:
    return ("", []) if values is None else (f"WHERE {column} = ANY($1)", [values])


def _name_of(row: asyncpg.Record) -> Name:
    return OrganizationId(row["organization_id"]), str(row["name"])


def _revision_of(row: asyncpg.Record) -> tuple[int, datetime]:
    return row["revision"], row["updated_at"]  # one that was defined again may have the revision that it had


def _event_type_of(row: asyncpg.Record) -> EventType:
    return defined(
        EventTypeDefinition(
            organization_id=OrganizationId(row["organization_id"]),
            name=row["name"],
            version=row["version"],
            state=row["state"],
            category=row["category"],
            description=row["description"],
            owner=row["owner"],
            schema=row["accepts"],
            example=row["example"],
            updated_at=row["updated_at"],
            ordering_key=row["ordering_key"],
        )
    )
