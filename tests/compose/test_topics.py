"""Topics become what is declared: the difference as a pure function, the doing on the real Kafka."""

import json
from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compose.complaints import ExitCode
from compose.topics import (
    Altered,
    Brokers,
    ExistingTopic,
    PartitionsDiffer,
    TopicsError,
    _alter,
    apply_topics,
    changes_to,
    existing_topics,
    planned_changes,
    topics_of,
)
from processors.settings import WorkerSettings
from producers.settings import KafkaSettings
from schemas.topics import DEFAULT_PARTITIONS, EVENTS, Topic, declared_topics, retry_topic
from tests.compose.shell import NOWHERE, hookline

DECLARED = declared_topics([timedelta(seconds=1)])


def as_declared(topic: Topic) -> ExistingTopic:
    return ExistingTopic(topic.name, topic.partitions, topic.replication_factor, {**topic.config, "flush.ms": "1"})


def existing(*topics: Topic) -> dict[str, ExistingTopic]:
    return {topic.name: as_declared(topic) for topic in topics}


@given(st.sets(st.sampled_from([topic.name for topic in DECLARED])))
def test_creates_exactly_what_is_missing(present: set[str]) -> None:
    changes = changes_to(existing(*(topic for topic in DECLARED if topic.name in present)), DECLARED)
    assert {topic.name for topic in changes.created} == {topic.name for topic in DECLARED} - present
    assert not changes.altered


def test_nothing_is_to_be_done_when_all_is_as_declared() -> None:
    assert not changes_to(existing(*DECLARED), DECLARED)


def test_alters_only_the_settings_that_are_declared_and_differ() -> None:
    [topic] = [topic for topic in DECLARED if topic.name == EVENTS]
    found = ExistingTopic(
        EVENTS, topic.partitions, 1, {**topic.config, "retention.ms": "5", "compression.type": "zstd"}
    )
    changes = changes_to({EVENTS: found}, [topic])
    assert changes.altered == [Altered(EVENTS, "retention.ms", "5", topic.config["retention.ms"])]


def test_topics_that_are_not_declared_are_left_alone() -> None:
    older = Topic("hookline.retry.7m", 3, 1)
    assert not changes_to({**existing(*DECLARED), **existing(older)}, DECLARED)


@pytest.mark.parametrize("has", [1, 7, 9, 100])
def test_refuses_to_change_a_partition_count_and_says_what_to_do(has: int) -> None:
    found = existing(*DECLARED)
    found[EVENTS] = ExistingTopic(EVENTS, has, 1, DECLARED[0].config)
    with pytest.raises(PartitionsDiffer, match=f"HOOKLINE_PARTITIONS={has}.*new generation") as raised:
        changes_to(found, DECLARED)
    assert (raised.value.topic, raised.value.has, raised.value.wanted) == (EVENTS, has, DEFAULT_PARTITIONS)


def test_another_number_of_copies_is_a_hint_and_not_done() -> None:
    wanted = declared_topics([], replication_factor=3)
    found = {topic.name: ExistingTopic(topic.name, topic.partitions, 1, topic.config) for topic in wanted}
    changes = changes_to(found, wanted)
    assert not changes
    assert len(changes.hints) == len(wanted)


def settings_with(tier: str, **others: object) -> WorkerSettings:
    return WorkerSettings.model_validate({"retry_waits": tier, **others})


def unused_tier() -> str:
    return f"{uuid4().int % 500_000 + 1000}ms"


@pytest.mark.kafka
def test_applying_creates_once_and_then_does_nothing(bootstrap: str) -> None:
    kafka, settings = KafkaSettings(bootstrap_servers=bootstrap), settings_with(unused_tier())
    tier = retry_topic(settings.retry_waits.waits[0])
    assert tier in [topic.name for topic in apply_topics(settings, kafka).created]
    assert not apply_topics(settings, kafka)
    found = existing_topics(Brokers(kafka))
    for topic in topics_of(settings):
        assert found[topic.name].partitions == DEFAULT_PARTITIONS
        assert found[topic.name].leaderless == 0
        assert topic.config.items() <= found[topic.name].config.items()


@pytest.mark.kafka
def test_a_setting_that_differs_is_altered_and_the_others_stay(bootstrap: str) -> None:
    kafka, settings = KafkaSettings(bootstrap_servers=bootstrap), settings_with(unused_tier())
    apply_topics(settings, kafka)
    name = retry_topic(settings.retry_waits.waits[0])
    brokers = Brokers(kafka)
    before = existing_topics(brokers, [name])[name].config
    [declared] = [topic for topic in topics_of(settings) if topic.name == name]
    other = Topic(name, declared.partitions, 1, {**declared.config, "retention.ms": "86400000"})
    assert planned_changes(brokers, [other]).altered == [
        Altered(name, "retention.ms", before["retention.ms"], "86400000")
    ]
    # By the same edge that the command uses: another retention, told back by Kafka, and only that.
    _alter(brokers, planned_changes(brokers, [other]).altered)
    after = existing_topics(brokers, [name])[name].config
    assert after == {**before, "retention.ms": "86400000"}
    assert [change.setting for change in apply_topics(settings, kafka).altered] == ["retention.ms"]


@pytest.mark.kafka
def test_another_partition_count_is_refused_before_anything_is_done(bootstrap: str) -> None:
    kafka, tier = KafkaSettings(bootstrap_servers=bootstrap), unused_tier()
    apply_topics(settings_with("30s"), kafka)
    settings = settings_with(tier, partitions=9)
    with pytest.raises(PartitionsDiffer):
        apply_topics(settings, kafka)
    assert retry_topic(settings.retry_waits.waits[0]) not in existing_topics(Brokers(kafka))


@pytest.mark.kafka
def test_more_copies_than_brokers_is_a_clear_refusal(bootstrap: str) -> None:
    settings = settings_with(unused_tier(), replication_factor=7)
    with pytest.raises(TopicsError, match=r"Kafka refuses to create hookline\..*7"):
        apply_topics(settings, KafkaSettings(bootstrap_servers=bootstrap))


def test_kafka_away_is_an_error_that_says_where() -> None:
    with pytest.raises(TopicsError, match=NOWHERE):
        existing_topics(Brokers(KafkaSettings(bootstrap_servers=NOWHERE)), timeout_s=1)


@pytest.mark.kafka
def test_the_command_says_what_it_would_do_does_it_and_lists_it(bootstrap: str) -> None:
    tier = unused_tier()
    env = {"KAFKA_BOOTSTRAP_SERVERS": bootstrap, "HOOKLINE_RETRY_WAITS": tier}
    name = retry_topic(settings_with(tier).retry_waits.waits[0])
    dry = hookline("topics", "apply", "--dry-run", **env)
    assert f"would create {name}: 8 partitions" in dry.out
    assert f"created {name}" in hookline("topics", "apply", **env).out
    again = json.loads(hookline("topics", "apply", "--json", **env).out)
    assert again == {"dry_run": False, "created": [], "altered": [], "hints": []}
    listed = {each["name"]: each for each in json.loads(hookline("topics", "list", "--json", **env).out)["topics"]}
    assert listed[name]["partitions"] == 8
    refused = hookline("topics", "apply", HOOKLINE_PARTITIONS="9", **env)
    assert refused.code == ExitCode.FAILED
    assert "new generation of topics" in refused.complaint
