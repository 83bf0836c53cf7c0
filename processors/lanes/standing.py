"""Live or behind: how a lane changes between the two, and what of it is written to `hookline.behind`."""

from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from processors.lanes.background import Background
from processors.lanes.cursor_log import CursorLog
from processors.lanes.cursors import key_of
from processors.lanes.gate import Reason
from processors.lanes.lane import Lane
from processors.lanes.pools import Pools
from processors.metrics import LANES_BEHIND, WENT_BEHIND
from schemas.ids import SubscriptionId
from schemas.records import Cursor, Subscription

log = structlog.get_logger("processors.lanes")


class Standing:
    """Moves lanes between live and behind. Lives on the event loop."""

    def __init__(
        self,
        topic: str,
        cursors: CursorLog,
        pools: Pools,
        background: Background,
        *,
        settings_of: Callable[[SubscriptionId], Subscription | None],
        on_acked: Callable[[Lane], None],
        on_live: Callable[[Lane], None],
    ) -> None:
        """Prepare; `on_acked` hears of lanes whose held acks were let go, `on_live` of those that are live again."""
        self._topic = topic
        self._cursors = cursors
        self._pools = pools
        self._background = background
        self._settings_of = settings_of
        self._on_acked = on_acked
        self._on_live = on_live

    def go_behind(self, lane: Lane, reason: Reason) -> None:
        """Let a lane's records be acked as they come, once its cursor is with the brokers."""
        if lane.is_cursors:
            if lane.reason is not reason:
                lane.reason = reason
                self._background.run(self.save(lane))
            return
        self.begin(lane, reason)
        self._background.run(self.save(lane))

    def begin(self, lane: Lane, reason: Reason) -> None:
        """Make a lane one that is behind; `save` must follow."""
        lane.reason = reason
        if lane.is_leaving:  # its old cursor is there still, and below all that is live
            lane.is_leaving = False
            self._let_acks_go(lane)
            return
        lane.is_behind, lane.is_durable = True, False
        lane.since = datetime.now(UTC)
        self._note(lane)
        WENT_BEHIND.labels(topic=self._topic, reason=reason.value).inc()
        log.info(
            "subscription.behind",
            subscription_id=lane.subscription_id,
            key=lane.id[1],
            topic=self._topic,
            partition=lane.share.tp.partition,
            next=lane.lowest_unfinished(),
            reason=reason.value,
        )

    def restore(self, lane: Lane, cursor: Cursor, ends_at: int) -> None:
        """Go on where a lane's last holder stopped; what is at `ends_at` and later comes by itself.

        How its endpoint is doing is not known: one at a time, then more.
        """
        lane.gate.is_suspect = True
        lane.is_behind = lane.is_durable = True
        lane.reason, lane.since, lane.saved = Reason(cursor.reason), cursor.since, cursor
        lane.attempt, lane.history, lane.not_before = cursor.attempt, cursor.history, cursor.not_before
        lane.last = max(ends_at, cursor.next) - 1
        lane.position = cursor.next
        lane.is_missing = lane.position <= lane.last
        self._note(lane)

    async def save(self, lane: Lane) -> bool:
        """Write where a lane stands; return when the brokers have it, False when it is not ours any more."""
        lane.saved = cursor = lane.cursor(self._topic)
        since = lane.since
        key = key_of(self._topic, lane.subscription_id, lane.id[1])
        if not await self._cursors.save(lane.share.tp.partition, key, cursor) or lane.share.dropped:
            return False
        if lane.is_behind and lane.since is since:  # not live and behind anew: its null stands after this one
            lane.is_durable = True
            if not lane.is_leaving:
                self._let_acks_go(lane)
            self.leave_if_caught_up(lane)
        return True

    def save_if_moved(self, lane: Lane) -> None:
        """Write where a lane stands, if that has changed."""
        if lane.is_durable and lane.saved is not None and lane.saved.next != lane.lowest_unfinished():
            self._background.run(self.save(lane))

    def leave_if_caught_up(self, lane: Lane) -> None:
        """Let what is new of a lane that has caught up be live, and drop its cursor when the last old one has ended."""
        if not lane.is_leaving:
            if not self._has_caught_up(lane):
                return
            lane.is_leaving = True
        if any(offset not in lane.held for offset in lane.running):
            return
        self._forget(lane)
        key = key_of(self._topic, lane.subscription_id, lane.id[1])
        self._background.run(self._cursors.save(lane.share.tp.partition, key, None))
        log.info("subscription.live", subscription_id=lane.subscription_id, key=lane.id[1], topic=self._topic)
        self._on_live(lane)

    def _has_caught_up(self, lane: Lane) -> bool:
        if not (lane.is_behind and lane.is_durable) or lane.queue or lane.is_missing or lane.not_before is not None:
            return False
        if lane.id[1] is not None:  # how the endpoint is doing is its subscription's own lane's affair
            return not lane.running  # which must not overtake what is open of the key
        settings = self._settings_of(lane.subscription_id)
        if settings is None or not settings.enabled:
            return True  # nobody is asked any more, so no success will come
        gate = lane.gate
        if gate.last_failed or (gate.is_suspect and gate.in_flight):
            return False
        return not gate.holds(settings)

    def _let_acks_go(self, lane: Lane) -> None:
        if lane.is_durable:
            lane.let_acks_go()
            self._pools.give_back_live(lane)
            self._on_acked(lane)

    def _note(self, lane: Lane) -> None:
        lane.share.behind[lane.id] = lane
        if lane.id[1] is not None:
            lane.share.parked[lane.id[0]] += 1
        LANES_BEHIND.labels(topic=self._topic).inc()

    def _forget(self, lane: Lane) -> None:
        lane.is_behind = lane.is_leaving = lane.is_durable = False
        lane.saved = lane.since = None
        del lane.share.behind[lane.id]
        if lane.id[1] is not None:
            lane.share.parked[lane.id[0]] -= 1
        LANES_BEHIND.labels(topic=self._topic).dec()
