"""What the dispatchers of a worker share: the gates, the cursors, the scanner, and what is loaded when they begin."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

from processors.delivering import Deliverer
from processors.index import SubscriptionIndex
from processors.intake import Flow
from processors.lanes.breaker import BreakerSettings
from processors.lanes.cursor_log import CursorLog
from processors.lanes.dispatch import Dispatcher
from processors.lanes.gates import Gates
from processors.lanes.limits import Limits
from processors.lanes.scanner import Scanner
from processors.lanes.takeover import Takeovers
from processors.settings import WorkerSettings
from processors.skipping import OutcomeTail
from producers.handover import Handover, LoopProducer
from producers.settings import KafkaSettings
from schemas.topics import DELIVER

_FORGOTTEN_FROM = 0.9  # of a topic's retention: what has waited for so long is given to replay


class Lanes:
    """Makes dispatchers that share what a subscription has of its own, whatever topic its deliveries come from."""

    def __init__(
        self,
        settings: WorkerSettings,
        kafka: KafkaSettings,
        producer: LoopProducer,
        handover: Handover,
        *,
        tail: OutcomeTail,
        assigned: Callable[[], Sequence[tuple[str, int]]],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """Prepare; `assigned` returns this worker's partitions now. What goes wrong goes to `on_failure`."""
        self._settings = settings
        self._on_failure = on_failure
        config = kafka.client_config()
        self._cursors = CursorLog(config, producer, handover, on_superseded=on_failure)
        self._scanner = Scanner(config, handover)
        group = settings.worker_group
        self._takeovers = Takeovers(config, group=group, assigned=assigned, tail=tail, cursors=self._cursors)
        self._gates = Gates(
            BreakerSettings(
                share=settings.breaker_failure_share,
                least=settings.breaker_least_attempts,
                probe_every_s=settings.breaker_probe_every_s,
            )
        )

    def of(self, topic: str, deliverer: Deliverer, index: SubscriptionIndex, flow: Callable[[], Flow]) -> Dispatcher:
        """Return a topic's dispatcher. Replays have bounds of their own: they take no live place."""
        return Dispatcher(
            topic,
            deliverer.deliver,
            settings_of=index.settings_of,
            flow=flow,
            take_over=partial(self._takeovers.of, topic),
            gates=self._gates,
            cursors=self._cursors,
            scanner=self._scanner,
            limits=_limits(self._settings, is_live=topic == DELIVER),
            on_failure=self._on_failure,
        )

    def start(self) -> None:
        """Begin to read again what was passed over, when asked to."""
        self._scanner.start()

    def let_go(self) -> None:
        """Write of no partition any more: they may be somebody else's."""
        self._takeovers.cancel()
        self._cursors.let_go()

    async def stop(self) -> None:
        """Stop reading and writing."""
        self.let_go()
        await asyncio.to_thread(self._scanner.stop)


def _limits(settings: WorkerSettings, *, is_live: bool) -> Limits:
    kept = timedelta(days=settings.events_retention_days)
    return Limits(
        live=settings.most_in_flight if is_live else settings.most_replaying,
        behind=settings.most_behind if is_live else settings.most_replaying,
        cap=settings.most_per_subscription,
        soft_s=settings.soft_limit_s,
        bytes=settings.most_queued_bytes,
        share_records=settings.most_held_records,
        share_bytes=settings.most_held_bytes,
        held_for_s=kept.total_seconds() * _FORGOTTEN_FROM,
    )
