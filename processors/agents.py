"""The agents of a worker: which topic each takes from, and how they end together."""

import asyncio
from dataclasses import dataclass
from typing import Any

from processors.app import raw_topic
from processors.handing_on import take_what_waits
from processors.intake import Intake
from processors.lanes.dispatch import Dispatcher
from processors.metrics import IN_FLIGHT, WAITING
from schemas.topics import CLOUDEVENTS, DELIVER, EVENTS, REPLAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Agents:
    """What each agent takes into. Replays have bounds of their own: they take no live place."""

    routing: Intake
    converting: Intake
    delivering: Dispatcher
    replaying: Dispatcher

    def declare(self, app: Any, partitions: int) -> None:
        """Add them to the app, before it starts, and show how busy they are."""
        agents: tuple[tuple[str, str, Intake | Dispatcher], ...] = (
            ("route", EVENTS, self.routing),
            ("convert", CLOUDEVENTS, self.converting),
            ("deliver", DELIVER, self.delivering),
            ("replay", REPLAY, self.replaying),
        )
        for name, topic, intake in agents:
            _declare(app, name, raw_topic(app, topic, partitions), intake)
            IN_FLIGHT.labels(agent=name).set_function(lambda intake=intake: intake.in_flight)  # type: ignore[misc]
            WAITING.labels(agent=name).set_function(lambda intake=intake: intake.waiting)  # type: ignore[misc]

    def begin(self, generation: int) -> None:
        """Take over the deliveries of a new assignment, also when none come: those that are behind go on."""
        self.delivering.begin(generation)
        self.replaying.begin(generation)

    def drop(self) -> None:
        """Let go of what was taken from us; nothing of it is begun any more."""
        self.delivering.drop()
        self.replaying.drop()

    @property
    def sending(self) -> int:
        """How many deliveries are being worked off."""
        return self.delivering.in_flight + self.replaying.in_flight

    @property
    def waiting(self) -> int:
        """How many deliveries are queued in memory."""
        return self.delivering.waiting + self.replaying.waiting

    async def stop(self, within_s: float) -> int:
        """Stop the two that send, then those that route and convert; return how many deliveries were cut off."""
        cut = await asyncio.gather(self.delivering.stop(within_s), self.replaying.stop(within_s))
        await asyncio.gather(self.routing.stop(within_s), self.converting.stop(within_s))
        return sum(cut)


def _declare(app: Any, name: str, topic: Any, intake: Intake | Dispatcher) -> None:
    """Declare an agent. It takes and never waits; acks are ours (`noack`), in order and when it is done."""

    async def take(events: Any) -> None:
        async for event in events.noack().events():
            intake.take(event)
            take_what_waits(app, events.channel.queue, intake.take)

    take.__qualname__ = name  # what Faust's own log lines call it
    app.agent(topic, name=name)(take)
