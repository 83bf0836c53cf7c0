"""The projector's consumer: which partitions are its own, where it stands in each, and staying in the group meanwhile.

librdkafka's consumer is polled by one thread; what is told by callbacks is told in that thread, within a call.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from api.errors import ApiError
from api.projection.metrics import LAG_RECORDS
from api.projection.positions import Partition
from api.projection.reading import Fetched, fetched_of
from producers.consuming import Warnings, consumer_config, member_of, throws_out

log = structlog.get_logger("api.projection")

_POLL_S: Final = 0.1  # so that `stop` is noticed
# From one batch to the next, so that the first record after a quiet moment is written at once. Each batch costs some ms
# of this process and of PostgreSQL, whatever is in it: with 10 ms the log cost more than the deliveries at 200/s.
_LINGER_S: Final = 0.1
Answer = TypeVar("Answer")


class ThrownOut(ApiError):
    """Another projector has this one's slot."""


class LogConsumer:
    """Reads the same partitions of every topic, from where it is told to begin."""

    def __init__(
        self, kafka: Mapping[str, str], topics: Sequence[str], *, group: str, slot: str, most_records: int
    ) -> None:
        """Prepare; `open` connects."""
        self._topics = list(topics)
        self._most_records = most_records
        self._thread = ThreadPoolExecutor(1, "projector")
        self._warnings = Warnings(log)
        self._failure: ThrownOut | None = None
        self._paused = False
        self._uncommitted = False
        self._consumer: Consumer
        self.member = member_of("hookline-projector", slot, topics)
        self._config = {
            **consumer_config(kafka, group=group, member=self.member, on_error=self._on_error),
            "partition.assignment.strategy": "range",  # the only one that gives the same numbers of every topic
            # Not an answer for every record: at 200 deliveries/s that was most of what the broker did.
            "fetch.min.bytes": 65_536,
            "fetch.wait.max.ms": 50,
        }
        self.assigned: list[Partition] = []
        self.next: dict[Partition, int] = {}
        """The next offset of each partition, as PostgreSQL has it; whoever writes moves it on (`wrote`)."""
        self.generation = 0  # of the assignment
        self.is_placed = False

    def open(self) -> None:
        """Connect and join the group."""
        self._consumer = Consumer(self._config)
        self._consumer.subscribe(
            self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )

    async def close(self) -> None:
        """Commit and go; a static member's partitions wait for it for a session timeout."""
        await self._call(lambda: self._commit(wait=True))
        await self._call(self._consumer.close)
        self._thread.shutdown()

    async def read(self, *, wrote_at: float) -> list[Fetched]:
        """Return what there is to read; waits for the first record, and a little for more.

        `wrote_at` is when the last batch began to be written (time.monotonic()). Raises ThrownOut.
        """
        fetched = await self._call(lambda: self._read(wrote_at))
        self._check()
        return fetched

    async def begin_at(self, positions: Mapping[Partition, int]) -> None:
        """Read from these offsets on."""
        self.next = dict(positions)
        places = [TopicPartition(topic, number, offset) for (topic, number), offset in positions.items()]
        await self._call(lambda: self._begin_at(places))
        self.is_placed, self._paused = True, False

    async def stay(self, seconds: float, *, while_: Callable[[], bool]) -> None:
        """Wait, and be polled: a consumer that is not is thrown out of its group after five minutes."""
        deadline = time.monotonic() + seconds
        if self.is_placed and not self._paused:
            await self._call(lambda: self._consumer.pause(self._places()))
            self._paused = True
        while while_() and time.monotonic() < deadline:
            message = await self._call(lambda: self._consumer.poll(min(_POLL_S, seconds)))
            if message is not None and (error := message.error()) is not None:
                self._on_error(error)
            elif message is not None:
                self.is_placed = False  # it was on its way when its partition was paused; it is read again
            self._check()

    async def resume(self) -> None:
        """Go on with what `stay` paused."""
        if self._paused and self.is_placed:
            await self._call(lambda: self._consumer.resume(self._places()))
        self._paused = False

    def wrote(self, upto: Mapping[Partition, int]) -> None:
        """Note that PostgreSQL has what comes before these offsets."""
        self.next.update(upto)
        self._uncommitted = True

    async def commit(self) -> None:
        """Commit for those who look at lag: nobody begins there."""
        await self._call(self._commit)

    def measure_lag(self) -> int:
        """Say for Prometheus how many records of each topic are not written, and return how many in all."""
        lag = dict.fromkeys(self._topics, 0)
        for (topic, number), upto in self.next.items():
            try:
                _, end = self._consumer.get_watermark_offsets(TopicPartition(topic, number), cached=True)
            except KafkaException:
                continue  # nothing was fetched of it yet
            lag[topic] += max(0, end - upto)
        for topic, records in lag.items():
            LAG_RECORDS.labels(topic=topic).set(records)
        return sum(lag.values())

    def _read(self, wrote_at: float) -> list[Fetched]:
        first = self._consumer.poll(_POLL_S)
        if first is None:
            return []
        time.sleep(max(0.0, min(wrote_at + _LINGER_S - time.monotonic(), _LINGER_S)))
        fetched: list[Fetched] = []
        for message in (first, *self._consumer.consume(self._most_records - 1, 0)):
            error = message.error()
            if error is not None:
                self._on_error(error)
            else:
                fetched.append(fetched_of(message))
        return fetched if self.is_placed else []

    def _begin_at(self, places: list[TopicPartition]) -> None:
        self._consumer.assign(places)
        self._consumer.resume(places)  # what was paused stays paused when it is assigned anew

    def _commit(self, *, wait: bool = False) -> None:
        if not (self._uncommitted and self.is_placed):
            return
        offsets = [TopicPartition(*place, offset) for place, offset in self.next.items()]
        try:
            if wait:
                self._consumer.commit(offsets=offsets, asynchronous=False)
            else:
                self._consumer.commit(offsets=offsets, asynchronous=True)
            self._uncommitted = False
        except KafkaException as error:
            self._warnings.say("projection.not_committed", "", error=str(error))

    def _places(self) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for topic, number in self.assigned]

    async def _call(self, call: Callable[[], Answer]) -> Answer:
        """Run a call of the consumer in its thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Note what is ours; nothing is read before PostgreSQL has said where to begin."""
        consumer.assign([])
        self.assigned = [(partition.topic, partition.partition) for partition in partitions]
        self._forget()

    def _on_revoke(self, consumer: Consumer, _: list[TopicPartition]) -> None:
        self._commit(wait=True)
        consumer.unassign()
        self.assigned = []
        self._forget()

    def _forget(self) -> None:
        self.generation += 1
        self.is_placed, self._paused = False, False
        self.next = {}

    def _on_error(self, error: KafkaError) -> None:
        if throws_out(error):
            self._failure = ThrownOut(f"Kafka threw the projector {self.member} out: {error.str()}")
        self._warnings.say_error(error)
