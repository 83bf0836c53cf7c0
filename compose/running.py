"""One process each: `hookline api`, `worker`, `mover`, `projector`, `relay`; SIGTERM or SIGINT ends them cleanly.

Wrong settings end a process at once. Kafka being away does not: worker, mover and projector wait for it and for their
topics, and say so every few seconds; API and relay start and go on by themselves when it is back.
"""

import asyncio
import errno
import gc
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final, cast

import structlog
import uvloop
from confluent_kafka import KafkaException
from prometheus_client import start_http_server

from compose.settings import ProcessSettings, worker_settings
from compose.topics import Brokers, topics_of
from processors.settings import WorkerSettings
from producers.settings import KafkaSettings
from schemas.errors import HooklineError

if TYPE_CHECKING:
    from producers.relay import Relay

log = structlog.get_logger("compose.running")

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_ASK_TIMEOUT_S: Final = 3.0
_ASK_EVERY_S: Final = 0.5
_SAY_EVERY_S: Final = 5.0
# A worker allocates much and makes few cycles: the default 700 has the collector walk its objects all the time.
_GC_THRESHOLDS: Final = (50_000, 50, 100)


class RunError(HooklineError):
    """A process cannot start, or had to end."""


class RoutedKafkaSettings(KafkaSettings):
    """For processes: what librdkafka would print on stderr goes through `logging` into the same format."""

    def client_config(self) -> dict[str, str]:
        """Return a client's configuration; its messages come when the client is polled."""
        import logging

        config = {**super().client_config(), "logger": logging.getLogger("librdkafka")}
        return cast(dict[str, str], config)  # the one value that is no string; every caller hands it on untouched


def run_api() -> None:
    """Serve the API. Raises RunError when its address cannot be had."""
    from api.serving import serve
    from api.settings import ApiSettings

    settings = ApiSettings()
    with _ready_file() as ready:
        try:
            serve(settings, RoutedKafkaSettings(), announce=lambda _: ready())
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES):
                raise
            where = f"{settings.api_host}:{settings.api_port}"
            raise RunError(
                f"cannot listen on {where} ({os.strerror(error.errno)}): set HOOKLINE_API_PORT or HOOKLINE_API_HOST"
            ) from error


def run_relay() -> None:
    """Relay the outbox to Kafka; it is ready when it is the one that sends."""
    from api.settings import ApiSettings
    from producers.relay import Relay

    database_url, settings = ApiSettings().database_url, worker_settings()

    with _ready_file() as ready, _metrics_server(settings), _runner() as runner:
        runner.run(_relaying(lambda: Relay(database_url, RoutedKafkaSettings()), ready))


def run_outbox_relay(database_url: str, table: str) -> None:
    """Relay a service's own outbox to Kafka; it is ready when it has reached the service's database."""
    from producers.database_urls import libpq_url
    from producers.event_outbox import EventOutbox
    from producers.secret_settings import UnfitSettings

    try:
        database_url = libpq_url(database_url)
    except ValueError as error:
        raise UnfitSettings(f"DATABASE_URL: {error}") from None
    outbox = EventOutbox(source="/", table=table)
    with _ready_file() as ready, _runner() as runner:
        runner.run(_relaying(lambda: outbox.relay_of(database_url, RoutedKafkaSettings()), ready))


async def _relaying(make: "Callable[[], Relay]", ready: Callable[[], None]) -> None:
    relay = make()
    _stop_on_signal(relay.stop)
    active = asyncio.create_task(relay.wait_active())
    active.add_done_callback(lambda task: None if task.cancelled() else ready())
    try:
        await relay.run()
    finally:
        active.cancel()


def run_projector() -> None:
    """Write the delivery log, and keep its tables; replay, send e-mails, sweep and keep signing keys beside it.

    It is ready when it has partitions and knows where to begin.
    """
    from api.event_types.knowing import KnownEventTypes
    from api.mail.sending import MailSender
    from api.oauth.keeping import KeyKeeper
    from api.projection.days import DayKeeper
    from api.projection.projector import Projector
    from api.projection.settings import ProjectorSettings
    from api.replays.running import ReplayRunner
    from api.settings import ApiSettings
    from api.sweeping import Sweeper

    settings, of_processes, kafka = ProjectorSettings(), worker_settings(), RoutedKafkaSettings()
    mails, keys = MailSender(ApiSettings()), KeyKeeper(ApiSettings())  # before Kafka: no setting gets better by waiting

    async def projecting() -> None:
        event_types = KnownEventTypes(settings.database_url)
        projector = Projector(
            settings.database_url,
            kafka.client_config(),
            catalogue=event_types.catalogue,
            limits=settings.limits,
            group=settings.projector_group,
            slot=of_processes.worker_slot,
            most_records=settings.projection_batch,
            database_wait_s=settings.database_wait_s,
            database_query_s=settings.database_query_s,
        )

        async def knowing() -> None:
            await event_types.tried.wait()  # what is secret in a record should be known before it is written
            await projector.run()

        keeper = DayKeeper(settings.database_url, retention=timedelta(days=settings.log_retention_days))
        runner = ReplayRunner(ApiSettings(), kafka)
        sweeper = Sweeper(settings.database_url)
        _stop_on_signal(projector.stop)
        # What runs for as long as the projection does: it is cancelled when that has stopped.
        beside = (event_types.run(), keeper.run(), runner.run(), mails.run(), sweeper.run(), keys.run())
        await _with_beside(knowing(), *beside, _then(projector.placed.wait(), ready))

    with _ready_file() as ready, _metrics_server(of_processes), _stop_signals() as stopping:
        if wait_for_topics(of_processes, kafka, stopping) is None or stopping.is_set():
            return
        with _runner() as runner:
            runner.run(projecting())


def run_mover() -> None:
    """Move due records on; it is ready when it has partitions."""
    from compose.moving import RunningMover

    settings, kafka = worker_settings(), RoutedKafkaSettings()
    with _ready_file() as ready, _metrics_server(settings), _stop_signals() as stopping:
        if (existing := wait_for_topics(settings, kafka, stopping)) is None:
            return
        running = RunningMover(settings, kafka, existing)
        running.when_it_has_partitions(ready)
        _call_on_signal(running.stop)
        if not stopping.is_set():
            running.run()


def run_worker(*, with_mover: bool) -> None:
    """Route and deliver; `with_mover` moves due records too, in a thread of this process."""
    from compose.moving import mover_beside
    from processors import worker

    settings, kafka = worker_settings(), RoutedKafkaSettings()
    settings.sealer()  # before Kafka: no setting gets better by waiting
    with _ready_file() as ready, _metrics_server(settings), _stop_signals() as stopping:
        if (existing := wait_for_topics(settings, kafka, stopping)) is None:
            return

        def on_ready() -> None:
            check_mover()
            gc.collect()
            gc.freeze()  # what is here now stays: the collector need not look at it again
            gc.set_threshold(*_GC_THRESHOLDS)
            ready()

        with mover_beside(settings, kafka, existing if with_mover else None) as check_mover, _runner() as runner:
            runner.run(worker.run_worker(settings, kafka, on_ready=on_ready))


def wait_for_topics(
    settings: WorkerSettings, kafka: KafkaSettings, stopping: threading.Event, *, say_every_s: float = _SAY_EVERY_S
) -> Sequence[str] | None:
    """Return the names of all topics once every declared one is there, None when `stopping` came first.

    Raises RunError when a topic has another number of partitions than the settings say.
    """
    declared, admin = topics_of(settings), Brokers(kafka)
    said_at = -say_every_s
    while not stopping.is_set():
        try:
            found = admin.list_topics(timeout=_ASK_TIMEOUT_S).topics
            missing = [topic.name for topic in declared if topic.name not in found]
            if not missing:
                for topic in declared:
                    _check_partitions(topic.name, len(found[topic.name].partitions), topic.partitions)
                return sorted(found)
            waits_for = f"topics {', '.join(missing)}: run `hookline topics apply`"
        except KafkaException as error:
            waits_for = f"Kafka at {kafka.bootstrap_servers}: {error.args[0].str()}"
        if time.monotonic() - said_at >= say_every_s:
            said_at = time.monotonic()
            log.warning("process.waiting", waits_for=waits_for)
        stopping.wait(_ASK_EVERY_S)
    return None


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Note a signal instead of dying of it; event loops that begin later put their own handlers in place."""
    stopping = threading.Event()
    _call_on_signal(stopping.set)
    yield stopping


def _call_on_signal(call: Callable[[], None]) -> None:
    def handle(_: int, __: FrameType | None) -> None:
        call()

    for number in STOP_SIGNALS:
        signal.signal(number, handle)


def _stop_on_signal(stop: Callable[[], None]) -> None:
    """Call `stop` in the running loop when the process is told to end."""
    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop)


async def _with_beside(main: Coroutine[object, object, None], *others: Coroutine[object, object, None]) -> None:
    """Run `main` to its end and the others beside it; what fails in any of them ends all and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            beside = [group.create_task(other) for other in others]
            await group.create_task(main)
            for task in beside:
                task.cancel()
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from failures


async def _then(event: Awaitable[object], call: Callable[[], None]) -> None:
    await event
    call()


@contextmanager
def _metrics_server(settings: WorkerSettings) -> Iterator[None]:
    if settings.metrics_port is None:
        yield
        return
    where = f"{settings.metrics_host}:{settings.metrics_port}"
    try:
        server, thread = start_http_server(settings.metrics_port, settings.metrics_host)
    except OSError as error:
        raise RunError(f"cannot listen on {where} for metrics ({error.strerror}): set HOOKLINE_METRICS_PORT") from error
    log.info("metrics.serving", url=f"http://{settings.metrics_host}:{server.server_port}/metrics")
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def _ready_file() -> Iterator[Callable[[], None]]:
    """Yield what says that the process is ready: it writes HOOKLINE_READY_FILE, which goes when the process ends."""
    path = ProcessSettings().ready_file
    if path is None:
        yield lambda: None
        return
    path.unlink(missing_ok=True)  # of a process that was killed
    try:
        yield lambda: _write_pid(path)
    finally:
        path.unlink(missing_ok=True)


def _write_pid(path: Path) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")  # whoever sees the file must not find it empty
    draft.write_text(f"{os.getpid()}\n")
    draft.replace(path)


def _runner() -> asyncio.Runner:
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


def _check_partitions(topic: str, has: int, wanted: int) -> None:
    if has != wanted:
        raise RunError(f"{topic} has {has} partitions and HOOKLINE_PARTITIONS says {wanted}: set it to {has}")
