"""Whether an event on the topic is of a type that is known, and its data fits: any Kafka client may write one.

What the publisher checks is checked again here, against what workers know of organizations' own types. They may lag
behind: who finds an event wanting reads all that is on their topic first. The API takes no event of a type before Kafka
has the type (api/event_types/knowing.py), so after that, what is not known was not defined when the event was written.

The state of a type does not matter: what is on its way when a type is archived is delivered.
"""

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TypeVar

from schemas.catalogue import Catalogue
from schemas.errors import InvalidInput
from schemas.records import Event

T = TypeVar("T")


class EventChecks:
    """Checks events by a catalogue that follows a topic. Lives on the event loop."""

    def __init__(self, catalogue: Catalogue, caught_up: Callable[[], asyncio.Future[None]]) -> None:
        """Begin; `caught_up` is the follower's (producers/following.py)."""
        self.catalogue = catalogue
        self._caught_up = caught_up
        self._lines: dict[Hashable, _Line] = {}
        self._asked = 0  # how often the topic was asked for, and which of these was answered
        self._answered = 0

    async def check(self, event: Event) -> None:
        """Return when the event is of a known type and its data fits; an organization's events keep their order.

        Raises UnknownEventType, or InvalidInput with a pointer to the field.
        """
        found = self.catalogue.get(event.type, event.organization_id)
        is_built_in = found is not None and found.organization_id is None  # the topic knows nothing of those
        await self.decided(event.organization_id, lambda: self._check_now(event), is_final=is_built_in)

    async def decided(self, turn: Hashable, decide: Callable[[], T], *, is_final: bool = False) -> T:
        """Return what `decide` returns; when it raises InvalidInput, ask it again after all on the topic was read.

        Decisions of one `turn` are given in the order in which they were asked for: who waits for the catalogue holds
        up those behind. `is_final`: what it raises is raised at once, unless somebody waits before.
        """
        if turn not in self._lines:
            try:
                return decide()
            except InvalidInput:
                if is_final:
                    raise
        line = self._lines.setdefault(turn, _Line())
        line.waiting += 1
        asked_after = self._asked
        try:
            async with line.lock:
                return await self._decided_after_reading(decide, asked_after)
        finally:
            line.waiting -= 1
            if not line.waiting:
                del self._lines[turn]

    async def _decided_after_reading(self, decide: Callable[[], T], asked_after: int) -> T:
        """Hundreds may wait in a line: what was asked for after the last of them came answers for all."""
        try:
            return decide()
        except InvalidInput:
            if self._answered <= asked_after:
                self._asked += 1
                number = self._asked
                await self._caught_up()
                self._answered = max(self._answered, number)
            return decide()

    def _check_now(self, event: Event) -> None:
        self.catalogue.of(event.type, event.organization_id).check_written(event.data)


@dataclass(slots=True)
class _Line:
    """Those of one turn, of which the first waits for the catalogue."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # fair: first come, first served
    waiting: int = 0
