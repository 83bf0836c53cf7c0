"""Which subscriptions want an event: exact, per organization, in the order of versions; followed on the real Kafka."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from hypothesis import given
from hypothesis import strategies as st

from processors import index as index_module
from processors.index import IndexFollower, SubscriptionIndex
from processors.metrics import FOLLOWED
from producers.handover import Handover
from schemas.codec import UnreadableRecord, encode
from schemas.ids import OrganizationId, SubscriptionId, new_subscription_id
from schemas.records import Subscription
from schemas.topics import PARTITIONER
from tests.machine import SLOW_MACHINE_S
from tests.processors.made import subscription

ORG_2 = OrganizationId("org_2")
OWN = SubscriptionId("sub_own")
BASE = subscription(identifier=OWN, wants=("user.*",))


def index_of(*subscriptions: Subscription) -> SubscriptionIndex:
    index = SubscriptionIndex()
    for each in subscriptions:
        index.put(each)
    return index


def wanted(index: SubscriptionIndex, event_type: str, organization: OrganizationId = BASE.organization_id) -> list[str]:
    return [each.id for each in index.wanting(organization, event_type)]


@pytest.mark.parametrize(
    ("pattern", "event_type", "wants"),
    [
        ("user.created", "user.created", True),
        ("user.created", "user.created.x", False),
        ("user.*", "user.created", True),
        ("user.*", "user.mfa.enabled", True),
        ("user.*", "user", False),
        ("user.*", "users.created", False),  # the dot counts
        ("*", "anything.at_all", True),
        ("*", "", True),
        ("role.*", "user.created", False),
    ],
)
def test_a_pattern_takes_what_it_names(pattern: str, event_type: str, wants: bool) -> None:
    assert bool(wanted(index_of(replace(BASE, event_types=("x.y", pattern))), event_type)) is wants


def test_nobody_hears_of_another_organizations_events() -> None:
    index = index_of(replace(BASE, event_types=("*",)))
    assert wanted(index, "user.created", ORG_2) == []


def test_a_subscription_that_matches_twice_is_named_once_and_disabled_ones_are_named_too() -> None:
    off = replace(BASE, id=SubscriptionId("sub_off"), enabled=False)
    assert wanted(index_of(replace(BASE, event_types=("*", "user.*")), off), "user.created") == ["sub_off", "sub_own"]


def test_a_change_is_in_force_for_types_that_were_asked_for_before() -> None:
    index = index_of(BASE)
    assert (wanted(index, "user.created"), wanted(index, "role.created")) == (["sub_own"], [])
    index.put(replace(BASE, version=2, event_types=("role.*",)))
    assert (wanted(index, "user.created"), wanted(index, "role.created")) == ([], ["sub_own"])
    index.remove(OWN)
    assert (wanted(index, "role.created"), index.settings_of(OWN), len(index)) == ([], None, 0)


def test_an_older_version_changes_nothing_and_the_same_one_does() -> None:
    index = index_of(replace(BASE, version=3))
    index.put(replace(BASE, version=2, enabled=False))
    assert index.settings_of(OWN) == replace(BASE, version=3)
    index.put(replace(BASE, version=3, url="https://example.com/sent-twice"))
    assert index.settings_of(OWN) == replace(BASE, version=3, url="https://example.com/sent-twice")


def test_removing_what_is_not_there_is_nothing() -> None:
    index = index_of(BASE)
    index.remove(SubscriptionId("sub_other"))
    assert len(index) == 1


puts = st.builds(
    lambda number, organization, version, wants, enabled: replace(
        BASE,
        id=SubscriptionId(f"sub_{number}"),
        organization_id=OrganizationId(f"org_{organization}"),
        version=version,
        event_types=(wants,),
        enabled=enabled,
    ),
    st.integers(0, 3),
    st.integers(0, 0),
    st.integers(1, 3),
    st.sampled_from(["*", "user.*", "user.created", "role.created"]),
    st.booleans(),
)
removes = st.integers(0, 3).map(lambda number: SubscriptionId(f"sub_{number}"))


@given(st.lists(puts | removes))
def test_after_any_changes_what_is_wanted_is_what_a_fresh_look_at_all_of_them_finds(
    changes: list[Subscription | SubscriptionId],
) -> None:
    index, plain = SubscriptionIndex(), dict[str, Subscription]()
    for change in changes:
        if isinstance(change, Subscription):
            index.put(change)
            known = plain.get(change.id)
            if known is None or known.version <= change.version:
                plain[change.id] = change
        else:
            index.remove(change)
            plain.pop(change, None)
    fresh = index_of(*plain.values())
    for event_type in ("user.created", "user.deleted", "role.created"):
        organization = OrganizationId("org_0")
        assert index.wanting(organization, event_type) == fresh.wanting(organization, event_type)
    assert len(index) == len(plain)


def test_what_strangers_ask_for_is_not_remembered_for_ever() -> None:
    """Any Kafka client may write events of any type and organization."""
    index = index_of(BASE)
    for number in range(5000):
        assert wanted(index, f"no.such_{number}") == []
        assert wanted(index, "user.created", OrganizationId(f"stranger_{number}")) == []
    assert len(index._by_pattern) == 1
    index.remove(OWN)
    assert index._by_pattern == {}


# On the real Kafka: a topic of each test's own stands in for `hookline.subscriptions`


class Topic:
    """A compacted topic with two partitions for subscriptions."""

    def __init__(self, bootstrap: str, name: str) -> None:
        self.config = {"bootstrap.servers": bootstrap}
        self.name = name
        self._producer = Producer({**self.config, "partitioner": PARTITIONER, "linger.ms": 0})

    def ends(self) -> dict[str, float]:
        """Return each partition's next offset, by its number as metrics name it."""
        consumer = Consumer({**self.config, "group.id": self.name})
        try:
            places = {str(each): TopicPartition(self.name, each) for each in range(2)}
            return {name: consumer.get_watermark_offsets(place, timeout=30)[1] for name, place in places.items()}
        finally:
            consumer.close()

    def put(self, *subscriptions: Subscription) -> None:
        self.write(*((each.id, encode(each)) for each in subscriptions))

    def write(self, *records: tuple[str, bytes | None]) -> None:
        for key, value in records:
            self._producer.produce(self.name, value, key=key.encode())
        assert self._producer.flush(30) == 0

    def write_in_transactions(self, *transactions: list[tuple[str, bytes | None]], abort_last: bool = False) -> None:
        """Transactions leave offsets without records: a marker behind each, and what was aborted."""
        writer = Producer({**self.config, "transactional.id": self.name})
        writer.init_transactions(10)
        for number, records in enumerate(transactions, 1):
            writer.begin_transaction()
            for key, value in records:
                writer.produce(self.name, value, key=key.encode())
            if abort_last and number == len(transactions):
                writer.flush(30)
                writer.abort_transaction(10)
            else:
                writer.commit_transaction(10)


@pytest.fixture
def topic(bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Topic]:
    name = f"test-{new_subscription_id()}"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(name, 2, 1, config={"cleanup.policy": "compact"})])[name].result(30)
    monkeypatch.setattr(index_module, "SUBSCRIPTIONS", name)
    yield Topic(bootstrap, name)
    admin.delete_topics([name])[name].result(30)


@asynccontextmanager
async def following(
    topic: Topic, on_unreadable: Callable[[Message, UnreadableRecord], None] = lambda *_: None
) -> AsyncIterator[tuple[SubscriptionIndex, IndexFollower]]:
    index = SubscriptionIndex()
    handover = Handover(asyncio.get_running_loop())
    follower = IndexFollower(index, topic.config, handover, on_unreadable=on_unreadable)
    try:
        async with asyncio.timeout(30):
            await follower.start()
        yield index, follower
    finally:
        await follower.stop()


@pytest.mark.kafka
async def test_is_ready_when_it_has_all_that_is_on_the_topic(topic: Topic) -> None:
    many = [subscription() for _ in range(3000)]
    topic.put(*many)
    topic.put(*(replace(each, version=2) for each in many[:1000]))
    topic.write(*((each.id, None) for each in many[2000:]))
    async with following(topic) as (index, _):
        assert len(index) == 2000
        assert index.settings_of(many[0].id) == replace(many[0], version=2)
        assert index.settings_of(many[1500].id) == many[1500]
        assert index.settings_of(many[2500].id) is None


@pytest.mark.kafka
async def test_an_empty_topic_is_ready_at_once(topic: Topic) -> None:
    async with following(topic) as (index, _):
        assert len(index) == 0


@pytest.mark.kafka
async def test_follows_changes_and_deletions(topic: Topic) -> None:
    own = subscription()
    async with following(topic) as (index, follower), asyncio.timeout(30):
        topic.put(own)
        await follower.caught_up()
        assert index.settings_of(own.id) == own
        topic.put(replace(own, version=2, enabled=False))
        await follower.caught_up()
        assert index.settings_of(own.id) == replace(own, version=2, enabled=False)
        topic.write((own.id, None))
        await follower.caught_up()
        assert index.settings_of(own.id) is None


@pytest.mark.kafka
@pytest.mark.parametrize("abort_last", [False, True])
async def test_offsets_without_records_at_the_end_hold_nothing_up(topic: Topic, abort_last: bool) -> None:
    own, other = subscription(), subscription()
    committed: list[tuple[str, bytes | None]] = [(own.id, encode(own))]
    topic.write_in_transactions(committed, [(other.id, encode(other))], abort_last=abort_last)
    async with following(topic) as (index, _):
        assert index.settings_of(own.id) == own
        assert (index.settings_of(other.id) is None) is abort_last


@pytest.mark.kafka
async def test_a_partition_of_which_no_record_is_left_holds_nothing_up(topic: Topic) -> None:
    own = subscription()
    topic.write_in_transactions([(own.id, encode(own))], abort_last=True)
    async with following(topic) as (index, _):
        assert len(index) == 0


@pytest.mark.kafka
async def test_what_nobody_can_read_is_reported_and_stops_nothing(topic: Topic) -> None:
    own = subscription()
    unreadable: list[tuple[bytes | str | None, bytes | None, str]] = []

    def note(message: Message, error: UnreadableRecord) -> None:
        unreadable.append((message.key(), message.value(), str(error)))

    topic.write(("sub_bad", b"\x00not Avro"), (own.id, encode(own)), ("sub_bad2", encode(own)[:-1]))
    async with following(topic, note) as (index, _):
        assert index.settings_of(own.id) == own
        assert len(index) == 1
    assert sorted(key or b"" for key, _, _ in unreadable) == [b"sub_bad", b"sub_bad2"]
    assert {value for _, value, _ in unreadable} == {b"\x00not Avro", encode(own)[:-1]}


@pytest.mark.kafka
async def test_a_version_that_another_worker_has_read_is_waited_for(topic: Topic) -> None:
    own = subscription()
    topic.put(own)
    async with following(topic) as (_, follower), asyncio.timeout(30):
        assert await follower.current(own.id, 1) == own
        topic.put(replace(own, version=2))
        assert await follower.current(own.id, 2) == replace(own, version=2)
        assert await follower.current(own.id, 1) == replace(own, version=2)


@pytest.mark.kafka
async def test_what_is_not_there_when_all_was_read_does_not_exist(topic: Topic) -> None:
    own = subscription()
    topic.put(own)
    async with following(topic) as (_, follower), asyncio.timeout(30):
        topic.write((own.id, None))
        assert await follower.current(own.id, 2) is None
        assert await follower.current(new_subscription_id(), 1) is None


@pytest.mark.kafka
async def test_an_older_version_than_asked_for_is_returned_when_there_is_no_newer_one(topic: Topic) -> None:
    """A delivery may name a version whose record was lost with its topic: the settings that there are serve it."""
    own = subscription()
    topic.put(own)
    async with following(topic) as (_, follower), asyncio.timeout(30):
        assert await follower.current(own.id, 9) == own


@pytest.mark.slow
async def test_stops_while_kafka_is_away() -> None:
    handover = Handover(asyncio.get_running_loop())
    config = {"bootstrap.servers": "127.0.0.1:1", "log_level": "0"}
    follower = IndexFollower(SubscriptionIndex(), config, handover, on_unreadable=lambda *_: None)
    starting = asyncio.create_task(follower.start())
    await asyncio.sleep(0.1)
    async with asyncio.timeout(SLOW_MACHINE_S):
        await follower.stop()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting


@pytest.mark.kafka
@pytest.mark.parametrize("abort_last", [False, True])
async def test_the_metrics_say_how_far_it_has_followed(topic: Topic, abort_last: bool) -> None:
    own, other = subscription(), subscription()
    async with following(topic) as (_, follower), asyncio.timeout(30):
        assert (set(followed(topic).values()), followed(topic).keys()) == ({0}, topic.ends().keys())
        topic.put(own)
        topic.write((other.id, b"\x00 nobody reads this"))
        topic.write_in_transactions([(own.id, None)], [(other.id, None)], abort_last=abort_last)
        await follower.caught_up()
        assert followed(topic) == topic.ends()


def followed(topic: Topic) -> dict[str, float]:
    """Return what the metrics say of the topic, by partition."""
    samples = [sample for family in FOLLOWED.collect() for sample in family.samples]
    return {each.labels["partition"]: each.value for each in samples if each.labels["topic"] == topic.name}
