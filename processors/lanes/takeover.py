"""What a worker must know of partitions that it is given, before it sends anything of them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import Consumer, KafkaException, TopicPartition

from processors.lanes.cursor_log import CursorLog, Cursors
from processors.lanes.dispatch import Takeover
from processors.skipping import OutcomeTail
from schemas.topics import DELIVER, REPLAY

_ASK_TIMEOUT_S = 10.0


class Takeovers:
    """Loads cursors, commits and the skip set once a generation; both dispatchers wait for the same loading."""

    def __init__(
        self,
        client_config: Mapping[str, str],
        *,
        group: str,
        assigned: Callable[[], Sequence[tuple[str, int]]],
        tail: OutcomeTail,
        cursors: CursorLog,
    ) -> None:
        """Prepare; `assigned` returns this worker's partitions now."""
        self._config = {**client_config, "group.id": group, "enable.auto.commit": False}
        self._assigned = assigned
        self._tail = tail
        self._cursors = cursors
        self._loading: tuple[int, asyncio.Task[tuple[Cursors, dict[tuple[str, int], int]]]] | None = None

    def cancel(self) -> None:
        """Hear that partitions were taken from us: what is being loaded is of no use, and nothing is claimed."""
        self._loading = None

    async def of(self, topic: str, generation: int) -> Takeover:
        """Return what is known of a topic's partitions in this generation.

        Raises WorkerError, or KafkaException, when the brokers do not answer in time.
        """
        if self._loading is None or self._loading[0] != generation:
            self._loading = generation, asyncio.create_task(self._load(generation))
        cursors, committed = await asyncio.shield(self._loading[1])
        return Takeover(
            cursors=cursors,
            committed={partition: offset for (of, partition), offset in committed.items() if of == topic},
        )

    async def _load(self, generation: int) -> tuple[Cursors, dict[tuple[str, int], int]]:
        places = [place for place in self._assigned() if place[0] in (DELIVER, REPLAY)]
        numbers = {partition for _, partition in places}
        # The claim before the commits: whoever had the partitions could commit until they were ours, and not after.
        _, cursors = await asyncio.gather(
            self._tail.load(numbers),
            self._cursors.take_over(numbers, is_ours=lambda: self._is_loading(generation)),
        )
        return cursors, await asyncio.to_thread(self._committed, places)

    def _is_loading(self, generation: int) -> bool:
        return self._loading is not None and self._loading[0] == generation

    def _committed(self, places: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
        if not places:
            return {}
        consumer = Consumer(self._config)
        try:
            asked = [TopicPartition(topic, partition) for topic, partition in places]
            found = consumer.committed(asked, timeout=_ASK_TIMEOUT_S)
            for place in found:
                if place.error is not None:  # it has no offset then, and 0 would say that nothing was ever committed
                    raise KafkaException(place.error)
            return {(place.topic, place.partition): max(place.offset, 0) for place in found}
        finally:
            consumer.close()
