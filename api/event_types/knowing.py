"""What this process knows of organizations' own event types: a catalogue in step with PostgreSQL.

Who changes one says so with NOTIFY in the same transaction, and each process reads that organization's types anew, a
few milliseconds after the commit. PostgreSQL and not the topic: what was answered with 201 counts here although Kafka
is away. One connection a process; while it is broken hardly anybody can change a type, and all are read after it.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final

import asyncpg
import structlog

from api.errors import Unavailable
from api.event_types.tables import CHANNEL
from schemas.catalogue import Catalogue, EventType, UnknownEventType, defined
from schemas.ids import OrganizationId
from schemas.records import EventTypeDefinition

log = structlog.get_logger("api.event_types")

_CONNECT_S: Final = 5.0
_AGAIN_AFTER_S: Final = 0.5
_HEARTBEAT_S: Final = 1.0  # a connection that a firewall forgot says nothing by itself, and 2 s are promised
_AWAY: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)  # TimeoutError is an OSError
_COLUMNS: Final = (
    "organization_id, name, revision, version, state, category, description, owner, ordering_key, accepts, example, "
    "updated_at"
)


class LoadedCatalogue(Catalogue):
    """A catalogue that tells a type which nobody defined from one that it has not read yet."""

    def __init__(self) -> None:
        super().__init__()
        self.is_loaded = False

    def of(self, name: str, organization_id: str | None = None, *, pointer: str = "/type") -> EventType:
        """Return the event type; raises UnknownEventType, or Unavailable while none of the own ones were read."""
        try:
            return super().of(name, organization_id, pointer=pointer)
        except UnknownEventType:
            if self.is_loaded:
                raise
            raise Unavailable("the database has not told us yet which event types there are") from None


class KnownEventTypes:
    """Keeps a catalogue in step."""

    def __init__(self, database_url: str) -> None:
        """Prepare; `run` does the work."""
        self.catalogue = LoadedCatalogue()
        self.tried = asyncio.Event()
        self._database_url = database_url
        self._changed: set[str] = set()
        self._woken = asyncio.Event()
        self._revisions: dict[tuple[OrganizationId, str], tuple[int, datetime]] = {}

    async def run(self) -> None:
        """Follow until cancelled; a connection that breaks is made anew."""
        while True:
            try:
                await self._follow()
            except _AWAY as error:
                log.debug("event_types.not_followed", error=type(error).__name__)
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
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), _HEARTBEAT_S)
                self._woken.clear()
                changed, self._changed = sorted(self._changed), set()
                if changed:
                    await self._read(connection, changed)
                else:
                    await connection.execute("SELECT 1")
        finally:
            with suppress(*_AWAY):
                await connection.close(timeout=1)

    def _on_notify(self, _connection: object, _pid: int, _channel: str, organization_id: object) -> None:
        self._changed.add(str(organization_id))
        self._woken.set()

    async def _read(self, connection: asyncpg.Connection, organizations: Sequence[str] | None) -> None:
        """Take these organizations' types as they are, or everybody's."""
        only = "" if organizations is None else "WHERE organization_id = ANY($1)"
        given = [] if organizations is None else [organizations]
        rows = await connection.fetch(f"SELECT {_COLUMNS} FROM event_types {only}", *given)  # noqa: S608 - our own words
        there = {(OrganizationId(row["organization_id"]), str(row["name"])) for row in rows}
        for organization_id, name in [*self._revisions]:
            is_asked = organizations is None or organization_id in organizations
            if is_asked and (organization_id, name) not in there:
                del self._revisions[organization_id, name]
                self.catalogue.remove(organization_id, name)
        for row in rows:
            self._take(row)

    def _take(self, row: asyncpg.Record) -> None:
        organization_id, name = OrganizationId(row["organization_id"]), str(row["name"])
        # One that was deleted and defined again may have the revision that it had.
        revision = row["revision"], row["updated_at"]
        if self._revisions.get((organization_id, name)) == revision:
            return
        self.catalogue.remove(organization_id, name)
        self.catalogue.put(_event_type_of(row))
        self._revisions[organization_id, name] = revision


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
