"""The topics: one declaration of their names, settings and whether they share the partitions of subscriptions.

Deliver, replay, the retry tiers, attempts and the rest that is keyed by subscription id have one partition count and
one partitioner (murmur2), so that one worker holds a subscription's records of all of them and may keep state about it.
The count is fixed when they are created: a key must not move while its records are on their way.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from schemas.waits import duration_name

EVENTS: Final = "hookline.events"
CLOUDEVENTS: Final = "hookline.cloudevents"  # plain JSON, from services in any language
EVENT_TYPES: Final = "hookline.event-types"  # what organizations defined, compacted
FILTER_ERRORS: Final = "hookline.filter-errors"
DELIVER: Final = "hookline.deliver"
REPLAY: Final = "hookline.replay"
ROUNDS: Final = "hookline.rounds"
BEHIND: Final = "hookline.behind"
ATTEMPTS: Final = "hookline.attempts"
DEAD_LETTERS: Final = "hookline.dead-letters"
SUBSCRIPTIONS: Final = "hookline.subscriptions"
QUARANTINE: Final = "hookline.quarantine"
RETRY_PREFIX: Final = "hookline.retry."

PARTITIONER: Final = "murmur2_random"  # Java's and Faust's; confluent-kafka's own default is another (FAUST.md, F16)
DEFAULT_PARTITIONS: Final = 8
_BEYOND_THE_WAIT: Final = timedelta(days=7)  # how long movers may stand still before a tier forgets
LARGEST_DELIVERY_BYTES: Final = 1024 * 1024
"""Of the largest delivery that is sent on its way; it grows by its history, and its outcome by the answer."""
_LARGEST_RECORD_BYTES: Final = 2 * LARGEST_DELIVERY_BYTES
# The day under which the log files a record must not be a matter of some client's clock (schemas/ids.py, `filed_at`).
_STAMPED_BY_THE_BROKER: Final = {"message.timestamp.type": "LogAppendTime"}
_COMPACTED: Final = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1", "segment.ms": "3600000"}


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it must be; `config` holds Kafka's own setting names and values."""

    name: str
    partitions: int
    replication_factor: int
    config: dict[str, str] = field(default_factory=dict)


def retry_topic(wait: timedelta) -> str:
    """Return the name of the waiting tier of one duration, such as `hookline.retry.15m`."""
    return f"{RETRY_PREFIX}{duration_name(wait)}"


def declared_topics(
    tiers: Sequence[timedelta],
    *,
    partitions: int = DEFAULT_PARTITIONS,
    replication_factor: int = 1,
    events_retention: timedelta = timedelta(days=14),
) -> list[Topic]:
    """Return every topic that must exist for a schedule with these tiers."""
    kept = events_retention
    waiting = [(retry_topic(tier), _kept(tier + _BEYOND_THE_WAIT)) for tier in tiers]
    longest = max(tiers, default=timedelta(0)) + _BEYOND_THE_WAIT
    settings = {
        EVENTS: {**_kept(kept), **_STAMPED_BY_THE_BROKER},
        CLOUDEVENTS: {**_kept(kept), **_STAMPED_BY_THE_BROKER},
        DELIVER: _kept(kept),
        REPLAY: _kept(kept),
        ATTEMPTS: {**_kept(kept), **_STAMPED_BY_THE_BROKER},
        DEAD_LETTERS: _kept(kept),
        QUARANTINE: _kept(kept),
        FILTER_ERRORS: _kept(kept),
        SUBSCRIPTIONS: _COMPACTED,
        EVENT_TYPES: _COMPACTED,
        # A round is of interest for as long as a record of an earlier one may still be in a tier.
        ROUNDS: {**_kept(max(kept, longest)), "cleanup.policy": "compact,delete", "segment.ms": "3600000"},
        # What a worker that had lost its partitions wrote late must not make compaction drop what its successor wrote:
        # whoever has the partition reads it all along and writes its own again, an hour is plenty.
        BEHIND: {
            "cleanup.policy": "compact",
            "min.cleanable.dirty.ratio": "0.1",
            "segment.ms": "3600000",
            "min.compaction.lag.ms": "3600000",
        },
        **dict(waiting),
    }
    in_sync = {"min.insync.replicas": "2"} if replication_factor >= 3 else {}
    size = {"max.message.bytes": str(_LARGEST_RECORD_BYTES)}
    return [
        Topic(name, partitions, replication_factor, {**config, **size, **in_sync}) for name, config in settings.items()
    ]


def _kept(duration: timedelta) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(duration // timedelta(milliseconds=1))}
