"""The topics as they must be."""

import re
from datetime import timedelta

import pytest

from schemas.topics import (
    ATTEMPTS,
    BEHIND,
    CLOUDEVENTS,
    DEAD_LETTERS,
    DELIVER,
    EVENT_TYPES,
    EVENTS,
    FILTER_ERRORS,
    QUARANTINE,
    REPLAY,
    ROUNDS,
    SUBSCRIPTIONS,
    declared_topics,
    retry_topic,
)
from schemas.waits import DEFAULT_WAITS, parse_schedule

TIERS = parse_schedule(DEFAULT_WAITS).tiers
DAY_MS = 86_400_000


def test_there_are_these() -> None:
    retries = [f"hookline.retry.{name}" for name in ("1m", "5m", "15m", "1h", "6h", "24h")]
    assert [topic.name for topic in declared_topics(TIERS)] == [
        *(EVENTS, CLOUDEVENTS, DELIVER, REPLAY, ATTEMPTS, DEAD_LETTERS, QUARANTINE, FILTER_ERRORS),
        *(SUBSCRIPTIONS, EVENT_TYPES, ROUNDS, BEHIND),
        *retries,
    ]


def test_all_have_one_partition_count_and_names_that_kafka_takes() -> None:
    for topic in declared_topics(TIERS, partitions=12, replication_factor=3):
        assert (topic.partitions, topic.replication_factor) == (12, 3)
        assert re.fullmatch(r"[a-z0-9.-]{1,249}", topic.name)  # no underscore: Kafka's metrics take it for a dot


@pytest.mark.parametrize(
    ("name", "kept_ms"),
    [
        (EVENTS, 14 * DAY_MS),
        (DEAD_LETTERS, 14 * DAY_MS),
        ("hookline.retry.1m", 7 * DAY_MS + 60_000),
        ("hookline.retry.24h", 8 * DAY_MS),
    ],
)
def test_a_topic_keeps_its_records_longer_than_they_wait(name: str, kept_ms: int) -> None:
    config = {topic.name: topic.config for topic in declared_topics(TIERS)}[name]
    assert config["retention.ms"] == str(kept_ms)
    assert config["cleanup.policy"] == "delete"


def test_the_retention_of_events_is_a_setting() -> None:
    topics = declared_topics(TIERS, events_retention=timedelta(days=1))
    assert {topic.name: topic.config for topic in topics}[EVENTS]["retention.ms"] == str(DAY_MS)


@pytest.mark.parametrize("name", [SUBSCRIPTIONS, EVENT_TYPES])
def test_states_are_compacted_and_never_deleted_by_time(name: str) -> None:
    config = {topic.name: topic.config for topic in declared_topics(TIERS)}[name]
    assert config["cleanup.policy"] == "compact"
    assert "retention.ms" not in config


def test_the_broker_stamps_what_the_log_files_by_day_and_nothing_else() -> None:
    """Elsewhere the mover and the skip set go by the time that the producer wrote."""
    stamped = [
        topic.name for topic in declared_topics(TIERS) if topic.config.get("message.timestamp.type") == "LogAppendTime"
    ]
    assert stamped == [EVENTS, CLOUDEVENTS, ATTEMPTS]


@pytest.mark.parametrize(
    ("waits", "events_days", "kept_days"),
    [
        (DEFAULT_WAITS, 14, 14),
        (DEFAULT_WAITS, 1, 8),  # a record of an earlier round may be in the tier of 24h until then
        ("7d", 1, 14),
    ],
)
def test_a_current_round_is_kept_for_as_long_as_an_earlier_one_may_wait(
    waits: str, events_days: int, kept_days: int
) -> None:
    topics = declared_topics(parse_schedule(waits).tiers, events_retention=timedelta(days=events_days))
    config = {topic.name: topic.config for topic in topics}[ROUNDS]
    assert config["cleanup.policy"] == "compact,delete"
    assert config["retention.ms"] == str(kept_days * DAY_MS)


@pytest.mark.parametrize(("replicas", "in_sync"), [(1, None), (2, None), (3, "2"), (5, "2")])
def test_three_replicas_go_on_with_two(replicas: int, in_sync: str | None) -> None:
    for topic in declared_topics(TIERS, replication_factor=replicas):
        assert topic.config.get("min.insync.replicas") == in_sync


def test_every_topic_takes_the_largest_record_of_the_producer() -> None:
    assert {topic.config["max.message.bytes"] for topic in declared_topics(TIERS)} == {"2097152"}


def test_a_tier_is_named_by_its_duration() -> None:
    assert retry_topic(timedelta(seconds=90)) == "hookline.retry.90s"
