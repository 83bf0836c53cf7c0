"""A worker: routes and delivers until it is told to stop. `run_worker` is its whole life on one screen."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any, Final, cast

import structlog
from confluent_kafka import Message as KafkaMessage

from processors.agents import Agents
from processors.app import new_app
from processors.delivering import Deliverer
from processors.endpoints import Endpoints
from processors.errors import WorkerError
from processors.index import IndexFollower, SubscriptionIndex
from processors.intake import Flow, Intake
from processors.lanes.breaker import BreakerSettings
from processors.lanes.cursor_log import CursorLog
from processors.lanes.dispatch import Dispatcher
from processors.lanes.gates import Gates
from processors.lanes.limits import Limits
from processors.lanes.scanner import Scanner
from processors.lanes.takeover import Takeovers
from processors.metrics import RECORDS_QUARANTINED
from processors.quarantining import quarantined
from processors.rounds import CurrentRounds, rounds_follower
from processors.routing import Router, organization_of
from processors.sending import Sender
from processors.settings import WorkerSettings
from processors.skipping import Finished, OutcomeTail
from processors.watchdog import Watchdog
from producers.handover import Handover, LoopProducer
from producers.records import RecordProducer
from producers.settings import KafkaSettings
from schemas.codec import UnreadableRecord
from schemas.records import Position
from schemas.topics import DELIVER, REPLAY

log = structlog.get_logger("processors.worker")

MOST_ROUTED_AT_ONCE: Final = 200
_FLUSH_S: Final = 5.0
_LOOKUPS_AT_ONCE: Final = 32
VERSION: Final = "0.1.0"


async def run_worker(
    settings: WorkerSettings, kafka: KafkaSettings, *, on_ready: Callable[[], None] = lambda: None
) -> None:
    """Run a worker until SIGTERM or SIGINT; `on_ready` is called when it has its partitions.

    Raises UnfitSettings or WorkerError when it cannot start or go on: the process must end then, for its supervisor to
    start it again.
    """
    loop = asyncio.get_running_loop()
    # Names are looked up in its threads: the default, cores + 4, is soon full of customers' slow name servers.
    loop.set_default_executor(ThreadPoolExecutor(_LOOKUPS_AT_ONCE, thread_name_prefix="lookup"))
    stopping, failure = asyncio.Event(), _Failure()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    sealer = settings.sealer()
    handover = Handover(loop)
    records = RecordProducer(kafka.client_config(), patience_s=0, most_waiting=500_000)
    producer = LoopProducer(records)
    index = SubscriptionIndex()
    rounds = CurrentRounds()
    on_unreadable = _quarantine_in_background(producer, failure)
    follower = IndexFollower(index, kafka.client_config(), handover, on_unreadable=on_unreadable)
    of_rounds = rounds_follower(rounds, kafka.client_config(), handover, on_unreadable=on_unreadable)
    app = new_app(settings, kafka)
    finished = Finished()
    tail = OutcomeTail(kafka.client_config(), finished)
    sender = Sender(
        most_at_once=settings.most_in_flight + settings.most_behind + 2 * settings.most_replaying,
        allow_loopback=settings.development,
        ports=settings.ports,
        user_agent=f"Hookline/{VERSION}",
    )
    router = Router(index, producer, schedule_version=settings.retry_waits.version)
    deliverer = Deliverer(
        follower,
        Endpoints(sealer),
        sender,
        producer,
        finished=finished,
        rounds=rounds,
        schedule=settings.retry_waits,
        retry_jitter=settings.retry_jitter,
        worker=settings.worker_slot,
    )

    def flow() -> Flow:
        return cast(Flow, app.consumer)

    def assigned() -> list[tuple[str, int]]:
        return [(tp.topic, tp.partition) for tp in tuple(app.consumer.assignment())]

    cursors = CursorLog(kafka.client_config(), producer, handover, on_superseded=failure.note)
    scanner = Scanner(kafka.client_config(), handover)
    takeovers = Takeovers(
        kafka.client_config(), group=settings.worker_group, assigned=assigned, tail=tail, cursors=cursors
    )
    gates = Gates(
        BreakerSettings(
            share=settings.breaker_failure_share,
            least=settings.breaker_least_attempts,
            probe_every_s=settings.breaker_probe_every_s,
        )
    )

    def dispatcher(topic: str, *, live: int, behind: int) -> Dispatcher:
        return Dispatcher(
            topic,
            deliverer.deliver,
            settings_of=index.settings_of,
            flow=flow,
            take_over=partial(takeovers.of, topic),
            gates=gates,
            cursors=cursors,
            scanner=scanner,
            limits=_limits(settings, live=live, behind=behind),
            on_failure=failure.note,
        )

    agents = Agents(
        routing=Intake(
            router.route,
            flow=flow,
            most_at_once=MOST_ROUTED_AT_ONCE,
            most_records=settings.most_held_events,
            most_bytes=settings.most_held_event_bytes,
            most_bytes_in_all=settings.most_held_event_bytes,
            turn_of=organization_of,
            on_failure=failure.note,
        ),
        delivering=dispatcher(DELIVER, live=settings.most_in_flight, behind=settings.most_behind),
        replaying=dispatcher(REPLAY, live=settings.most_replaying, behind=settings.most_replaying),
    )
    agents.declare(app, settings.partitions)
    _follow_assignment(app, agents, takeovers, cursors)
    watchdog = Watchdog(
        kafka.client_config(),
        group=settings.worker_group,
        assigned=assigned,
        stalled_after_s=settings.stalled_after_s,
    )

    async def live() -> None:
        await asyncio.gather(follower.start(), of_rounds.start())
        log.info("index.ready", subscriptions=len(index), rounds=len(rounds))
        scanner.start()
        await app.start()
        watchdog.start()
        on_ready()
        log.info("worker.ready", slot=settings.worker_slot, group=settings.worker_group)
        await _first_of(failure.wait(), _crash_of(app))

    try:
        await _first_of(stopping.wait(), live())  # while it waits for Kafka it can be stopped as well
        log.info("worker.stopping", in_flight=agents.sending, waiting=agents.waiting)
        watchdog.stop()
        cut = await agents.stop(settings.stop_within_s)
        log.info("worker.stopped", cut_off=cut)
    finally:
        await app.stop()
        await asyncio.gather(follower.stop(), of_rounds.stop())
        cursors.let_go()
        scanner.stop()
        await sender.close()
        records.close(_FLUSH_S)  # on the loop: reports settle its futures
    failure.raise_if_noted()


def _limits(settings: WorkerSettings, *, live: int, behind: int) -> Limits:
    kept_s = timedelta(days=settings.events_retention_days).total_seconds()
    return Limits(
        live=live,
        behind=behind,
        cap=settings.most_per_subscription,
        soft_s=settings.soft_limit_s,
        bytes=settings.most_queued_bytes,
        share_records=settings.most_held_records,
        share_bytes=settings.most_held_bytes,
        # A topic forgets by segments, at the earliest at its retention: a tenth of it is a margin for days of 24 h.
        held_for_s=kept_s * 0.9,
    )


def _follow_assignment(app: Any, agents: Agents, takeovers: Takeovers, cursors: CursorLog) -> None:
    """Have the agents hear of every assignment: what is behind goes on although nothing new comes."""

    async def on_assigned(*_: object, **__: object) -> None:
        agents.begin(app.consumer_generation_id)

    async def on_revoked(*_: object, **__: object) -> None:
        agents.drop()
        takeovers.cancel()
        cursors.let_go()

    app.on_partitions_assigned.connect(on_assigned, weak=False)
    app.on_partitions_revoked.connect(on_revoked, weak=False)


class _Failure:
    """The first thing that went wrong in a background task, and the way to wait for it."""

    def __init__(self) -> None:
        self._happened = asyncio.Event()
        self._error: BaseException | None = None

    def note(self, error: BaseException) -> None:
        if self._error is None:
            log.critical("worker.failed", error=f"{type(error).__name__}: {error}", exc_info=error)
            self._error = error
        self._happened.set()

    async def wait(self) -> None:
        await self._happened.wait()

    def raise_if_noted(self) -> None:
        if self._error is not None:
            raise WorkerError(f"{type(self._error).__name__}: {self._error}") from self._error


def _quarantine_in_background(
    producer: LoopProducer, failure: _Failure
) -> Callable[[KafkaMessage, UnreadableRecord], None]:
    tasks: set[asyncio.Task[None]] = set()

    def done(task: asyncio.Task[None]) -> None:
        tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            failure.note(error)

    def on_unreadable(message: KafkaMessage, error: UnreadableRecord) -> None:
        source = Position(topic=message.topic() or "", partition=message.partition() or 0, offset=message.offset() or 0)
        record = quarantined(source, message.key(), message.value(), [], error=error, stage="index")
        RECORDS_QUARANTINED.labels(stage="index").inc()
        task = asyncio.create_task(producer.send([record]))
        tasks.add(task)
        task.add_done_callback(done)

    return on_unreadable


async def _crash_of(app: Any) -> None:
    """Return when Faust has crashed: it logs, stops its services and leaves the process standing."""
    while not app.crashed:  # noqa: ASYNC110 - Faust has no event for it
        await asyncio.sleep(0.5)
    raise WorkerError(f"Faust crashed: {app.crash_reason!r}")


async def _first_of(*waits: Awaitable[object]) -> None:
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
