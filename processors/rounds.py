"""In which round a delivery is sent now: of an earlier round, nothing is tried again.

A delivery that waits in a tier can be sent again by hand meanwhile. Who does so says it on `hookline.rounds` first, and
what comes out of the tier later is dropped.
"""

import heapq
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from confluent_kafka import Message

from processors.metrics import note_followed
from producers.following import TopicFollower
from producers.handover import Handover
from schemas.codec import UnreadableRecord, decode
from schemas.ids import DeliveryId
from schemas.records import FIRST_ROUND, CurrentRound, Delivery
from schemas.topics import ROUNDS

REMEMBERED_FOR: Final = timedelta(days=8)  # the longest wait and a day: an earlier round's record is out of its tier
MOST_REMEMBERED: Final = 200_000  # about 80 MB


class CurrentRounds:
    """The newest round known of each delivery that has more than its first. Lives on the event loop."""

    def __init__(self) -> None:
        self._rounds: dict[DeliveryId, str] = {}
        self._by_age: list[tuple[datetime, DeliveryId, str]] = []  # a heap: the topic's partitions come interleaved

    def __len__(self) -> int:
        return len(self._rounds)

    def take(self, _: bytes, value: bytes | None) -> None:
        """Take a record of the topic; raises UnreadableRecord. Nobody deletes one: they go by their age."""
        if value is not None:
            current = decode(CurrentRound, value)
            self.note(current.delivery_id, current.round, current.since)

    def note(self, delivery_id: DeliveryId, round_: str, since: datetime) -> None:
        """Remember that a delivery is sent in this round since then, unless a later round is known."""
        if self._rounds.get(delivery_id, FIRST_ROUND) >= round_:
            return
        now = datetime.now(UTC)
        self._rounds[delivery_id] = round_
        heapq.heappush(self._by_age, (min(since, now), delivery_id, round_))
        while self._by_age and (len(self._by_age) > MOST_REMEMBERED or self._by_age[0][0] < now - REMEMBERED_FOR):
            _, oldest, its_round = heapq.heappop(self._by_age)
            if self._rounds.get(oldest) == its_round:
                del self._rounds[oldest]

    def supersedes(self, delivery: Delivery) -> bool:
        """Return whether a later round than its own took over from a delivery that waited for another attempt.

        A first attempt waited nowhere: nobody takes over from it.
        """
        if delivery.attempt == 1:
            return False
        known = self._rounds.get(delivery.id)
        return known is not None and known > delivery.round  # by code points, which is by bytes in UTF-8


def rounds_follower(
    rounds: CurrentRounds,
    client_config: Mapping[str, str],
    handover: Handover,
    *,
    on_unreadable: Callable[[Message, UnreadableRecord], None],
) -> TopicFollower:
    """Return what feeds `rounds` from `hookline.rounds`."""
    return TopicFollower(
        ROUNDS, client_config, handover, take=rounds.take, on_unreadable=on_unreadable, on_followed=note_followed
    )
