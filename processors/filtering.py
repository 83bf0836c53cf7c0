"""Which of those that want an event's type take the event itself, and what owners are told of filters that fail."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import structlog

from processors.index import SubscriptionIndex
from processors.metrics import FILTERS_EVALUATED
from producers.records import Outgoing
from schemas.catalogue import BUILT_IN, Catalogue
from schemas.codec import encode
from schemas.filters import EventContext, FilterFailed
from schemas.ids import SubscriptionId
from schemas.records import Event, FilterErrors, Subscription
from schemas.topics import FILTER_ERRORS

log = structlog.get_logger("processors.filtering")

EVERY_S: Final = 1.0  # at most one record of a subscription in this time
_TAKEN, _LEFT, _FAILED = (FILTERS_EVALUATED.labels(result=result) for result in ("taken", "not_taken", "failed"))


class Failures(Protocol):
    """Who hears of filters that fail."""

    def note(self, subscription: Subscription, event: Event, error: str) -> None:
        """Take note of one failure."""


def takers(
    event: Event,
    subscriptions: Sequence[Subscription],
    index: SubscriptionIndex,
    failures: Failures,
    *,
    catalogue: Catalogue = BUILT_IN,
) -> Sequence[Subscription]:
    """Return those of `subscriptions` whose filters take `event`; a filter that fails takes it not, and is noted.

    What is parsed of the event is parsed once for all of them, and not at all when none has filters. Never waits: the
    order in which events reach the producer is the order of deliveries. `catalogue` says which fields are secret: no
    filter sees those. Raises InvalidInput when a filter asks for data that is no JSON object.
    """
    context: EventContext | None = None
    found: list[Subscription] = []
    taken = left = failed = 0
    for subscription in subscriptions:
        filters = index.filters_of(subscription.id)
        if filters is None:
            found.append(subscription)
            continue
        context = context or EventContext.of(event, catalogue.get(event.type, event.organization_id))
        try:
            takes = filters.take(context)
        except FilterFailed as error:
            failed += 1
            failures.note(subscription, event, str(error))
            continue
        taken, left = taken + takes, left + (not takes)
        if takes:
            found.append(subscription)
    if context is not None:
        _TAKEN.inc(taken)
        _LEFT.inc(left)
        _FAILED.inc(failed)
    return found


class FailureReports:
    """Failures of filters, counted by subscription and written to `hookline.filter-errors` once in a while.

    A count is for its owner to look at: a worker that is killed loses the last second's, and an event that is routed
    twice counts twice.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Outgoing]], Coroutine[Any, Any, None]],
        *,
        on_failure: Callable[[BaseException], None],
        every_s: float = EVERY_S,
    ) -> None:
        """Prepare; `send` returns when the brokers have the records, and `on_failure` hears when it cannot."""
        self._send = send
        self._on_failure = on_failure
        self._every_s = every_s
        self._noted: dict[SubscriptionId, FilterErrors] = {}
        self._any = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def note(self, subscription: Subscription, event: Event, error: str) -> None:
        """Count a failure; the last one's text and event are told."""
        known = self._noted.get(subscription.id)
        before = known.count if known is not None and known.subscription_version == subscription.version else 0
        self._noted[subscription.id] = FilterErrors(
            subscription_id=subscription.id,
            organization_id=subscription.organization_id,
            subscription_version=subscription.version,
            count=before + 1,
            error=error,
            event_id=event.id,
            at=datetime.now(UTC),
        )
        self._any.set()
        if self._task is None:
            self._task = asyncio.create_task(self._write_on())

    async def stop(self) -> None:
        """Write what is left, and end."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        await self._write()

    async def _write_on(self) -> None:
        try:
            while True:
                await self._any.wait()
                await self._write()
                await asyncio.sleep(self._every_s)
        except Exception as error:  # noqa: BLE001 - the worker ends with it: a lost broker, or our bug
            self._on_failure(error)

    async def _write(self) -> None:
        noted, self._noted = self._noted, {}
        self._any.clear()
        if not noted:
            return
        for one in noted.values():
            log.warning(
                "filters.failed", subscription_id=one.subscription_id, count=one.count, organization=one.organization_id
            )
        await self._send([Outgoing(FILTER_ERRORS, key.encode(), encode(one), []) for key, one in noted.items()])
