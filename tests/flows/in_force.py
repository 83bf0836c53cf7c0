"""Until every worker of a stack knows what the API has stored: subscriptions, and organizations' event types.

A worker says in its metrics how far it has followed the topics that it keeps in memory. A stack that is started with
`METERED` serves them, each process on a free port of its own, which its log names.
"""

import asyncio
from collections.abc import Mapping
from typing import Final, TypeAlias

import asyncpg
import httpx
import orjson
from confluent_kafka import Consumer, KafkaException, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from compose.stack import Stack
from schemas.topics import EVENT_TYPES, SUBSCRIPTIONS

Places: TypeAlias = Mapping[tuple[str, int], int]
"""The next offset of each topic and partition."""

METERED: Final = {"HOOKLINE_METRICS_PORT": "0"}
_LOOK_EVERY_S: Final = 0.02


async def in_force(stack: Stack, *, within_s: float = 60) -> None:
    """Return when all that the API has answered is on Kafka, and every worker has taken it; M: 0.1 to 0.4 s."""
    async with asyncio.timeout(within_s):
        await _until_relayed(stack.database_url)
        while not (ends := await asyncio.to_thread(_ends, stack.bootstrap_servers)):  # noqa: ASYNC110 - of Kafka
            await asyncio.sleep(_LOOK_EVERY_S)
        async with httpx.AsyncClient(trust_env=False) as client:
            for slot in range(stack._workers):
                while not await _has_followed(client, stack, f"worker-{slot}", ends):  # noqa: ASYNC110 - of another process
                    await asyncio.sleep(_LOOK_EVERY_S)


def metrics_url(stack: Stack, name: str) -> str:
    """Return where a process of a stack that is `METERED` serves its metrics, since its last start."""
    lines = (stack.folder / "logs" / f"{name}.log").read_bytes().splitlines()
    line = next(line for line in reversed(lines) if b"metrics.serving" in line)
    return str(orjson.loads(line)["url"])


async def _until_relayed(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        newest = await connection.fetchval("SELECT max(id) FROM outbox")
        # The relay deletes a row when Kafka has it.
        while await connection.fetchval("SELECT EXISTS (SELECT FROM outbox WHERE id <= $1)", newest):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_EVERY_S)
    finally:
        await connection.close()


def _ends(bootstrap_servers: str) -> Places | None:
    """Return where the topics end, None while a partition is without a leader, which may be for a moment."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "tests"})
    try:
        topics = {name: consumer.list_topics(name, timeout=30).topics[name] for name in (SUBSCRIPTIONS, EVENT_TYPES)}
        places = [(name, each) for name, topic in topics.items() for each in topic.partitions]
        return {each: consumer.get_watermark_offsets(TopicPartition(*each), timeout=30)[1] for each in places}
    except KafkaException:
        return None
    finally:
        consumer.close()


async def _has_followed(client: httpx.AsyncClient, stack: Stack, name: str, ends: Places) -> bool:
    try:
        text = (await client.get(metrics_url(stack, name))).text
    except httpx.TransportError:  # it was killed a moment ago and starts again
        return False
    at = {
        (sample.labels["topic"], int(sample.labels["partition"])): sample.value
        for family in text_string_to_metric_families(text)
        if family.name == "hookline_followed_offset"
        for sample in family.samples
    }
    return all(at.get(place, -1) >= end for place, end in ends.items())
