"""However records of several topics come in between each other, and in whatever batches, the rows end up the same."""

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.projection.folding import Fold, ItemEnd, Known, Place, Standing, after_attempt, after_delivery, was_sent
from api.replays.tables import ItemState
from api.stats.tables import EVERY
from schemas.ids import DeliveryId, EventId, SubscriptionId, made_at
from schemas.records import Attempt, AttemptState, Delivery
from tests.api.projection.projecting import delivery, outcome

START = datetime(2026, 11, 20, 23, 59, 59, tzinfo=UTC)  # some deliveries are of the next day
ROUNDS = ["0", "rpl_1", "rpl_2"]
SUBSCRIPTIONS = [SubscriptionId("sub_1"), SubscriptionId("sub_2")]


def event_id(number: int) -> EventId:
    ms = int((START + timedelta(seconds=number)).timestamp() * 1000)
    return EventId(f"evt_{ms:012x}7{number:03x}8{0:015x}")


OWED = [delivery(to, event_id=event_id(number), due_at=START) for number in range(2) for to in SUBSCRIPTIONS]
OWED[-1] = replace(OWED[-1], is_test=True)

first_attempts = st.builds(
    lambda owed, in_round, later: replace(owed, round=in_round, due_at=START + later * timedelta(seconds=1)),
    st.sampled_from(OWED),
    st.sampled_from(ROUNDS),
    st.integers(0, 5),
)


@st.composite
def outcomes(draw: st.DrawFn) -> Attempt:
    of = replace(draw(st.sampled_from(OWED)), round=draw(st.sampled_from(ROUNDS)), attempt=draw(st.integers(0, 3)))
    state = draw(st.sampled_from(AttemptState))
    took = 0 if state is AttemptState.HELD else draw(st.integers(0, 100_000))
    return outcome(of, state, duration_ms=took, started_at=START + draw(st.integers(0, 9)) * timedelta(seconds=1))


class Table:
    """What the database would hold."""

    def __init__(self) -> None:
        self.rows: dict[DeliveryId, Standing] = {}
        self.counts: dict[Place, Counter[str]] = defaultdict(Counter)
        self.items: dict[tuple[str, str], ItemEnd] = {}

    def write(self, records: list[Delivery | Attempt]) -> None:
        fold = Fold({identifier: Known(*_known(row)) for identifier, row in self.rows.items()})
        for record in records:
            if isinstance(record, Delivery):
                fold.deliver(record, 0)
            else:
                fold.attempt(record, 0)
        assert not fold.new.keys() & self.rows.keys()
        assert fold.changed.keys() <= self.rows.keys()
        self.rows |= {identifier: row.standing for identifier, row in (fold.new | fold.changed).items()}
        for place, tally in fold.counts().items():
            made = {"attempts": tally.attempts, "failed attempts": tally.failed_attempts, "ms": tally.duration_ms}
            buckets = {f"bucket {number}": count for number, count in enumerate(tally.durations)}
            for name, count in {**tally.states, **made, **buckets}.items():
                self.counts[place][f"{name}"] += count
        for item, end in fold.items.items():
            if item not in self.items or self.items[item].state is not ItemState.SUCCEEDED:
                self.items[item] = end

    @property
    def content(self) -> Any:
        return self.rows, {place: +counts for place, counts in self.counts.items() if +counts}, self.items


def _known(row: Standing) -> tuple[str, str, int, datetime | None]:
    return row.round, row.state, row.attempts, row.last_attempt_at


def interleaved(draw: st.DrawFn, topics: list[list[Any]]) -> list[Any]:
    places = [number for number, records in enumerate(topics) for _ in records]
    left = [iter(records) for records in topics]
    return [next(left[number]) for number in draw(st.permutations(places))]


@given(
    st.lists(first_attempts, max_size=6),
    st.lists(first_attempts, max_size=6),
    st.lists(outcomes(), max_size=12),
    st.data(),
)
def test_the_order_between_topics_and_the_batches_do_not_matter(
    delivered: list[Delivery], replayed: list[Delivery], came_to: list[Attempt], data: st.DataObject
) -> None:
    delivered = [replace(one, round="0") for one in delivered]
    replayed = [replace(one, round="rpl_1") if one.round == "0" else one for one in replayed]
    plain, other = Table(), Table()
    plain.write([*delivered, *replayed, *came_to])
    records = data.draw(st.composite(interleaved)([delivered, replayed, came_to]))
    while records:
        size = data.draw(st.integers(1, len(records)))
        other.write(records[:size])
        records = records[size:]
    assert other.content == plain.content


@given(st.lists(first_attempts, max_size=10), st.lists(outcomes(), max_size=12))
def test_the_counts_are_what_a_recount_of_the_rows_says(delivered: list[Delivery], came_to: list[Attempt]) -> None:
    table = Table()
    records: list[Delivery | Attempt] = [*delivered, *came_to]
    for record in records:
        table.write([record])
    expected: dict[Place, Counter[str]] = defaultdict(Counter)
    for owed in OWED:
        made = [one for one in came_to if one.delivery_id == owed.id and was_sent(one)]
        for subscription in (owed.subscription_id, EVERY):
            place = Place(owed.organization_id, subscription, made_at(owed.id).date(), 0)
            if owed.id in table.rows and not owed.is_test:
                expected[place][table.rows[owed.id].state] += 1
                expected[place]["attempts"] += len(made)
                expected[place]["ms"] += sum(one.duration_ms for one in made)
    names = {"pending", "retrying", "success", "failed", "held", "attempts", "ms"}
    found = {place: Counter({name: counts[name] for name in names}) for place, counts in table.counts.items()}
    assert {place: +counts for place, counts in found.items() if +counts} == {
        place: +Counter({name: counts[name] for name in names}) for place, counts in expected.items() if +counts
    }


A = AttemptState
OF = OWED[0]


@pytest.mark.parametrize(
    ("before", "record", "after"),
    [
        (None, OF, ("0", "pending", 0)),
        (Known("0", "success", 1), OF, None),  # the outcome was read first
        (Known("0", "failed", 3), replace(OF, round="rpl_1"), ("rpl_1", "pending", 0)),
        (Known("rpl_1", "success", 1), replace(OF, round="rpl_1"), None),
        (Known("rpl_2", "pending", 0), replace(OF, round="rpl_1"), None),
        (None, outcome(OF, A.RETRYING), ("0", "retrying", 1)),
        (Known("0", "retrying", 1), outcome(replace(OF, attempt=2)), ("0", "success", 2)),
        (Known("0", "retrying", 2), outcome(OF, A.RETRYING), None),  # a sending that a kill made twice
        (Known("0", "success", 1), outcome(replace(OF, attempt=2), A.FAILED), None),  # what was taken stays taken
        (Known("rpl_1", "pending", 0), outcome(OF), None),  # of an earlier round: an attempt, and no more
        (Known("0", "failed", 3), outcome(replace(OF, round="rpl_1"), A.RETRYING), ("rpl_1", "retrying", 1)),
        (None, outcome(replace(OF, attempt=0), A.HELD), ("0", "held", 0)),  # disabled when it was routed
        (Known("0", "retrying", 2), outcome(replace(OF, attempt=3), A.HELD), ("0", "held", 2)),  # two were made
        (Known("0", "held", 0), outcome(OF), ("0", "success", 1)),  # routed twice, disabled at the second time
    ],
)  # fmt: skip
def test_what_a_record_makes_of_a_row(
    before: Known | None, record: Delivery | Attempt, after: tuple[str, str, int] | None
) -> None:
    standing = after_delivery(before, record) if isinstance(record, Delivery) else after_attempt(before, record)
    assert (standing and (standing.round, standing.state, standing.attempts)) == after


def test_a_retry_says_when_it_is_due_and_an_end_when_it_came() -> None:
    retrying, done = after_attempt(None, outcome(OF, A.RETRYING)), after_attempt(None, outcome(OF))
    assert retrying is not None
    assert (retrying.due_at, retrying.finished_at) == (START + timedelta(minutes=1), None)
    assert done is not None
    assert (done.due_at, done.finished_at) == (START, START + timedelta(milliseconds=6))
    assert (done.status, done.duration_ms, done.last_attempt_at) == (200, 5, START + timedelta(milliseconds=1))
