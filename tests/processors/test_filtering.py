"""Filters in routing: who takes an event, what a failing filter leads to, and what its owner is told."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from confluent_kafka import Message

from processors.filtering import FailureReports, takers
from processors.index import SubscriptionIndex
from processors.routing import Router
from producers.handover import LoopProducer
from producers.records import Outgoing
from schemas.catalogue import Catalogue, defined
from schemas.codec import decode, encode
from schemas.errors import InvalidInput
from schemas.json_values import Json
from schemas.records import Event, FilterErrors, Subscription
from schemas.topics import ATTEMPTS, DELIVER, FILTER_ERRORS, QUARANTINE
from tests.flows.conftest import records_on
from tests.processors import made
from tests.processors.test_event_types import ORG, definition
from tests.processors.test_routing import taken

LARGE: Json = [{"cel": "data.amount > 100"}]
ALICE: Json = [{"exact": {"subject": "u1"}}]


def index_of(*subscriptions: Subscription) -> SubscriptionIndex:
    index = SubscriptionIndex()
    for each in subscriptions:
        index.put(each)
    return index


def taking(event: Event, *subscriptions: Subscription) -> tuple[list[Subscription], made.Noted]:
    noted = made.Noted()
    found = takers(event, subscriptions, index_of(*subscriptions), noted)
    return [*found], noted


def test_filters_choose_among_those_that_want_the_type() -> None:
    every, large, key = made.subscription(), made.subscription(filters=LARGE), made.subscription(filters=ALICE)
    none = made.subscription(filters=[])
    all_of_them = (every, large, key, none)
    assert taking(made.event(data=b'{"amount":150}'), *all_of_them) == ([every, large, key, none], [])
    assert taking(made.event(data=b'{"amount":99.5}'), *all_of_them) == ([every, key, none], [])
    other = replace(made.event(data=b'{"amount":150}'), key="u2")
    assert taking(other, *all_of_them) == ([every, large, none], [])


def test_a_filter_that_fails_takes_nothing_and_is_noted_with_the_event() -> None:
    every, large = made.subscription(), made.subscription(filters=LARGE)
    event = made.event(data=b"{}")
    found, noted = taking(event, every, large)
    assert found == [every]
    assert noted == [(large.id, event.id, 'Key not found in map : "amount"')]


NESTED = {"type": "record", "name": "door", "fields": [{"name": "pin", "type": "string", "sensitivity": "secret"}]}


@pytest.mark.parametrize(
    "expression",
    [
        'data.code.startsWith("12")',
        'previous.code.startsWith("12")',
        'data.doors.exists(door, door.pin.startsWith("12"))',
        'previous.doors.exists(door, door.startsWith("12"))',  # what `previous` holds need not fit the schema
    ],
)
def test_no_filter_guesses_a_secret_of_an_event_that_another_client_wrote(expression: str) -> None:
    catalogue = Catalogue()
    code = {"name": "code", "type": "string", "sensitivity": "secret"}
    doors = {"name": "doors", "type": {"type": "array", "items": NESTED}, "default": []}
    catalogue.put(defined(definition(code, doors)))
    curious = made.subscription(filters=[{"cel": expression}])
    data, before = b'{"code":"1234","doors":[{"pin":"1234"}]}', b'{"code":"1234","doors":["1234"]}'
    event = replace(made.event(data=data, organization=ORG), type="order.shipped", previous=before)
    assert taking(event, curious) == ([curious], [])  # of a type that nobody knows
    assert takers(event, [curious], index_of(curious), made.Noted(), catalogue=catalogue) == []


def test_filters_of_a_newer_release_take_nothing_and_say_so() -> None:
    newer = replace(made.subscription(), filters='[{"later":{"than":"this"}}]')
    found, noted = taking(made.event(), newer)
    assert found == []
    assert "is no dialect" in noted[0][2]


def test_an_event_is_not_parsed_for_those_that_ask_for_its_attributes_only() -> None:
    unreadable = made.event(data=b"no JSON")
    assert len(taking(unreadable, made.subscription(), made.subscription(filters=ALICE))[0]) == 2


def test_data_that_is_no_object_is_for_the_quarantine() -> None:
    with pytest.raises(InvalidInput):
        taking(made.event(data=b"[1]"), made.subscription(filters=LARGE))


def test_the_index_compiles_when_it_is_told_and_forgets_with_the_subscription() -> None:
    first = made.subscription(filters=LARGE)
    index = index_of(first)
    assert index.filters_of(first.id) is not None
    index.put(replace(first, version=2, filters=None))
    assert index.filters_of(first.id) is None
    index.put(replace(first, version=3))
    index.put(replace(first, version=1, filters=None))  # older: not taken
    assert index.filters_of(first.id) is not None
    index.remove(first.id)
    assert index.filters_of(first.id) is None


@pytest.mark.kafka
async def test_what_no_filter_takes_is_neither_delivered_nor_held(bootstrap: str, producer: LoopProducer) -> None:
    wants, off = made.subscription(filters=LARGE), made.subscription(filters=LARGE, enabled=False)
    router = Router(index_of(wants, off), producer, schedule_version="s1", failures=made.Noted())
    small, large = made.event(data=b'{"amount":1}'), made.event(data=b'{"amount":1000}')
    for event in (small, large):
        await router.route(taken(encode(event)))
    keys = {wants.id.encode(), off.id.encode()}
    for topic, owner in ((DELIVER, wants), (ATTEMPTS, off)):
        records = await records_on(bootstrap, topic, lambda record: record.key() in keys, count=1)
        assert [record.key() for record in records] == [owner.id.encode()]
        assert large.id.encode() in (records[0].value() or b"")


@pytest.mark.kafka
async def test_an_event_whose_data_is_no_object_is_quarantined_once(bootstrap: str, producer: LoopProducer) -> None:
    index = index_of(made.subscription(filters=LARGE), made.subscription(filters=LARGE))
    value = encode(made.event(data=b'"text"'))
    key = made.event().id.encode()
    await Router(index, producer, schedule_version="s1", failures=made.Noted()).route(taken(value, key=key))
    (record,) = await records_on(bootstrap, QUARANTINE, lambda record: record.key() == key, count=1)
    assert record.value() == value


class Sent(list[list[FilterErrors]]):
    """What was sent, batch by batch."""

    def __init__(self) -> None:
        super().__init__()
        self.came = asyncio.Event()

    async def send(self, records: Sequence[Outgoing]) -> None:
        assert {record.topic for record in records} == {FILTER_ERRORS}
        self.append([decode(FilterErrors, record.value) for record in records])
        self.came.set()


def never(error: BaseException) -> None:
    raise AssertionError from error


async def test_failures_are_told_once_in_a_while_and_when_a_worker_stops() -> None:
    sent, one, other = Sent(), made.subscription(), made.subscription(version=4)
    reports = FailureReports(sent.send, on_failure=never, every_s=3600)
    first, last = made.event(), made.event()
    reports.note(one, first, "first")
    await asyncio.wait_for(sent.came.wait(), 5)
    for _ in range(3):
        reports.note(one, first, "more")
    reports.note(one, last, "last")
    reports.note(other, last, "another")
    await asyncio.sleep(0)
    assert len(sent) == 1  # the rest waits for its time, or the end
    await reports.stop()
    told = [
        (each.subscription_id, each.subscription_version, each.count, each.error, each.event_id) for each in sent[1]
    ]
    assert told == [(one.id, 1, 4, "last", last.id), (other.id, 4, 1, "another", last.id)]
    assert [each.count for each in sent[0]] == [1]
    await reports.stop()
    assert len(sent) == 2  # nothing is told twice


async def test_a_changed_subscription_is_counted_anew() -> None:
    sent, one = Sent(), made.subscription()
    reports = FailureReports(sent.send, on_failure=never)
    reports.note(one, made.event(), "x")
    reports.note(replace(one, version=2), made.event(), "y")
    await reports.stop()
    assert [(each.subscription_version, each.count) for each in sent[0]] == [(2, 1)]


async def test_brokers_that_are_gone_end_the_worker() -> None:
    heard: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    async def send(_: Sequence[Outgoing]) -> None:
        raise OSError("gone")

    reports = FailureReports(send, on_failure=heard.set_result)
    reports.note(made.subscription(), made.event(), "x")
    assert isinstance(await asyncio.wait_for(heard, 5), OSError)


@pytest.mark.kafka
async def test_what_is_told_is_on_kafka(bootstrap: str, producer: LoopProducer) -> None:
    own = made.subscription(filters=LARGE)
    reports = FailureReports(producer.send, on_failure=never)
    await Router(index_of(own), producer, schedule_version="s1", failures=reports).route(taken(encode(made.event())))
    await reports.stop()

    def ours(record: Message) -> bool:
        return record.key() == own.id.encode()

    (record,) = await records_on(bootstrap, FILTER_ERRORS, ours, count=1)
    told = decode(FilterErrors, record.value())
    assert (told.count, told.subscription_version, told.organization_id) == (1, own.version, own.organization_id)
