"""`python -m bench.routing`: what routing one event costs when 10 of 10 subscriptions want it, and 10 of 10,000.

From the record of an event to the records of its deliveries, as the worker does it, without Kafka. Figures are the
least of many runs, in µs an event. `after a change` puts a new version of one subscription before each event.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from processors.index import SubscriptionIndex
from processors.routing import _delivery_record, checked_event, deliveries_of
from schemas.codec import encode
from schemas.ids import OrganizationId, new_event_id, new_subscription_id
from schemas.records import Event, Position, Subscription

ORGANIZATION = OrganizationId("org_default")
MATCHING = 10
SIZES = (10, 100, 1_000, 10_000)
ROUNDS = 400
POSITION = Position(topic="hookline.events", partition=0, offset=1)


def main() -> None:
    """Print a line for each number of subscriptions."""
    event = Event(
        id=new_event_id(),
        type="user.created",
        organization_id=ORGANIZATION,
        created_at=datetime.now(UTC),
        data=b'{"id":"1","name":"%s"}' % (b"x" * 900),
    )
    value = encode(event)
    for size in SIZES:
        index, changing = _index_of(size)

        def route(index: SubscriptionIndex = index) -> None:
            _route(index, value)

        def change(index: SubscriptionIndex = index, changing: Subscription = changing) -> None:
            index.put(replace(changing, version=changing.version + 1))

        wanted = _least_us(lambda index=index: index.wanting(ORGANIZATION, "user.created"))  # type: ignore[misc]
        print(
            f"{size:6} subscriptions: the index alone {wanted:6.1f}, an event {_least_us(route):6.1f}, "
            f"after a change {_least_us(route, before=change):6.1f}; the change itself {_least_us(change):6.1f} µs"
        )


def _index_of(size: int) -> tuple[SubscriptionIndex, Subscription]:
    """Return an index of `size` subscriptions of one organization, 10 of which want the event, and another of them."""
    index = SubscriptionIndex()
    for number in range(size):
        wants = ("user.*",) if number < MATCHING else (f"other_{number % 500}.happened", "role.*")
        last = _subscription(wants)
        index.put(last)
    return index, last


def _subscription(wants: tuple[str, ...]) -> Subscription:
    return Subscription(
        id=new_subscription_id(),
        organization_id=ORGANIZATION,
        version=1,
        url="https://receiver.example/hooks",
        event_types=wants,
        secrets=(b"sealed",),
        enabled=True,
        timeout_ms=15_000,
        updated_at=datetime.now(UTC),
    )


def _route(index: SubscriptionIndex, value: bytes) -> None:
    event = checked_event(value)
    owed = deliveries_of(
        event,
        index.wanting(event.organization_id, event.type),
        position=POSITION,
        schedule_version="1",
        now=datetime.now(UTC),
    )
    records = [*map(_delivery_record, owed.deliveries)]
    assert len(records) == MATCHING


def _least_us(function: Callable[[], object], *, before: Callable[[], object] | None = None) -> float:
    least = float("inf")
    for _ in range(ROUNDS):
        if before is not None:
            before()
        began = time.perf_counter()
        function()
        least = min(least, time.perf_counter() - began)
    return least * 1e6


if __name__ == "__main__":
    main()
