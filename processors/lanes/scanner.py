"""Reads again what was passed over for lanes that are behind: a plain consumer of no group, in a thread of its own.

One job at a time, for one partition: from the lowest position wanted until every lane has what it has room for. A scan
of a partition runs at 1.1 million records a second from the brokers' page cache (FAUST.md).
"""

import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, cast

import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from processors.intake import Taken
from processors.lanes.lane import LaneId
from processors.metrics import RECORDS_SCANNED
from producers.handover import Handover
from schemas.headers import ORDERING_KEY, Headers
from schemas.records import Position

log = structlog.get_logger("processors.lanes")

_BATCH: Final = 500
_POLL_S: Final = 0.1
_SILENCE_S: Final = 3.0  # then the client is replaced: one that paused and resumed once stood still (ISOLATION.md)
_LONGEST_PASS_S: Final = 1.0
_ASK_TIMEOUT_S: Final = 5.0


@dataclass(slots=True)
class Want:
    """What one lane has room for, from `position` on; a scan fills `found` and says how far it `covered`."""

    position: int
    records: int
    bytes: int
    found: list[Taken] = field(default_factory=list)
    covered: int = 0

    @property
    def is_full(self) -> bool:
        """Return whether it has what it has room for."""
        return self.records <= 0 or self.bytes <= 0

    def take(self, taken: Taken) -> None:
        """Add a record; its lane is covered up to it."""
        self.found.append(taken)
        self.records -= 1
        self.bytes -= len(taken.value or b"")
        self.covered = taken.position.offset + 1


@dataclass(slots=True)
class Scan:
    """A job: the records of these lanes of one partition, up to the offset `end`, which is not read any more."""

    topic: str
    partition: int
    end: int
    wants: dict[LaneId, Want]


class Scanner:
    """Does scans, one after the other; hands each back on the loop."""

    def __init__(self, client_config: Mapping[str, str], handover: Handover) -> None:
        self._config = {
            **client_config,
            "group.id": "hookline-scanner",  # never joined, nothing committed
            "enable.auto.commit": False,
            "auto.offset.reset": "error",  # no jump to the end: what retention took meanwhile is seen in the next pass
            "fetch.wait.max.ms": 20,
            "fetch.message.max.bytes": 1024 * 1024,
            # A client with a full queue fetches nothing for so long, of the next job neither; its 1 s of its own accord
            # was as long as a pass, and then no pass ever read a record.
            "fetch.queue.backoff.ms": 10,
            "queued.max.messages.kbytes": 4096,  # what is fetched beyond the last record wanted is thrown away
        }
        self._handover = handover
        self._jobs: queue.SimpleQueue[tuple[Scan, Callable[[Scan], None]] | None] = queue.SimpleQueue()
        self._gaps: dict[tuple[str, int], int] = {}
        self._consumer: Consumer | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="scanner", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def scan(self, job: Scan, on_done: Callable[[Scan], None]) -> None:
        """Do a job; `on_done` gets it back on the loop, with what was found, which may be nothing yet."""
        self._jobs.put((job, on_done))

    def stop(self) -> None:
        """Stop soon; what is left undone is never handed back."""
        self._stopping = True
        self._jobs.put(None)
        if self._thread.ident is not None:
            self._thread.join(_ASK_TIMEOUT_S)

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None and not self._stopping:
            job, on_done = item
            for want in job.wants.values():
                want.covered = want.position
            try:
                self._pass(job)
            except KafkaException as error:
                log.warning("scanner.kafka_away", error=str(error))
                self._replace()
                time.sleep(_POLL_S)
            except Exception:  # the operator sees it: without this thread nothing that is behind would go on
                log.exception("scanner.failed", topic=job.topic, partition=job.partition)
                self._replace()
                time.sleep(_POLL_S)
            self._handover.call(partial(on_done, job))
        self._replace()

    def _pass(self, job: Scan) -> None:
        consumer = self._consumer or self._new()
        at = min(want.position for want in job.wants.values())
        low, _ = consumer.get_watermark_offsets(TopicPartition(job.topic, job.partition), timeout=_ASK_TIMEOUT_S)
        if low > at:
            log.error("scanner.records_gone", topic=job.topic, partition=job.partition, records=low - at)
            at = low
        consumer.assign([TopicPartition(job.topic, job.partition, at)])
        try:
            at = self._read(consumer, job, at)
        finally:
            if self._consumer is not None:
                consumer.unassign()
        for want in job.wants.values():
            if not want.is_full:
                want.covered = max(want.covered, at)

    def _read(self, consumer: Consumer, job: Scan, at: int) -> int:
        """Read from the offset `at` on; return how far everything was looked at."""
        lanes = _by_subscription(job)
        began = heard_at = time.monotonic()
        while at < job.end and not self._stopping:
            # One, then what else is there: waiting for a whole batch takes 0.1 s wherever the log ends.
            messages = consumer.consume(1, timeout=_POLL_S) + consumer.consume(_BATCH, timeout=0)
            now = time.monotonic()
            before = at
            for message in messages:
                if message.error() is not None:
                    raise KafkaException(message.error())
                offset = cast(int, message.offset())
                if message.partition() != job.partition or message.topic() != job.topic or offset < at:
                    continue  # of the job before
                if offset > at and not self._accepts_gap(job, at):
                    return at
                if offset >= job.end:
                    return job.end
                at = offset + 1
                _offer(message, lanes)
            RECORDS_SCANNED.inc(len(messages))
            if at == before:  # such a pass is not over after a second: nobody would see that the client stands still
                if now - heard_at > _SILENCE_S:
                    log.warning("scanner.silent", topic=job.topic, partition=job.partition, offset=at)
                    self._replace()
                    break
                continue
            heard_at = now
            if all(want.is_full for want in job.wants.values()) or now - began > _LONGEST_PASS_S:
                break
        return at

    def _accepts_gap(self, job: Scan, at: int) -> bool:
        """Return whether the log really has no record at `at`: only what is missing twice is."""
        place = (job.topic, job.partition)
        if self._gaps.get(place) == at:
            log.warning("scanner.gap", topic=job.topic, partition=job.partition, offset=at)
            return True
        self._gaps[place] = at
        return False

    def _new(self) -> Consumer:
        self._consumer = Consumer(self._config)
        return self._consumer

    def _replace(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None


def _by_subscription(job: Scan) -> dict[bytes, dict[str | None, Want]]:
    lanes: defaultdict[bytes, dict[str | None, Want]] = defaultdict(dict)
    for (subscription, key), want in job.wants.items():
        lanes[subscription][key] = want
    return dict(lanes)


def _offer(message: Message, lanes: dict[bytes, dict[str | None, Want]]) -> None:
    wanting = lanes.get(message.key() or b"")
    if wanting is None:
        return
    offset = cast(int, message.offset())
    wants = [wanting[None]] if None in wanting else []
    if len(wanting) > len(wants) and (key := _key_of(message)) is not None and key in wanting:
        wants.append(wanting[key])
    wants = [want for want in wants if not want.is_full and offset >= want.position]
    if wants:
        taken = taken_of(message)  # costs most of it, and most records are wanted by nobody
        for want in wants:
            want.take(taken)


def _key_of(message: Message) -> str | None:
    for name, value in cast(Headers, message.headers() or []):
        if name == ORDERING_KEY:
            return (value or b"").decode(errors="replace")
    return None


def taken_of(message: Message) -> Taken:
    """Return a plain consumer's message as the record that it is."""
    topic, partition, offset = cast(tuple[str, int, int], (message.topic(), message.partition(), message.offset()))
    return Taken(
        position=Position(topic=topic, partition=partition, offset=offset),
        key=message.key(),
        value=message.value(),
        headers=[(name, value or b"") for name, value in cast(Headers, message.headers() or [])],
        timestamp_s=message.timestamp()[1] / 1000,
    )
