"""Whether an event on the topic is of a type that is known, and its data fits: any Kafka client may write one.

What the publisher checks is checked again here, against what workers know of organizations' own types. They may lag
behind: who finds an event wanting reads all that is on their topic first. The API takes no event of a type before Kafka
has the type (api/event_types/knowing.py), so after that, what is not known was not defined when the event was written.

The state of a type does not matter: what is on its way when a type is archived is delivered.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import orjson

from schemas.catalogue import Catalogue
from schemas.errors import InvalidInput
from schemas.ids import OrganizationId
from schemas.json_values import Json
from schemas.records import Event
from schemas.redaction import without_sensitive


class EventChecks:
    """Checks events by a catalogue that follows a topic. Lives on the event loop."""

    def __init__(self, catalogue: Catalogue, caught_up: Callable[[], asyncio.Future[None]]) -> None:
        """Begin; `caught_up` is the follower's (producers/following.py)."""
        self._catalogue = catalogue
        self._caught_up = caught_up
        self._lines: dict[OrganizationId, _Line] = {}
        self._asked = 0  # how often the topic was asked for, and which of these was answered
        self._answered = 0

    async def check(self, event: Event) -> None:
        """Return when the event is of a known type and its data fits; an organization's events keep their order.

        Raises UnknownEventType, or InvalidInput with a pointer to the field.
        """
        organization_id = event.organization_id
        if organization_id not in self._lines:
            try:
                self._check_now(event)
            except InvalidInput:
                if self._catalogue.get(event.type) is not None:  # built in: the topic knows nothing of it
                    raise
            else:
                return
        # Who waits for the catalogue holds up what its organization published later.
        line = self._lines.setdefault(organization_id, _Line())
        line.waiting += 1
        asked_after = self._asked
        try:
            async with line.lock:
                await self._check_after_reading(event, asked_after)
        finally:
            line.waiting -= 1
            if not line.waiting:
                del self._lines[organization_id]

    async def _check_after_reading(self, event: Event, asked_after: int) -> None:
        """Check, and before it is found wanting read all that was on the topic when it was taken.

        Hundreds may wait in a line: what was asked for after the last of them came answers for all.
        """
        try:
            self._check_now(event)
        except InvalidInput:
            if self._answered <= asked_after:
                self._asked += 1
                number = self._asked
                await self._caught_up()
                self._answered = max(self._answered, number)
            self._check_now(event)

    def _check_now(self, event: Event) -> None:
        event_type = self._catalogue.of(event.type, event.organization_id)
        data = _data_of(event)
        try:
            event_type.check(data)
        except InvalidInput:  # sensitive fields are no flaw: they are removed, as the publisher removes them
            event_type.check(without_sensitive(data))


@dataclass(slots=True)
class _Line:
    """Events of an organization of which the first waits for the catalogue."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # fair: first come, first served
    waiting: int = 0


def _data_of(event: Event) -> Json:
    try:
        return cast(Json, orjson.loads(event.data))
    except orjson.JSONDecodeError:
        raise InvalidInput("is not JSON", pointer="/data") from None
