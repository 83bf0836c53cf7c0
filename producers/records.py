"""Records to Kafka through one idempotent confluent-kafka producer, with a report for each (FAUST.md, F8).

confluent-kafka because Faust's own producer is not idempotent and caps a worker near 3,000 records/s.
"""

import itertools
import os
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, NamedTuple

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from producers.errors import BrokersAway, ProducerClosed, ProducingError, QueueFull
from schemas.headers import Headers
from schemas.topics import PARTITIONER

log = structlog.get_logger("producers.records")

Report = Callable[[ProducingError | None], None]
OF_KEY: Final = -1  # librdkafka's RD_KAFKA_PARTITION_UA
_POLL_S: Final = 0.1
_SAY_EVERY_S: Final = 10.0
_SERVE_EVERY: Final = 256  # records
_MANY: Final = 512  # records under way: nobody waits for one of them alone
_LOOK_EVERY_S: Final = 0.02
_DISCARDED: Final = {KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT, KafkaError._FATAL}  # noqa: SLF001 - its API


class Outgoing(NamedTuple):
    """A record on its way out; `value` None is a tombstone, `partition` OF_KEY the one that its key decides.

    A tuple, for one is made for each event: a frozen dataclass takes three times as long.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    partition: int = OF_KEY


class RecordProducer:
    """Hands records to the brokers and reports, for each, when all in-sync replicas have it or that they have not.

    Somebody must call `serve`, which calls the reports: `ReportThread` for synchronous callers, `LoopProducer` on an
    event loop. A thread that reports to a loop would fight it for the interpreter's lock at every report (measured:
    0.53 ms of the loop's thread a delivery with such a thread, 0.31 ms without). Reports must not block. A fatal error
    of the client (idempotence broken) is not the caller's business: a new client sends what is unreported again.
    """

    def __init__(
        self,
        client_config: Mapping[str, str],
        *,
        patience_s: float,
        linger_ms: float = 1,
        most_waiting: int = 100_000,
    ) -> None:
        """Start the client.

        `patience_s` is how long a record may wait for a broker before its report says BrokersAway; 0 waits for ever,
        for callers who hold the source of their records until they are reported.
        """
        self._config: dict[str, str | int | float | bool] = {
            **client_config,
            "acks": "all",
            "enable.idempotence": True,
            "compression.type": "lz4",
            "partitioner": PARTITIONER,
            "linger.ms": linger_ms,
            "message.timeout.ms": int(patience_s * 1000),
            "queue.buffering.max.messages": most_waiting,
            "queue.buffering.max.kbytes": 262_144,
            "message.max.bytes": 2 * 1024 * 1024,
            "log_level": 2,  # what librdkafka would write to standard error comes to error_cb as well
        }
        self._said_at = -_SAY_EVERY_S
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._unreported: dict[int, _Sent] = {}
        self._broken = threading.Event()
        self._generation = 0
        self._process = os.getpid()
        self._client: Producer | None = self._new_client()  # None once it is closed

    @property
    def unreported(self) -> int:
        """How many records are on their way."""
        return len(self._unreported)

    @property
    def _is_forked(self) -> bool:
        """Whether this is a copy, in a process without the threads that serve it."""
        return os.getpid() != self._process

    def produce(self, record: Outgoing, report: Report, *, wait_s: float = 10.0) -> None:
        """Queue a record; `report` hears what became of it.

        Blocks up to `wait_s` while the queue is full, then raises QueueFull; raises ProducerClosed after `close`, and
        in a process that was forked from this producer's.
        """
        if self._is_forked:  # before any lock: a thread that is not here may have held it
            raise ProducerClosed(
                "this producer was made before the process was forked, and its threads stayed behind: make one in each"
                " process, after the fork (gunicorn: without --preload, or in post_fork; Celery: worker_process_init)"
            )
        deadline = time.monotonic() + wait_s
        while not self._hand_over(record, report):
            if self._broken.is_set():
                self._rebuild()
            elif time.monotonic() >= deadline:
                raise QueueFull(f"{self.unreported:,} records wait for the brokers: slow down or try again")
            else:
                self.serve(_POLL_S)

    def serve(self, timeout_s: float) -> None:
        """Call the reports that have come, waiting up to `timeout_s` for the first; from any thread."""
        client = self._client
        if client is None:
            time.sleep(timeout_s)  # nothing comes any more, and who serves in a loop must not spin
            return
        client.poll(timeout_s)
        if self._broken.is_set():
            self._rebuild()

    def flush(self, timeout_s: float) -> int:
        """Wait until every record is reported, `timeout_s` at most; return how many are not."""
        if self._is_forked:
            return 0  # what is on its way is the other process's, and nobody would report it here
        deadline = time.monotonic() + timeout_s
        while self._unreported and (remaining := deadline - time.monotonic()) > 0:
            self.serve(min(remaining, _POLL_S))
        return self.unreported

    def close(self, timeout_s: float = 10.0) -> int:
        """Flush, stop and return how many records were given up; their reports say ProducerClosed."""
        if self._is_forked:
            return 0
        self.flush(timeout_s)
        with self._lock:
            client, self._client = self._client, None
            left, self._unreported = self._unreported, {}
        if client is not None:
            client.purge()  # what was given up does not arrive later, unless it is on the wire already
        given_up = 0
        for number in [*left]:
            if (found := left.pop(number, None)) is not None:  # whoever takes it out tells of it
                given_up += 1
                _tell(found.report, ProducerClosed("the producer was closed before a broker had the record"))
        return given_up

    def _hand_over(self, record: Outgoing, report: Report) -> bool:
        """Queue a record with the client; return False when its queue is full or another client must come first."""
        with self._lock:
            client = self._client
            if client is None:
                raise ProducerClosed("this producer was closed")
            if self._broken.is_set():
                return False  # what is unreported never exceeds what a client's queue holds, so a new one takes it all
            number = next(self._numbers)
            sent = _Sent(self, self._generation, number, record, report)
            self._unreported[number] = sent  # first: its report may come before `_send` returns
            try:
                _send(client, record, sent)
            except BufferError:
                del self._unreported[number]
                return False
            except KafkaException as error:
                del self._unreported[number]
                if not error.args[0].fatal():
                    raise ProducingError(f"Kafka refuses the record: {error.args[0].str()}") from error
                self._broken.set()
                return False
            return True

    def _on_failed(self, sent: "_Sent", error: KafkaError) -> None:
        if sent.generation != self._generation:
            return  # of a client that was replaced: the next one has sent the record again and reports it
        if error.fatal() or error.code() in _DISCARDED:
            self._broken.set()  # stays unreported: the next client sends it
        elif self._unreported.pop(sent.number, None) is not None:
            _tell(sent.report, _translated(error))

    def _on_error(self, generation: int, error: KafkaError) -> None:
        if error.fatal() and generation == self._generation:
            self._broken.set()
        # librdkafka repeats itself some 20 times a second while a broker is away.
        if error.fatal() or time.monotonic() - self._said_at >= _SAY_EVERY_S:
            self._said_at = time.monotonic()
            log.warning("kafka.error", error=error.str(), fatal=error.fatal())

    def _new_client(self) -> Producer:
        return Producer({**self._config, "error_cb": partial(self._on_error, self._generation)})

    def _rebuild(self) -> None:
        """Send what is unreported with a new client, in the order it came; some may arrive twice."""
        with self._lock:
            replaced = self._client
            if replaced is None or not self._broken.is_set():
                return  # closed, or another thread was here first
            log.warning("kafka.producer_rebuilt", unreported=len(self._unreported))
            replaced.purge()
            self._generation += 1
            self._client = client = self._new_client()
            for sent in [*self._unreported.values()]:  # reports come meanwhile
                again = _Sent(self, self._generation, sent.number, sent.record, sent.report)
                _send(client, sent.record, again)  # put in its place, it would stand for one that was told just now
            self._broken.clear()  # last: were a record not taken, the next call would start over and lose none
        replaced.poll(0)  # outside the lock, for its last reports take it


class _Sent:
    """A record that a client has, and what the client calls when it knows what became of it.

    One object for it all: each that lives until its report is one more for Python's collector of cycles to look at,
    which took a third of `produce` (measured: docs/performance.md).
    """

    __slots__ = ("generation", "number", "producer", "record", "report")

    def __init__(
        self, producer: RecordProducer, generation: int, number: int, record: Outgoing, report: Report
    ) -> None:
        self.producer = producer
        self.generation = generation
        self.number = number
        self.record = record
        self.report = report

    def __call__(self, error: KafkaError | None, _: Message | None = None) -> None:
        if error is not None:
            self.producer._on_failed(self, error)  # noqa: SLF001 - a part of it
        # No lock: taking out of a dictionary is one step, and who takes a record out is the one who tells of it.
        elif self.producer._unreported.pop(self.number, None) is not None:  # noqa: SLF001 - a part of it
            _tell(self.report, None)


def _send(client: Producer, record: Outgoing, report: _Sent) -> None:
    topic, key, value, headers, partition = record
    # By position: each name costs its time.
    client.produce(
        topic,
        value,
        key,
        partition,
        report,
        headers=headers,  # type: ignore[arg-type] # lists are invariant; the client changes none
    )


class ReportThread:
    """Serves a producer in a thread, for callers who have no event loop.

    The client takes the interpreter's lock anew for each report, and a thread that publishes gives it away each 5 ms.
    Reports came so late that 65,000 of 100,000 records had none yet, with all their memory. So while many are under way
    who publishes serves them as well (`published`), and this thread only looks in (measured: docs/performance.md).
    """

    def __init__(self, producer: RecordProducer) -> None:
        self._producer = producer
        self._published = itertools.count(1)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="kafka-reports", daemon=True)
        self._thread.start()

    def published(self) -> None:
        """Serve what has come, every now and then: for the thread that has just published a record."""
        if next(self._published) % _SERVE_EVERY == 0:
            self._producer.serve(0)

    def stop(self) -> None:
        """Stop serving; what is unreported stays so until somebody serves or closes the producer."""
        self._stopping.set()
        self._thread.join()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            try:
                if self._producer.unreported < _MANY:
                    self._producer.serve(_POLL_S)
                else:
                    self._stopping.wait(_LOOK_EVERY_S)
                    self._producer.serve(0)
            except Exception:  # the operator sees it: without this thread nobody would ever hear of a record again
                log.exception("kafka.serving_failed")
                self._stopping.wait(_POLL_S)


def _tell(report: Report, error: ProducingError | None) -> None:
    try:
        report(error)
    except Exception:  # its author sees it; raised through the client it would end whoever serves the others' reports
        log.exception("kafka.report_failed")


def _translated(error: KafkaError) -> ProducingError:
    if error.code() == KafkaError._MSG_TIMED_OUT:  # noqa: SLF001 - confluent-kafka's public names begin so
        return BrokersAway("no Kafka broker took the record in time; it may still arrive")
    return ProducingError(f"Kafka did not take the record: {error.str()}")
