"""`python -m bench.filters`: what filters cost in routing one event of 740 bytes: 1, 100 and 1,000 subscriptions.

From the record of an event to the records of its deliveries, as the worker does it, without Kafka; no filter takes the
event, so that the difference to `none of its type` is the filters' alone. `without filters` is the limit: the same
number of subscriptions that take every event, each with a delivery to encode. Figures are the least of many runs, in µs
an event. Then single evaluations, and what converting an event costs.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import orjson

from processors.filtering import takers
from processors.index import SubscriptionIndex
from processors.routing import _delivery_record, checked_event, deliveries_of
from schemas.codec import encode
from schemas.filters import EventContext, Filters, checked_filters, filters_of
from schemas.ids import EventId, OrganizationId, new_event_id, new_subscription_id
from schemas.json_values import Json
from schemas.records import Event, Position, Subscription

ORGANIZATION: Final = OrganizationId("org_default")
SIZES: Final = (1, 100, 1_000)
POSITION: Final = Position(topic="hookline.events", partition=0, offset=1)
DATA: Final[Json] = {
    "id": "usr_019a9f2a11127a3b8c4d5e6f708192a3", "email": "someone@example.com", "name": "Some One", "amount": 50,
    "currency": "EUR", "roles": ["admin", "billing"], "active": True, "at": "2026-01-01T00:00:00Z",
    "items": [{"sku": "a-1", "count": 2, "price": 10.5}, {"sku": "b-2", "count": 1, "price": 99.0}],
    "address": {"street": "Some Street 1", "city": "Somewhere", "country": "DE"}, "note": "x" * 310,
}  # fmt: skip
FILTERS: Final[dict[str, Json]] = {
    "exact": [{"exact": {"subject": "somebody else"}}],
    "any of 3": [{"any": [{"prefix": {"source": f"/services/{name}"}} for name in "abc"]}],
    "cel": [{"cel": "data.amount > 100 && data.currency == 'EUR'"}],
    "cel, a loop": [{"cel": "data.items.exists(item, item.price > 100.0)"}],
    "exact, cel": [{"exact": {"subject": "somebody else"}}, {"cel": "data.amount > 100"}],
}


class _Unheard:
    def note(self, subscription: Subscription, event: Event, error: str) -> None:
        raise AssertionError(f"{subscription.filters} on {event.id}: {error}")


def main() -> None:
    """Print a line for each kind of filter, then what the parts cost."""
    event = _event()
    value = encode(event)
    print(f"an event of {len(event.data)} bytes of data; µs an event with {', '.join(map(str, SIZES))} subscriptions")
    _line("none of its type", [_us(_index(size, None, wants="role.*"), value) for size in SIZES])
    for name, filters in FILTERS.items():
        _line(name, [_us(_index(size, filters), value) for size in SIZES])
    _line("without filters", [_us(_index(size, None), value) for size in SIZES])
    print("µs an evaluation, the event's context made; then with a context of its own")
    for name, filters in FILTERS.items():
        known, context = filters_of(checked_filters(filters)), EventContext.of(event)
        _line(
            name,
            [
                _least_us(lambda known=known, context=context: _again(known, context)),  # type: ignore[misc]
                _least_us(lambda known=known: known.take(EventContext.of(event))),  # type: ignore[misc]
            ],
        )


def _event() -> Event:
    return Event(
        id=EventId(new_event_id()),
        type="user.created",
        organization_id=ORGANIZATION,
        created_at=datetime.now(UTC),
        data=orjson.dumps(DATA),
        key="usr_1",
        source="/services/users",
    )


def _index(size: int, filters: Json, *, wants: str = "user.*") -> SubscriptionIndex:
    index = SubscriptionIndex()
    for _ in range(size):
        index.put(
            Subscription(
                id=new_subscription_id(),
                organization_id=ORGANIZATION,
                version=1,
                url="https://receiver.example/hooks",
                event_types=(wants,),
                secrets=(b"sealed",),
                enabled=True,
                timeout_ms=15_000,
                updated_at=datetime.now(UTC),
                filters=None if filters is None else checked_filters(filters),
            )
        )
    return index


def _us(index: SubscriptionIndex, value: bytes) -> float:
    return _least_us(lambda: _route(index, value))


def _route(index: SubscriptionIndex, value: bytes) -> None:
    event = checked_event(value)
    wanting = index.wanting(event.organization_id, event.type)
    owed = deliveries_of(
        event,
        takers(event, wanting, index, _Unheard()),
        position=POSITION,
        schedule_version="1",
        now=datetime.now(UTC),
    )
    for delivery in owed.deliveries:
        _delivery_record(delivery)


def _again(known: Filters, context: EventContext) -> None:
    context.spent = 0  # all filters of an organization on one event have a limit together; this is one filter each time
    known.take(context)


def _line(name: str, figures: list[float]) -> None:
    print(f"  {name:18}" + "".join(f"{figure:11.1f}" for figure in figures))


def _least_us(function: Callable[[], object], *, for_s: float = 0.5) -> float:
    least, until = float("inf"), time.perf_counter() + for_s
    while time.perf_counter() < until:
        began = time.perf_counter()
        function()
        least = min(least, time.perf_counter() - began)
    return least * 1e6


if __name__ == "__main__":
    main()
