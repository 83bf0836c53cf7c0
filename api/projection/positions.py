"""How far the projection is, in `log_positions`: moved on in the transaction that writes what was read, or not at all.

Kafka knows offsets of a topic's name; a topic that was deleted and made anew has the name and none of the records. So
the cluster's and the topic's ids stand beside each offset.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

import asyncpg
import structlog
from confluent_kafka import TopicCollection
from confluent_kafka.admin import AdminClient, TopicDescription  # type: ignore[attr-defined] # re-exported

from schemas.errors import HooklineError

log = structlog.get_logger("api.projection")

Partition: TypeAlias = tuple[str, int]
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"  # generic in its stubs only

_ASK_TIMEOUT_S: Final = 3.0

_ADD: Final = """
INSERT INTO log_positions (topic, partition, next_offset, cluster_id, topic_id, updated_at)
SELECT topic, partition, 0, $3, topic_id, now() FROM unnest($1::text[], $2::int[], $4::text[])
    AS found(topic, partition, topic_id) ORDER BY topic, partition
ON CONFLICT DO NOTHING
"""
_READ: Final = """
SELECT p.topic, p.partition, p.next_offset, p.cluster_id, p.topic_id
FROM log_positions p JOIN unnest($1::text[], $2::int[]) AS found(topic, partition) USING (topic, partition)
"""
_BEGIN_ANEW: Final = """
UPDATE log_positions SET next_offset = 0, cluster_id = $3, topic_id = $4, updated_at = now()
WHERE topic = $1 AND partition = $2 AND (topic_id, cluster_id) IS DISTINCT FROM ($4, $3)
"""
_MOVE: Final = """
UPDATE log_positions AS p SET next_offset = m.upto, updated_at = now()
FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::text[]) AS m(topic, partition, expected, upto, id)
WHERE p.topic = m.topic AND p.partition = m.partition AND p.next_offset = m.expected AND p.topic_id = m.id
"""


class Refused(HooklineError):
    """Somebody else has written these records: this projector was thought dead, or there is one too many."""


@dataclass(frozen=True, slots=True)
class Identities:
    """Which cluster and which topics, by name, these are."""

    cluster_id: str
    topic_ids: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Move:
    """A partition's position moves from `expected` up to `upto`."""

    topic: str
    partition: int
    expected: int
    upto: int
    topic_id: str


def identities_of(admin: AdminClient, topics: Sequence[str]) -> Identities:
    """Return the ids of the cluster and of topics. Blocks for 3 s at most; raises KafkaException."""
    cluster = str(admin.list_topics(topics[0], timeout=_ASK_TIMEOUT_S).cluster_id)
    asked = admin.describe_topics(TopicCollection(list(topics)), request_timeout=_ASK_TIMEOUT_S)
    found = {name: cast("Future[TopicDescription]", future).result(_ASK_TIMEOUT_S) for name, future in asked.items()}
    return Identities(cluster, {name: str(topic.topic_id) for name, topic in found.items()})


async def positions_of(
    connection: Connection, partitions: Iterable[Partition], identities: Identities
) -> dict[Partition, int]:
    """Return the next offset of each partition, in the caller's transaction.

    One that was never read begins at 0. One of a topic that was made anew does too, under its new id.
    """
    wanted = sorted(partitions)
    topics, numbers = [topic for topic, _ in wanted], [number for _, number in wanted]
    ids = [identities.topic_ids[topic] for topic in topics]
    await connection.execute(_ADD, topics, numbers, identities.cluster_id, ids)
    positions: dict[Partition, int] = {}
    for row in await connection.fetch(_READ, topics, numbers):
        topic, number = row["topic"], row["partition"]
        now = (identities.topic_ids[topic], identities.cluster_id)
        positions[topic, number] = row["next_offset"]
        if (row["topic_id"], row["cluster_id"]) != now:
            log.error(
                "projection.topic_made_anew",
                topic=topic,
                partition=number,
                was=f"{row['cluster_id']}/{row['topic_id']}",
                now=f"{now[1]}/{now[0]}",
                next_offset=row["next_offset"],
            )
            await connection.execute(_BEGIN_ANEW, topic, number, identities.cluster_id, identities.topic_ids[topic])
            positions[topic, number] = 0
    return positions


async def move_on(connection: Connection, moves: Sequence[Move]) -> None:
    """Move positions on in the caller's transaction; raises Refused when one is not where it is expected."""
    ordered = sorted(moves, key=lambda move: (move.topic, move.partition))
    columns = (
        [move.topic for move in ordered],
        [move.partition for move in ordered],
        [move.expected for move in ordered],
        [move.upto for move in ordered],
        [move.topic_id for move in ordered],
    )
    moved = int((await connection.execute(_MOVE, *columns)).rpartition(" ")[2])
    if moved != len(ordered):
        raise Refused(f"{len(ordered) - moved} of {len(ordered)} partitions are not where this projector left them")
