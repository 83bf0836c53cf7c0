"""A compacted topic in memory: read to its end before anything is decided by it, then followed.

Faust tables are not used for it: their recovery can hang (FAUST.md, F12). A plain consumer that belongs to no group
reads it, so every worker has every record.
"""

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeAlias

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from schemas.codec import UnreadableRecord

log = structlog.get_logger("producers.following")

_BATCH: Final = 1000
_POLL_S: Final = 0.05
_ASK_TIMEOUT_S: Final = 5.0
_AGAIN_S: Final = 0.5

OnFollowed: TypeAlias = Callable[[str, Mapping[int, int]], None]
"""Hears, of a topic, each partition's next offset: all before it was taken."""


class Calls(Protocol):
    """Where what was read is taken: on an event loop (`producers.handover.Handover`), or `Here`."""

    def call(self, function: Callable[[], None]) -> None:
        """Run `function`, soon or now; those of one thread in their order."""
        ...


class Here:
    """Takes what was read in the thread that reads: for who has no event loop."""

    def call(self, function: Callable[[], None]) -> None:
        """Run it now; what it raises is logged, as a loop logs it, and the calls after it still run."""
        try:
            function()
        except Exception:  # raised here it would end the thread that reads
            log.exception("index.call_failed")


class TopicFollower:
    """Hands every record of a topic to the loop, each partition in its order; reads in a thread of its own."""

    def __init__(
        self,
        topic: str,
        client_config: Mapping[str, str],
        handover: Calls,
        *,
        take: Callable[[bytes, bytes | None], None],
        on_unreadable: Callable[[Message, UnreadableRecord], None],
        on_followed: OnFollowed = lambda _, __: None,
    ) -> None:
        """Prepare. `take` gets each record's key and value, where `handover` calls.

        When it raises UnreadableRecord, `on_unreadable` hears of it there, and the next record comes. `on_followed`
        hears there, after the records themselves, how far the topic was taken.
        """
        self._topic = topic
        self._handover = handover
        self._take = take
        self._on_unreadable = on_unreadable
        self._on_followed = on_followed
        self._said_places: dict[int, int] = {}
        self._consumer = Consumer(
            {
                **client_config,
                "group.id": f"hookline-index-{uuid.uuid4().hex}",  # never joined, nothing committed
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",  # the default goes to the end: what the log has before would be missed
                "enable.partition.eof": False,
                "fetch.wait.max.ms": 100,
            }
        )
        self._stopping = threading.Event()
        self._asked: list[Callable[[], None]] = []
        self._asked_lock = threading.Lock()
        self._thread = threading.Thread(target=self._follow, name=f"follows-{topic}", daemon=True)

    async def start(self) -> None:
        """Start following and return when all that is on the topic now was taken."""
        ready = self.caught_up()
        self._thread.start()
        await ready

    def start_blocking(self, timeout_s: float) -> bool:
        """Do the same without an event loop; return whether all was taken within the time. It goes on in any case."""
        ready = threading.Event()
        self._ask(ready.set)
        self._thread.start()
        return ready.wait(timeout_s)

    def caught_up(self) -> asyncio.Future[None]:
        """Return a future that is done when everything was taken that is on the topic when this is called.

        What is taken elsewhere than on the loop (`Here`) has no such future: only `start_blocking`.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ask(lambda: None if future.done() else future.set_result(None))
        return future

    async def stop(self) -> None:
        """Stop following."""
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Stop following, and wait for its thread."""
        self._stopping.set()
        if self._thread.ident is None:  # never started, so the thread does not close it
            self._consumer.close()
        else:
            self._thread.join()

    def _ask(self, answer: Callable[[], None]) -> None:
        with self._asked_lock:
            self._asked.append(answer)

    def _follow(self) -> None:
        reached = self._assign_all()
        answering: list[tuple[dict[int, int], Callable[[], None]]] = []
        while not self._stopping.is_set():
            try:
                self._take_batch(reached)
                self._say_places(reached)
                answering += self._new_questions(reached)
                answering = [question for question in answering if not self._answer(*question, reached)]
            except Exception:  # the operator sees it: without this thread all would go by what was once
                log.exception("index.following_failed", topic=self._topic)
                self._stopping.wait(_AGAIN_S)
        self._consumer.close()

    def _take_batch(self, reached: dict[int, int]) -> None:
        for message in self._consumer.consume(_BATCH, timeout=_POLL_S):
            if message.error() is not None:
                log.warning("index.consume_failed", topic=self._topic, error=str(message.error()))
                continue
            self._handover.call(lambda message=message: self._apply(message))  # type: ignore[misc]
            reached[message.partition() or 0] = (message.offset() or 0) + 1

    def _assign_all(self) -> dict[int, int]:
        while not self._stopping.is_set():
            try:
                metadata = self._consumer.list_topics(self._topic, timeout=_ASK_TIMEOUT_S).topics[self._topic]
                if metadata.partitions:
                    places = [TopicPartition(self._topic, each, OFFSET_BEGINNING) for each in metadata.partitions]
                    self._consumer.assign(places)
                    return dict.fromkeys(metadata.partitions, 0)
                log.warning("index.no_topic", topic=self._topic, do="hookline topics apply")
            except KafkaException as error:
                log.warning("index.kafka_away", topic=self._topic, error=str(error))
            time.sleep(_AGAIN_S)
        return {}

    def _new_questions(self, reached: dict[int, int]) -> list[tuple[dict[int, int], Callable[[], None]]]:
        with self._asked_lock:
            if not self._asked:
                return []
            asked, self._asked = self._asked, []
        try:
            ends = {each: self._end_of(each) for each in reached}
        except KafkaException as error:
            log.warning("index.kafka_away", topic=self._topic, error=str(error))
            with self._asked_lock:
                self._asked += asked
            return []
        return [(ends, answer) for answer in asked]

    def _end_of(self, partition: int) -> int:
        low, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), timeout=_ASK_TIMEOUT_S)
        return 0 if low == high else high

    def _answer(self, ends: dict[int, int], answer: Callable[[], None], reached: dict[int, int]) -> bool:
        behind = [each for each, end in ends.items() if reached[each] < end and self._position(each) < end]
        if behind:
            return False
        self._handover.call(answer)
        return True

    def _say_places(self, reached: dict[int, int]) -> None:
        places = {each: max(place, self._position(each)) for each, place in reached.items()}
        if places != self._said_places:
            self._said_places = places
            self._handover.call(lambda: self._on_followed(self._topic, places))

    def _position(self, partition: int) -> int:
        # Compaction and transactions leave offsets without records: the position passes them, the last record does not.
        return self._consumer.position([TopicPartition(self._topic, partition)])[0].offset

    def _apply(self, message: Message) -> None:
        try:
            self._take(message.key() or b"", message.value())
        except UnreadableRecord as error:
            self._on_unreadable(message, error)
