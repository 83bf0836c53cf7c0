"""The projector: what is on the topics goes into PostgreSQL, once.

A plain consumer whose offsets are in `log_positions`. It holds the same partitions of every topic (Kafka's range
assignor, one partition count), so that a delivery's records come to one projector. While PostgreSQL is away it stays in
its group and holds one batch; while Kafka is away it waits. Neither ends it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

import asyncpg
import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from sqlalchemy.exc import SQLAlchemyError

from api.projection.consuming import LogConsumer
from api.projection.disabling import Limits
from api.projection.metrics import BATCH_SECONDS, LAG_SECONDS, QUARANTINED, RECORDS, REFUSED, UNREADABLE
from api.projection.positions import Identities, Move, Refused, identities_of
from api.projection.reading import Fetched, Poison, Seen, Topics, quarantined_here, seen_in
from api.projection.writing import Batch, Writer, projecting_engine
from producers.consuming import Warnings
from producers.postgres import AWAY
from schemas.catalogue import BUILT_IN, Catalogue

log = structlog.get_logger("api.projection")

GROUP: Final = "hookline-projector"
MOST_RECORDS: Final = 2000
_HOUSEKEEPING_S: Final = 1.0
_LOOK_AT_TOPICS_S: Final = 10.0
_SHORTEST_BACKOFF_S: Final = 0.05
_LONGEST_BACKOFF_S: Final = 2.0
# What is wrong with a value and not with the database: other records may be fine.
_OF_THE_DATA: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    OverflowError,
    UnicodeError,
)
_AWAY: Final = (*AWAY, SQLAlchemyError)
Answer = TypeVar("Answer")


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
        catalogue: Catalogue = BUILT_IN,
    ) -> None:
        """Prepare; `run` connects.

        `kafka` is KafkaSettings.client_config(). Each projector that runs at one time has its own `slot`: a second one
        with the same is thrown out by the broker, and its `run` raises. The catalogue knows what is secret in an event.
        """
        self._kafka = dict(kafka)
        self._topics = topics or Topics()
        self._catalogue = catalogue
        self._consumer = LogConsumer(kafka, self._topics.names, group=group, slot=slot, most_records=most_records)
        self._engine = projecting_engine(database_url, wait_s=database_wait_s, query_s=database_query_s)
        self._writer = Writer(self._engine, limits or Limits(), behind=self._topics.behind)
        self._identities: Identities | None = None
        self._wrote_at = self._kept_at = self._looked_at = 0.0
        self._last_appended_at = 0.0
        self._warnings = Warnings(log)
        self._stopping = False
        self._admin: AdminClient
        self.placed = asyncio.Event()
        """Set once it has partitions and knows where to begin."""

    async def run(self) -> None:
        """Project until `stop`, the batch at hand included; raises ThrownOut when the broker throws this one out."""
        self._admin = AdminClient({**self._kafka, "log_level": "0"})
        self._consumer.open()
        log.info("projector.started", member=self._consumer.member, topics=self._topics.names)
        try:
            while not self._stopping:
                await self._turn()
        finally:
            await self._consumer.close()
            await self._engine.dispose()
        log.info("projector.stopped")

    def stop(self) -> None:
        """Have `run` return soon."""
        self._stopping = True

    async def _turn(self) -> None:
        """Read, write, look after the rest."""
        fetched = await self._consumer.read(wrote_at=self._wrote_at)
        try:
            if self._consumer.assigned and not self._consumer.is_placed:
                await self._place()
            elif fetched:
                await self._project(fetched)
        except _Revoked:
            return
        await self._keep_house()

    async def _project(self, fetched: Sequence[Fetched]) -> None:
        """Write what was read; what was written before is left out."""
        new = [
            one for one in fetched if one.offset >= self._consumer.next.get((one.topic, one.partition), one.offset + 1)
        ]
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
        seen = [seen_in(one, self._topics, self._catalogue) for one in fetched]
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
            self._consumer.is_placed = False
            raise _Revoked from error
        self._consumer.wrote({(move.topic, move.partition): move.upto for move in batch.moves})
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
        return [Move(*place, self._consumer.next[place], offset, ids[place[0]]) for place, offset in upto.items()]

    async def _place(self) -> None:
        """Begin where the table says: on every assignment, and when a batch was refused."""
        generation, partitions = self._consumer.generation, list(self._consumer.assigned)
        names = self._topics.names
        identities = await self._until_there("kafka", lambda: asyncio.to_thread(identities_of, self._admin, names))
        positions = await self._until_there("postgresql", lambda: self._writer.positions(partitions, identities))
        if generation != self._consumer.generation:
            raise _Revoked
        self._identities = identities
        self._looked_at = time.monotonic()
        await self._consumer.begin_at(positions)
        self.placed.set()
        log.info("projector.placed", partitions=len(positions))

    async def _until_there(self, name: str, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return what `ask` does, however long Kafka or PostgreSQL is away; stays in the group meanwhile."""
        backoff_s, generation, waited = _SHORTEST_BACKOFF_S, self._consumer.generation, False
        while True:
            try:
                answer = await ask()
            except (Refused, *_OF_THE_DATA):
                raise
            except (KafkaException, *_AWAY) as error:
                self._warnings.say("projection.waiting", name, waits_for=name, error=_said(error))
                waited = True
                await self._consumer.stay(backoff_s, while_=lambda: not self._stopping)
                backoff_s = min(backoff_s * 2, _LONGEST_BACKOFF_S)
                if generation != self._consumer.generation or self._stopping:
                    raise _Revoked from error
            else:
                if waited:
                    log.info("projection.going_on", waited_for=name)
                await self._consumer.resume()
                return answer

    async def _keep_house(self) -> None:
        """Once in a while: commit for those who look at lag, measure it, see whether the topics are still the same."""
        now = time.monotonic()
        if now - self._kept_at >= _HOUSEKEEPING_S:
            self._kept_at = now
            await self._consumer.commit()
            behind = self._consumer.measure_lag() and self._last_appended_at
            LAG_SECONDS.set(max(0.0, time.time() - self._last_appended_at) if behind else 0)
        if self._consumer.is_placed and now - self._looked_at >= _LOOK_AT_TOPICS_S:
            self._looked_at = now
            await self._look_at_topics()
            await self._look_at_those_behind()

    async def _look_at_topics(self) -> None:
        try:
            identities = await asyncio.to_thread(identities_of, self._admin, self._topics.names)
        except (KafkaException, OSError):
            return  # away; or one of them is gone, and may come back
        if identities != self._identities:
            self._consumer.is_placed = False

    async def _look_at_those_behind(self) -> None:
        try:
            await self._writer.measure(self._consumer.assigned)
        except _AWAY:
            return  # whoever writes next says so

    def _note_quarantined(self, fetched: Fetched, error: Exception) -> None:
        QUARANTINED.inc()
        log.warning(
            "record.quarantined",
            topic=fetched.topic,
            partition=fetched.partition,
            offset=fetched.offset,
            error=type(error).__name__,
        )


def _said(error: Exception) -> str:
    """Return what a failure says, in one line; what a driver puts into its text may be of a record."""
    if isinstance(error, asyncpg.PostgresError):
        return f"{type(error).__name__} {error.sqlstate}"
    return (
        f"{type(error).__name__}: {error.args[0].str()}" if isinstance(error, KafkaException) else type(error).__name__
    )
