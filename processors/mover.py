"""The mover of the waiting tiers: reads `hookline.retry.*`, and puts each record on `hookline.deliver` when it is due.

A plain confluent-kafka consumer, because Faust merges a topic's partitions into one queue, where one record that waits
holds back all (FAUST.md, F11). A record is committed once the broker has it on the other topic: at least once.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, cast

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from processors.acks import ahead_from_text, ahead_to_text
from processors.errors import WorkerError
from processors.quarantining import quarantined
from processors.waiting import Bounds, Share, Waiting, WaitingRoom, next_tier, released_at
from producers.consuming import Warnings, consumer_config, member_of, throws_out
from producers.errors import ProducingError
from producers.records import Outgoing, RecordProducer
from schemas.codec import UnreadableRecord, decode
from schemas.headers import Headers
from schemas.records import Delivery, Position
from schemas.topics import DELIVER, QUARANTINE, retry_topic

log = structlog.get_logger("processors.mover")

GROUP: Final = "hookline-mover"
_LONGEST_POLL_S: Final = 0.25  # so that a step of the clock, a report and `stop` are noticed
_REPORTS_WITHIN_S: Final = 0.02  # the brokers' reports are served by this loop
_COMMIT_EVERY_S: Final = 0.25
_AGAIN_AFTER_S: Final = 1.0  # when a broker refused a record
_SILENCE_S: Final = 1.0  # without a report while some are awaited: the brokers are away
_MOST_PER_TURN: Final = 500
_MOST_UNDER_WAY: Final = 20_000  # far below what the producer queues, so that handing over never blocks
_FLUSH_S: Final = 2.0  # on the way out; what is not reported by then is moved again by whoever comes next


@dataclass(slots=True)
class Progress:
    """What the mover is doing, for the watchdog and the metrics; written by its thread, read by any.

    `overdue_s` is for how long the most overdue record known to it was due and is not yet on its way's next topic;
    `waiting` counts the records in memory; `turned_at` is time.monotonic() of the loop's last turn. The others are
    totals since the start.
    """

    overdue_s: float = 0.0
    waiting: int = 0
    partitions: int = 0
    turned_at: float = 0.0
    moved: int = 0
    hopped: int = 0
    quarantined: int = 0


class Mover:
    """Moves due records from the waiting tiers until it is stopped."""

    def __init__(
        self,
        kafka: Mapping[str, str],
        tiers: Sequence[timedelta],
        *,
        older_tiers: Iterable[timedelta] = (),
        group: str = GROUP,
        slot: str = "0",
        bounds: Bounds | None = None,
        deliver_topic: str = DELIVER,
        quarantine_topic: str = QUARANTINE,
        retry_topic_of: Callable[[timedelta], str] = retry_topic,
    ) -> None:
        """Prepare; `run` connects.

        `kafka` is KafkaSettings.client_config(). `tiers` are the schedule's (Schedule.tiers, shortest first);
        `older_tiers` are emptied and never filled. Each mover that runs at one time has its own `slot`: a second one
        with the same is thrown out by the broker, and its `run` raises.
        """
        self._tiers = tuple(tiers)
        self._retry_topic_of = retry_topic_of
        self._waits = {retry_topic_of(tier): tier for tier in (*older_tiers, *tiers)}
        self._deliver_topic = deliver_topic
        self._quarantine_topic = quarantine_topic
        self._kafka = dict(kafka)
        self._group = group
        self._member = member_of("hookline-mover", slot, self._waits)
        self._room = WaitingRoom(bounds or Bounds())
        self._refusals: list[str] = []
        self._committed_at = 0.0
        self._heard_at = 0.0
        self._warnings = Warnings(log)
        self._stopping = False
        self._failure: WorkerError | None = None
        self._consumer: Consumer
        self._producer: RecordProducer
        self.progress = Progress()

    def run(self) -> None:
        """Move records until `stop`; raises WorkerError when the broker throws this member out.

        The brokers may go away and come back: what waits in memory waits on, the rest is read again.
        """
        self._producer = RecordProducer(self._kafka, patience_s=0)
        self._consumer = Consumer(self._consumer_config())
        try:
            self._consumer.subscribe(
                list(self._waits), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
            log.info("mover.started", member=self._member, topics=list(self._waits))
            while not self._stopping:
                self._turn()
        finally:
            self._leave()
        log.info("mover.stopped", moved=self.progress.moved)

    def stop(self) -> None:
        """Have `run` return within a few seconds; from any thread, or from a signal handler."""
        self._stopping = True

    def _turn(self) -> None:
        """Read, move what is due, note what arrived, commit."""
        for message in self._read():
            self._take(message)
        for waiting in self._due():
            self._move(waiting)
        self._producer.serve(0)
        self._make_space()
        if time.monotonic() - self._committed_at >= _COMMIT_EVERY_S:
            self._commit(self._room)
        self._tell()
        if self._failure is not None:
            raise self._failure

    def _read(self) -> list[Message]:
        """Return what there is to read; waits until something comes or something is due."""
        first = self._consumer.poll(self._patience_s())
        return [] if first is None else [first, *self._consumer.consume(_MOST_PER_TURN, 0)]

    def _patience_s(self) -> float:
        longest_s = _REPORTS_WITHIN_S if self._room.under_way else _LONGEST_POLL_S
        if self._room.next_at is None or not self._may_hand_over():
            return longest_s
        # librdkafka counts whole milliseconds and rounds down: half of one more, so that no turn comes too soon.
        remaining_ms = math.ceil((self._room.next_at - time.time()) * 1000)
        return min(max(remaining_ms, 0) / 1000 + 0.0005, longest_s)

    def _take(self, message: Message) -> None:
        error = message.error()
        if error is not None:
            self._on_error(error)
            return
        topic, partition, offset = cast(tuple[str, int, int], (message.topic(), message.partition(), message.offset()))
        share = self._room.share_of(topic, partition)
        if share is None or offset < share.prefix.end:
            return  # fetched before the partition was taken away from us
        if offset in share.finished:
            self._room.skip(share, offset)
        else:
            self._room.admit(self._waiting(message, share, offset))

    def _waiting(self, message: Message, share: Share, offset: int) -> Waiting:
        key, value = message.key(), message.value()
        headers = cast(Headers, message.headers() or [])  # a header without a value goes on without one
        now = time.time()
        try:
            due_at = decode(Delivery, value).due_at.timestamp()
        except UnreadableRecord as error:
            source = Position(topic=share.topic, partition=share.partition, offset=offset)
            log.warning("record.quarantined", topic=source.topic, partition=source.partition, offset=source.offset)
            record = quarantined(source, key, value, headers, error=error, stage="move", topic=self._quarantine_topic)
            return Waiting(share, offset, now, now, record)
        kind, appended_ms = message.timestamp()
        appended_at = appended_ms / 1000 if kind else now
        at = released_at(due_at, appended_at=appended_at, wait=share.wait)
        return Waiting(share, offset, at, due_at, Outgoing(self._deliver_topic, key, value, headers))

    def _may_hand_over(self) -> bool:
        """Return whether the brokers seem to take records.

        What the producer holds while they are away is sent when they return, even if its partition was lost
        meanwhile and is read again: so it gets no more than a second's worth.
        """
        if not self._producer.unreported:
            self._heard_at = time.monotonic()
        return time.monotonic() - self._heard_at < _SILENCE_S and self._room.under_way < _MOST_UNDER_WAY

    def _due(self) -> list[Waiting]:
        if not self._may_hand_over():
            return []
        most = min(_MOST_PER_TURN, _MOST_UNDER_WAY - self._room.under_way)
        return self._room.take_due(time.time(), most=most)

    def _move(self, waiting: Waiting) -> None:
        """Send a record to where it belongs now; one that must wait on hops to another tier, or stays."""
        now = time.time()
        record = waiting.record
        if now < waiting.due_at:
            tier = next_tier(waiting.due_at, now, self._tiers)
            if tier is None:
                self._room.wait_on(waiting, waiting.due_at)
                return
            record = record._replace(topic=self._retry_topic_of(tier))

        def report(error: ProducingError | None) -> None:
            self._settle(waiting, record, error)

        try:
            self._producer.produce(record, report, wait_s=0)
        except ProducingError as error:
            report(error)

    def _settle(self, waiting: Waiting, record: Outgoing, error: ProducingError | None) -> None:
        """Finish what the brokers have; what they refused is tried again for as long as it takes."""
        self._heard_at = time.monotonic()
        if error is not None:
            self._refusals.append(f"{record.topic}: {error}")
            self._room.put_back(waiting, time.time() + _AGAIN_AFTER_S)
            return
        self._room.finish(waiting)
        if record.topic == self._deliver_topic:
            self.progress.moved += 1
        elif record.topic == self._quarantine_topic:
            self.progress.quarantined += 1
        else:
            self.progress.hopped += 1

    def _make_space(self) -> None:
        """Stop reading partitions that hold as much as they may, go on with those that have space again."""
        for share in self._room:
            if not share.paused and self._room.is_full(share):
                self._consumer.pause([TopicPartition(share.topic, share.partition)])
                share.paused = True
            elif share.paused and self._room.has_space(share):
                self._consumer.resume([TopicPartition(share.topic, share.partition)])
                share.paused = False

    def _commit(self, shares: Iterable[Share], *, wait: bool = False) -> None:
        """Commit how far each partition is finished, and in the metadata what is finished beyond."""
        self._committed_at = time.monotonic()
        changed = [share for share in shares if share.uncommitted]
        if not changed:
            return
        offsets = [_committed(share) for share in changed]
        try:
            if wait:
                self._consumer.commit(offsets=offsets, asynchronous=False)
            else:
                self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            log.warning("mover.not_committed", error=str(error))  # the next commit covers it
            return
        for share in changed:
            share.uncommitted = False

    def _on_committed(self, error: KafkaError | None, partitions: Iterable[TopicPartition]) -> None:
        for partition in partitions:
            share = self._room.share_of(partition.topic, partition.partition)
            if share is not None and (error is not None or partition.error is not None):
                share.uncommitted = True

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            committed = consumer.committed(partitions, timeout=5)
        except KafkaException as error:  # then what an earlier holder finished ahead is moved twice
            log.warning("mover.commits_unknown", error=str(error))
            committed = partitions
        for at in committed:
            finished = ahead_from_text(at.offset, at.metadata or "")
            self._room.open(Share(at.topic, at.partition, self._waits[at.topic], finished))
        log.info("mover.assigned", partitions=len(partitions))

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        """Commit what is finished and drop the rest: whoever has these partitions next reads it again."""
        self._producer.flush(_FLUSH_S)
        names = [(partition.topic, partition.partition) for partition in partitions]
        self._commit([share for share in self._room if (share.topic, share.partition) in names], wait=True)
        self._room.close(names)
        log.info("mover.revoked", partitions=len(partitions))

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._room.close((partition.topic, partition.partition) for partition in partitions)
        log.warning("mover.lost", partitions=len(partitions))

    def _on_error(self, error: KafkaError) -> None:
        if throws_out(error):
            self._failure = WorkerError(f"Kafka threw the mover {self._member} out: {error.str()}")
        self._warnings.say_error(error)

    def _leave(self) -> None:
        """Commit what the brokers have and go; a static member's partitions wait for it for a session timeout."""
        self._producer.close(_FLUSH_S)
        self._commit(self._room, wait=True)
        self._consumer.close()

    def _tell(self) -> None:
        if self._refusals:
            log.warning("mover.refused", records=len(self._refusals), last=self._refusals[-1])
            self._refusals.clear()
        self.progress.overdue_s = self._room.overdue_s(time.time())
        self.progress.waiting = len(self._room)
        self.progress.partitions = sum(1 for _ in self._room)
        self.progress.turned_at = time.monotonic()

    def _consumer_config(self) -> dict[str, object]:
        return {
            **consumer_config(self._kafka, group=self._group, member=self._member, on_error=self._on_error),
            "partition.assignment.strategy": "cooperative-sticky",  # others' records need not be read again
            "on_commit": self._on_committed,
            "fetch.wait.max.ms": 100,  # a partition that is resumed waits for the fetch under way
        }


def _committed(share: Share) -> TopicPartition:
    position = share.prefix.position
    metadata = ahead_to_text(position, share.prefix.completed_ahead())
    return TopicPartition(share.topic, share.partition, position, metadata)
