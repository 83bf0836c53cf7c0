"""`hookline topics apply`: the topics become what `schemas.topics` declares, and nothing else is touched.

What is missing is created, settings that differ are altered one by one. A partition count is never changed: a key would
move to another partition while its records are on their way. All of that is checked before anything is done.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined] # re-exported without __all__
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    PartitionMetadata,
    ResourceType,
)

from processors.settings import WorkerSettings
from producers.settings import KafkaSettings
from schemas.errors import HooklineError
from schemas.topics import Topic, declared_topics

LEADERS_WITHIN_S: Final = 30.0
_TIMEOUT_S: Final = 5.0
# Once it has answered: a broker that makes dozens of partitions on a slow disk tells nothing for seconds.
_BUSY_S: Final = 30.0
_LOOK_EVERY_S: Final = 0.1

Found = TypeVar("Found")


class TopicsError(HooklineError):
    """The topics cannot be read or made what they must be."""


class PartitionsDiffer(TopicsError):
    """A topic has another number of partitions than the settings say."""

    def __init__(self, topic: str, *, has: int, wanted: int) -> None:
        super().__init__(
            f"{topic} has {has} partitions and HOOKLINE_PARTITIONS says {wanted}: the count is fixed when a topic is "
            f"created, because its keys would move. Set HOOKLINE_PARTITIONS={has}, or make a new generation of topics "
            "on an empty cluster and drain this one"
        )
        self.topic, self.has, self.wanted = topic, has, wanted


@dataclass(frozen=True, slots=True)
class ExistingTopic:
    """A topic as Kafka has it; `config` holds all settings, defaults included."""

    name: str
    partitions: int
    replication_factor: int
    config: Mapping[str, str]
    leaderless: int = 0


@dataclass(frozen=True, slots=True)
class Altered:
    """A setting of a topic that is not what was declared; `was` is None when Kafka does not tell."""

    topic: str
    setting: str
    was: str | None
    becomes: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What makes the topics as declared; `hints` are differences that nothing is done about."""

    created: list[Topic] = field(default_factory=list)
    altered: list[Altered] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.created or self.altered)


class Brokers(AdminClient):
    """A client for asking and telling the brokers at `place`; it prints nothing, its errors say it all."""

    def __init__(self, kafka: KafkaSettings) -> None:
        super().__init__({**kafka.client_config(), "log_level": 0})
        self.place = kafka.bootstrap_servers

    def answer(self, ask: Callable[[], Found]) -> Found:
        """Return what `ask` returns; raises TopicsError where it raises KafkaException."""
        try:
            return ask()
        except KafkaException as error:
            said = error.args[0].str()
            raise TopicsError(f"Kafka at {self.place} does not answer as it should: {said}") from error


def topics_of(settings: WorkerSettings) -> list[Topic]:
    """Return the topics that these settings declare."""
    return declared_topics(
        settings.retry_waits.tiers,
        partitions=settings.partitions,
        replication_factor=settings.replication_factor,
        events_retention=timedelta(days=settings.events_retention_days),
    )


def changes_to(existing: Mapping[str, ExistingTopic], declared: Sequence[Topic]) -> Changes:
    """Return what is to be done; raises PartitionsDiffer when a topic's partition count is another."""
    changes = Changes()
    for topic in declared:
        found = existing.get(topic.name)
        if found is None:
            changes.created.append(topic)
            continue
        if found.partitions != topic.partitions:
            raise PartitionsDiffer(topic.name, has=found.partitions, wanted=topic.partitions)
        if found.replication_factor != topic.replication_factor:
            changes.hints.append(
                f"{topic.name} has {found.replication_factor} copies and HOOKLINE_REPLICATION_FACTOR says "
                f"{topic.replication_factor}: move it with kafka-reassign-partitions"
            )
        changes.altered.extend(
            Altered(topic.name, setting, found.config.get(setting), value)
            for setting, value in topic.config.items()
            if found.config.get(setting) != value
        )
    return changes


def apply_topics(settings: WorkerSettings, kafka: KafkaSettings) -> Changes:
    """Make the topics what the settings declare, wait until all have leaders, and return what was done.

    Doing it again does nothing. Raises PartitionsDiffer before anything is done, TopicsError when Kafka refuses or
    does not answer.
    """
    declared = topics_of(settings)
    brokers = Brokers(kafka)
    done = planned_changes(brokers, declared)
    _create(brokers, done.created)
    _alter(brokers, done.altered)
    _wait_for_leaders(brokers, [topic.name for topic in declared])
    return done


def planned_changes(brokers: Brokers, declared: Sequence[Topic]) -> Changes:
    """Return what `apply_topics` would do."""
    return changes_to(existing_topics(brokers, [topic.name for topic in declared]), declared)


def existing_topics(
    brokers: Brokers, names: Sequence[str] | None = None, *, timeout_s: float = _TIMEOUT_S
) -> dict[str, ExistingTopic]:
    """Return those of `names` that exist, or every `hookline.` topic; raises TopicsError when Kafka does not answer."""
    metadata = brokers.answer(lambda: brokers.list_topics(timeout=timeout_s)).topics
    wanted = [name for name in metadata if name.startswith("hookline.")] if names is None else names
    present = [name for name in sorted(wanted) if name in metadata]
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in present]
    answers = brokers.describe_configs(resources, request_timeout=timeout_s) if resources else {}
    configs = {resource.name: brokers.answer(answer.result) for resource, answer in answers.items()}
    return {
        name: ExistingTopic(
            name,
            partitions=len(metadata[name].partitions),
            replication_factor=len(metadata[name].partitions[0].replicas),
            config={entry.name: entry.value for entry in configs[name].values()},
            leaderless=sum(partition.leader < 0 for partition in metadata[name].partitions.values()),
        )
        for name in present
    }


def _create(brokers: Brokers, topics: Sequence[Topic]) -> None:
    if not topics:
        return
    new = [
        NewTopic(
            topic.name,
            num_partitions=topic.partitions,
            replication_factor=topic.replication_factor,
            config=topic.config,
        )
        for topic in topics
    ]
    for name, answer in brokers.create_topics(new, request_timeout=_BUSY_S).items():
        try:
            answer.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # somebody else was applying them too
                raise TopicsError(f"Kafka refuses to create {name}: {error.args[0].str()}") from error


def _alter(brokers: Brokers, altered: Sequence[Altered]) -> None:
    resources: dict[str, ConfigResource] = {}
    for change in altered:
        resource = resources.setdefault(change.topic, ConfigResource(ResourceType.TOPIC, change.topic))
        resource.add_incremental_config(
            ConfigEntry(change.setting, change.becomes, incremental_operation=AlterConfigOpType.SET)
        )
    if not resources:
        return
    answers = brokers.incremental_alter_configs(list(resources.values()), request_timeout=_BUSY_S)
    for resource, answer in answers.items():
        try:
            answer.result()
        except KafkaException as error:
            raise TopicsError(f"Kafka refuses to alter {resource.name}: {error.args[0].str()}") from error


def _wait_for_leaders(brokers: Brokers, names: Sequence[str]) -> None:
    """Return when every partition is served. Metadata names a leader before that broker knows that it is one."""
    deadline = time.monotonic() + LEADERS_WITHIN_S
    while True:
        found = brokers.answer(lambda: brokers.list_topics(timeout=_BUSY_S)).topics
        waiting = [name for name in names if name not in found or _leaderless(found[name].partitions.values())]
        waiting = waiting or _unserved(brokers, {name: len(found[name].partitions) for name in names})
        if not waiting:
            return
        if time.monotonic() > deadline:
            raise TopicsError(f"{', '.join(waiting)}: no leader after {LEADERS_WITHIN_S:.0f} s; are all brokers up?")
        time.sleep(_LOOK_EVERY_S)


def _unserved(brokers: Brokers, partitions: Mapping[str, int]) -> list[str]:
    """Return the topics with a partition whose leader does not tell its end."""
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call] # confluent-kafka leaves it untyped
    asked = {TopicPartition(name, number): latest for name, count in partitions.items() for number in range(count)}
    unserved = []
    for place, answer in brokers.list_offsets(asked, request_timeout=_BUSY_S).items():
        try:
            answer.result()
        except KafkaException:  # told by name if it stays so
            unserved.append(place.topic)
    return sorted(set(unserved))


def _leaderless(partitions: Collection[PartitionMetadata]) -> bool:
    return not partitions or any(partition.leader < 0 for partition in partitions)
