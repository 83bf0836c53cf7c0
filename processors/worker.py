"""A worker: routes and delivers until it is told to stop. `run_worker` is its whole life on one screen."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import structlog
from confluent_kafka import Message as KafkaMessage

from processors.agents import Agents
from processors.app import new_app
from processors.converting import Converter, turn_of
from processors.delivering import Deliverer
from processors.endpoints import Endpoints
from processors.errors import WorkerError
from processors.event_types import EventChecks
from processors.filtering import FailureReports
from processors.index import IndexFollower, SubscriptionIndex
from processors.intake import Flow, Intake
from processors.lanes.assembly import Lanes
from processors.metrics import RECORDS_QUARANTINED, note_followed
from processors.quarantining import quarantined
from processors.rounds import CurrentRounds, rounds_follower
from processors.routing import Router, organization_of
from processors.sending import Sender
from processors.settings import WorkerSettings
from processors.skipping import Finished, OutcomeTail
from processors.watchdog import Watchdog
from producers.event_types import EventTypesFollower
from producers.handover import Handover, LoopProducer
from producers.records import RecordProducer
from producers.settings import KafkaSettings
from schemas.catalogue import Catalogue
from schemas.codec import UnreadableRecord
from schemas.records import Position
from schemas.topics import DELIVER, REPLAY

log = structlog.get_logger("processors.worker")

MOST_ROUTED_AT_ONCE: Final = 200
MOST_CONVERTED_AT_ONCE: Final = 200
_FLUSH_S: Final = 5.0
VERSION: Final = "0.1.0"


async def run_worker(
    settings: WorkerSettings, kafka: KafkaSettings, *, on_ready: Callable[[], None] = lambda: None
) -> None:
    """Run a worker until SIGTERM or SIGINT; `on_ready` is called when it has its partitions.

    Raises UnfitSettings or WorkerError when it cannot start or go on: the process must end then, for its supervisor to
    start it again.
    """
    loop = asyncio.get_running_loop()
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
    of_types = EventTypesFollower(
        Catalogue(), kafka.client_config(), handover, on_unreadable=on_unreadable, on_followed=note_followed
    )
    app = new_app(settings, kafka)
    finished = Finished()
    sender = Sender(
        most_at_once=settings.most_in_flight + settings.most_behind + 2 * settings.most_replaying,
        allow_loopback=settings.development,
        ports=settings.ports,
        user_agent=f"Hookline/{VERSION}",
    )
    reports = FailureReports(producer.send, on_failure=failure.note)
    checks = EventChecks(of_types.catalogue, of_types.caught_up)
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

    def assigned() -> list[tuple[str, int]]:
        return [(tp.topic, tp.partition) for tp in tuple(app.consumer.assignment())]

    lanes = Lanes(
        settings,
        kafka,
        producer,
        handover,
        tail=OutcomeTail(kafka.client_config(), finished),
        assigned=assigned,
        on_failure=failure.note,
    )
    agents = Agents(
        routing=_routing(
            settings,
            Router(
                index,
                producer,
                schedule_version=settings.retry_waits.version,
                failures=reports,
                catalogue=of_types.catalogue,
                checks=checks,
            ),
            lambda: cast(Flow, app.consumer),
            failure,
        ),
        converting=_converting(settings, Converter(producer, checks=checks), lambda: cast(Flow, app.consumer), failure),
        delivering=lanes.of(DELIVER, deliverer, index, lambda: cast(Flow, app.consumer)),
        replaying=lanes.of(REPLAY, deliverer, index, lambda: cast(Flow, app.consumer)),
    )
    agents.declare(app, settings.partitions)
    _follow_assignment(app, agents, lanes)
    watchdog = Watchdog(
        kafka.client_config(),
        group=settings.worker_group,
        assigned=assigned,
        stalled_after_s=settings.stalled_after_s,
    )

    async def live() -> None:
        await asyncio.gather(follower.start(), of_rounds.start(), of_types.start())
        log.info("index.ready", subscriptions=len(index), rounds=len(rounds))
        lanes.start()
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
        await reports.stop()
        log.info("worker.stopped", cut_off=cut)
    finally:
        await app.stop()
        await asyncio.gather(follower.stop(), of_rounds.stop(), of_types.stop())
        await lanes.stop()
        await sender.close()
        records.close(_FLUSH_S)  # on the loop: reports settle its futures
    failure.raise_if_noted()


def _routing(settings: WorkerSettings, router: Router, flow: Callable[[], Flow], failure: "_Failure") -> Intake:
    return Intake(
        router.route,
        flow=flow,
        most_at_once=MOST_ROUTED_AT_ONCE,
        most_records=settings.most_held_events,
        most_bytes=settings.most_held_event_bytes,
        most_bytes_in_all=settings.most_held_event_bytes,
        turn_of=organization_of,
        on_failure=failure.note,
    )


def _converting(
    settings: WorkerSettings, converter: Converter, flow: Callable[[], Flow], failure: "_Failure"
) -> Intake:
    return Intake(
        converter.convert,
        flow=flow,
        most_at_once=MOST_CONVERTED_AT_ONCE,
        most_records=settings.most_held_records,
        most_bytes=settings.most_held_bytes,
        turn_of=turn_of,
        on_failure=failure.note,
    )


def _follow_assignment(app: Any, agents: Agents, lanes: Lanes) -> None:
    """Have the agents hear of every assignment: what is behind goes on although nothing new comes."""

    async def on_assigned(*_: object, **__: object) -> None:
        agents.begin(app.consumer_generation_id)

    async def on_revoked(*_: object, **__: object) -> None:
        agents.drop()
        lanes.let_go()

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
