"""The projector: what is on the topics goes into PostgreSQL, once.

A plain consumer whose offsets are in `log_positions`. It holds the same partitions of every topic (Kafka's range
assignor, one partition count), so that a delivery's records come to one projector. While PostgreSQL is away it stays in
its group and holds one batch; while Kafka is away it waits. Neither ends it.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import asyncpg
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from sqlalchemy.exc import SQLAlchemyError

from api.errors import ApiError
from api.projection.disabling import Limits
from api.projection.metrics import (
    BATCH_SECONDS,
    LAG_RECORDS,
    LAG_SECONDS,
    QUARANTINED,
    RECORDS,
    REFUSED,
    UNREADABLE,
)
from api.projection.positions import Identities, Move, Partition, Refused, identities_of
from api.projection.reading import Fetched, Poison, Seen, Topics, fetched_of, quarantined_here, seen_in
from api.projection.writing import Batch, Writer, projecting_engine

log = structlog.get_logger("api.projection")

GROUP: Final = "hookline-projector"
MOST_RECORDS: Final = 2000
_POLL_S: Final = 0.1  # so that `stop` is noticed
# From one batch to the next, so that the first record after a quiet moment is written at once. Each batch costs some ms
# of this process and of PostgreSQL, whatever is in it: with 10 ms the log cost more than the deliveries at 200/s.
_LINGER_S: Final = 0.1
_HOUSEKEEPING_S: Final = 1.0
_LOOK_AT_TOPICS_S: Final = 10.0
_SHORTEST_BACKOFF_S: Final = 0.05
_LONGEST_BACKOFF_S: Final = 2.0
_SAY_AGAIN_AFTER_S: Final = 10.0
# What is wrong with a value and not with the database: other records may be fine.
_OF_THE_DATA: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    OverflowError,
    UnicodeError,
)
_AWAY: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, SQLAlchemyError)
Answer = TypeVar("Answer")


class ThrownOut(ApiError):
    """Another projector has this one's slot."""


class _Revoked(Exception):
    """The partitions are not ours any more, or the process is to end: whoever has them next reads the batch again."""


class Projector:
    """Projects until it is stopped."""

    def __init__(
        self,
        database_url: str,
        kafka: Mapping[str, str],
        *,
        limits: Limits | None = None,
        topics: Topics | None = None,
        group: str = GROUP,
        slot: str = "0",
        most_records: int = MOST_RECORDS,
        database_wait_s: float = 5.0,
        database_query_s: float = 10.0,
    ) -> None:
        """Prepare; `run` connects.

        `kafka` is KafkaSettings.client_config(). Each projector that runs at one time has its own `slot`: a second one
        with the same is thrown out by the broker, and its `run` raises.
        """
        self._kafka = dict(kafka)
        self._topics = topics or Topics()
        self._group = group
        self._member = f"hookline-projector-{slot}-{_hash_of(self._topics.names)}"
        self._most_records = most_records
        self._engine = projecting_engine(database_url, wait_s=database_wait_s, query_s=database_query_s)
        self._writer = Writer(self._engine, limits or Limits(), behind=self._topics.behind)
        self._thread = ThreadPoolExecutor(1, "projector")  # librdkafka's consumer is polled by one thread
        self._assigned: list[Partition] = []
        self._next: dict[Partition, int] = {}
        self._identities: Identities | None = None
        self._generation = 0  # of the assignment
        self._is_placed = False
        self._paused = False
        self._wrote_at = self._kept_at = self._looked_at = 0.0
        self._last_appended_at = 0.0
        self._uncommitted = False
        self._said: dict[str, float] = {}
        self._stopping = False
        self._failure: ThrownOut | None = None
        self._consumer: Consumer
        self._admin: AdminClient
        self.placed = asyncio.Event()
        """Set once it has partitions and knows where to begin."""

    async def run(self) -> None:
        """Project until `stop`, the batch at hand included; raises ThrownOut when the broker throws this one out."""
        self._admin = AdminClient({**self._kafka, "log_level": "0"})
        self._consumer = Consumer(self._consumer_config())
        try:
            self._consumer.subscribe(
                self._topics.names, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
            )
            log.info("projector.started", member=self._member, topics=self._topics.names)
            while not self._stopping:
                await self._turn()
        finally:
            await self._leave()
        log.info("projector.stopped")

    def stop(self) -> None:
        """Have `run` return soon."""
        self._stopping = True

    async def _turn(self) -> None:
        """Read, write, look after the rest."""
        fetched = await self._call(self._read)
        if self._failure is not None:
            raise self._failure
        try:
            if self._assigned and not self._is_placed:
                await self._place()
            elif fetched:
                await self._project(fetched)
        except _Revoked:
            return
        await self._keep_house()

    def _read(self) -> list[Fetched]:
        """Return what there is to read; waits for the first record, and a little for more."""
        first = self._consumer.poll(_POLL_S)
        if first is None:
            return []
        time.sleep(max(0.0, min(self._wrote_at + _LINGER_S - time.monotonic(), _LINGER_S)))
        fetched: list[Fetched] = []
        for message in (first, *self._consumer.consume(self._most_records - 1, 0)):
            error = message.error()
            if error is not None:
                self._on_error(error)
            else:
                fetched.append(fetched_of(message))
        return fetched if self._is_placed else []

    async def _project(self, fetched: Sequence[Fetched]) -> None:
        """Write what was read; what was written before is left out."""
        new = [one for one in fetched if one.offset >= self._next.get((one.topic, one.partition), one.offset + 1)]
        if len(new) < len(fetched):
            self._looked_at = 0.0  # offsets that went back: a topic may have been made anew
        if not new:
            return
        began = time.monotonic()
        await self._write(new)
        self._wrote_at = began
        self._last_appended_at = new[-1].appended_at.timestamp()
        BATCH_SECONDS.observe(time.monotonic() - began)

    async def _write(self, fetched: Sequence[Fetched]) -> None:
        """Write records, apart from those that PostgreSQL will not have: each of them goes into the quarantine."""
        seen = [seen_in(one, self._topics) for one in fetched]
        try:
            try:
                await self._write_seen(fetched, seen)
            except asyncpg.UniqueViolationError:
                await self._write_seen(fetched, seen, known_rows=True)
        except _OF_THE_DATA as error:
            if len(fetched) == 1:
                await self._write_seen(fetched, [quarantined_here(fetched[0], error)])
                self._note_quarantined(fetched[0], error)
                return
            middle = len(fetched) // 2
            await self._write(fetched[:middle])
            await self._write(fetched[middle:])

    async def _write_seen(self, fetched: Sequence[Fetched], seen: Sequence[Seen], *, known_rows: bool = False) -> None:
        poison = [one for one in seen if isinstance(one, Poison)]
        # Workers put unreadable events and deliveries into the quarantine; nobody but us judges outcomes and cursors.
        kept = [
            quarantined_here(one.fetched, one.error)
            if isinstance(one, Poison) and one.fetched.topic in self._topics.judged_here
            else one
            for one in seen
        ]
        batch = Batch(kept, self._moves(fetched))
        try:
            await self._until_there("postgresql", lambda: self._writer.write(batch, known_rows=known_rows))
        except Refused as error:
            REFUSED.inc()
            log.error("projection.refused", error=str(error))
            self._is_placed = False
            raise _Revoked from error
        for move in batch.moves:
            self._next[move.topic, move.partition] = move.upto
        self._uncommitted = True
        for one in fetched:
            RECORDS.labels(topic=one.topic).inc()
        for bad in poison:
            UNREADABLE.labels(topic=bad.fetched.topic).inc()
            if bad.fetched.topic in self._topics.judged_here:
                self._note_quarantined(bad.fetched, bad.error)

    def _moves(self, fetched: Sequence[Fetched]) -> list[Move]:
        assert self._identities is not None  # noqa: S101 - it is placed
        upto = {(one.topic, one.partition): one.offset + 1 for one in fetched}
        ids = self._identities.topic_ids
        return [Move(*place, self._next[place], offset, ids[place[0]]) for place, offset in upto.items()]

    async def _place(self) -> None:
        """Begin where the table says: on every assignment, and when a batch was refused."""
        generation, partitions = self._generation, list(self._assigned)
        names = self._topics.names
        identities = await self._until_there("kafka", lambda: asyncio.to_thread(identities_of, self._admin, names))
        positions = await self._until_there("postgresql", lambda: self._writer.positions(partitions, identities))
        if generation != self._generation:
            raise _Revoked
        self._identities, self._next = identities, positions
        self._looked_at = time.monotonic()
        places = [TopicPartition(topic, number, offset) for (topic, number), offset in positions.items()]
        await self._call(lambda: self._begin_at(places))
        self._is_placed, self._paused = True, False
        self.placed.set()
        log.info("projector.placed", partitions=len(places))

    def _begin_at(self, places: list[TopicPartition]) -> None:
        self._consumer.assign(places)
        self._consumer.resume(places)  # what was paused stays paused when it is assigned anew

    async def _until_there(self, name: str, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return what `ask` does, however long Kafka or PostgreSQL is away; stays in the group meanwhile."""
        backoff_s, generation, waited = _SHORTEST_BACKOFF_S, self._generation, False
        while True:
            try:
                answer = await ask()
            except (Refused, *_OF_THE_DATA):
                raise
            except (KafkaException, *_AWAY) as error:
                self._say("projection.waiting", waits_for=name, error=_said(error))
                waited = True
                await self._stay(backoff_s)
                backoff_s = min(backoff_s * 2, _LONGEST_BACKOFF_S)
                if generation != self._generation or self._stopping:
                    raise _Revoked from error
            else:
                if waited:
                    log.info("projection.going_on", waited_for=name)
                await self._resume()
                return answer

    async def _stay(self, seconds: float) -> None:
        """Wait, and be polled: a consumer that is not is thrown out of its group after five minutes."""
        deadline = time.monotonic() + seconds
        if self._is_placed and not self._paused:
            await self._call(lambda: self._consumer.pause(self._places()))
            self._paused = True
        while not self._stopping and time.monotonic() < deadline:
            message = await self._call(lambda: self._consumer.poll(min(_POLL_S, seconds)))
            if message is not None and (error := message.error()) is not None:
                self._on_error(error)
            elif message is not None:
                self._is_placed = False  # it was on its way when its partition was paused; it is read again
            if self._failure is not None:
                raise self._failure

    async def _resume(self) -> None:
        if self._paused and self._is_placed:
            await self._call(lambda: self._consumer.resume(self._places()))
        self._paused = False

    def _places(self) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for topic, number in self._assigned]

    async def _keep_house(self) -> None:
        """Once in a while: commit for those who look at lag, measure it, see whether the topics are still the same."""
        now = time.monotonic()
        if now - self._kept_at >= _HOUSEKEEPING_S:
            self._kept_at = now
            await self._call(self._commit)
            self._measure_lag()
        if self._is_placed and now - self._looked_at >= _LOOK_AT_TOPICS_S:
            self._looked_at = now
            await self._look_at_topics()
            await self._look_at_those_behind()

    def _commit(self, *, wait: bool = False) -> None:
        if not (self._uncommitted and self._is_placed):
            return
        offsets = [TopicPartition(*place, offset) for place, offset in self._next.items()]
        try:
            if wait:
                self._consumer.commit(offsets=offsets, asynchronous=False)
            else:
                self._consumer.commit(offsets=offsets, asynchronous=True)
            self._uncommitted = False
        except KafkaException as error:
            self._say("projection.not_committed", error=str(error))

    def _measure_lag(self) -> None:
        lag = dict.fromkeys(self._topics.names, 0)
        for (topic, number), upto in self._next.items():
            try:
                _, end = self._consumer.get_watermark_offsets(TopicPartition(topic, number), cached=True)
            except KafkaException:
                continue  # nothing was fetched of it yet
            lag[topic] += max(0, end - upto)
        for topic, records in lag.items():
            LAG_RECORDS.labels(topic=topic).set(records)
        behind = sum(lag.values()) and self._last_appended_at
        LAG_SECONDS.set(max(0.0, time.time() - self._last_appended_at) if behind else 0)

    async def _look_at_topics(self) -> None:
        try:
            identities = await asyncio.to_thread(identities_of, self._admin, self._topics.names)
        except (KafkaException, OSError):
            return  # away; or one of them is gone, and may come back
        if identities != self._identities:
            self._is_placed = False

    async def _look_at_those_behind(self) -> None:
        try:
            await self._writer.measure(self._assigned)
        except _AWAY:
            return  # whoever writes next says so

    async def _call(self, call: Callable[[], Answer]) -> Answer:
        """Run a call of the consumer in its thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Note what is ours; nothing is read before PostgreSQL has said where to begin."""
        consumer.assign([])
        self._assigned = [(partition.topic, partition.partition) for partition in partitions]
        self._forget()

    def _on_revoke(self, consumer: Consumer, _: list[TopicPartition]) -> None:
        self._commit(wait=True)
        consumer.unassign()
        self._assigned = []
        self._forget()

    def _forget(self) -> None:
        self._generation += 1
        self._is_placed, self._paused = False, False
        self._next = {}

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal() or error.code() == KafkaError._FATAL:  # noqa: SLF001 - confluent-kafka's public name
            self._failure = ThrownOut(f"Kafka threw the projector {self._member} out: {error.str()}")
        self._say("kafka.error", error=error.str(), code=error.name())

    def _say(self, event: str, **details: str) -> None:
        """Log a warning, each kind once in 10 s: while something is away it is found so again and again."""
        kind, now = event + details.get("waits_for", details.get("code", "")), time.monotonic()
        if now - self._said.get(kind, -_SAY_AGAIN_AFTER_S) >= _SAY_AGAIN_AFTER_S:
            self._said[kind] = now
            log.warning(event, **details)

    def _note_quarantined(self, fetched: Fetched, error: Exception) -> None:
        QUARANTINED.inc()
        log.warning(
            "record.quarantined",
            topic=fetched.topic,
            partition=fetched.partition,
            offset=fetched.offset,
            error=type(error).__name__,
        )

    async def _leave(self) -> None:
        """Commit and go; a static member's partitions wait for it for a session timeout."""
        await self._call(lambda: self._commit(wait=True))
        await self._call(self._consumer.close)
        self._thread.shutdown()
        await self._engine.dispose()

    def _consumer_config(self) -> dict[str, object]:
        return {
            **self._kafka,
            "group.id": self._group,
            "group.instance.id": self._member,
            "session.timeout.ms": 7000,  # a killed projector's partitions stand still for so long unless it comes back
            "heartbeat.interval.ms": 2000,
            "partition.assignment.strategy": "range",  # the only one that gives the same numbers of every topic
            "auto.offset.reset": "earliest",  # what retention took meanwhile is skipped
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "error_cb": self._on_error,
            "log_level": 2,  # what librdkafka would write to standard error comes to error_cb as well
            # Not an answer for every record: at 200 deliveries/s that was most of what the broker did.
            "fetch.min.bytes": 65_536,
            "fetch.wait.max.ms": 50,
            "fetch.queue.backoff.ms": 10,  # the default lets a full local queue stand for a second
            "queued.max.messages.kbytes": 16_384,
            "reconnect.backoff.max.ms": 1000,
            "topic.metadata.refresh.interval.ms": 30_000,
        }


def _said(error: Exception) -> str:
    """Return what a failure says, in one line; what a driver puts into its text may be of a record."""
    if isinstance(error, asyncpg.PostgresError):
        return f"{type(error).__name__} {error.sqlstate}"
    return (
        f"{type(error).__name__}: {error.args[0].str()}" if isinstance(error, KafkaException) else type(error).__name__
    )


def _hash_of(topics: Sequence[str]) -> str:
    # A static member that comes back with one more topic causes no rebalance: nobody would read it (FAUST.md, F17).
    return hashlib.sha256(",".join(sorted(topics)).encode()).hexdigest()[:8]
