"""A mover in one of our processes: which tiers it reads, its metrics, and beside a worker in a thread."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import structlog

from processors import metrics
from processors.mover import Mover
from processors.settings import WorkerSettings
from producers.settings import KafkaSettings
from schemas.errors import HooklineError, InvalidInput
from schemas.topics import RETRY_PREFIX
from schemas.waits import parse_duration

log = structlog.get_logger("compose.moving")

_ENDS_WITHIN_S: Final = 10.0


class MoverFailed(HooklineError):
    """The mover beside a worker ended by itself."""


def older_tiers(topics: Sequence[str], tiers: Sequence[timedelta]) -> list[timedelta]:
    """Return the waits of retry topics that an earlier schedule made: they are emptied and not filled."""
    return [wait for name in topics if (wait := _wait_of(name)) is not None and wait not in tiers]


class RunningMover:
    """A mover with its metrics, and what becomes of it."""

    def __init__(self, settings: WorkerSettings, kafka: KafkaSettings, existing: Sequence[str]) -> None:
        tiers = settings.retry_waits.tiers
        self._mover = Mover(
            kafka.client_config(),
            tiers,
            older_tiers=older_tiers(existing, tiers),
            group=settings.mover_group,
            slot=settings.worker_slot,
        )
        progress = self._mover.progress
        metrics.OVERDUE_SECONDS.set_function(lambda: progress.overdue_s)
        metrics.TIER_WAITING.set_function(lambda: progress.waiting)
        metrics.MOVED.set_function(lambda: progress.moved)
        self._ended = threading.Event()

    def run(self) -> None:
        """Move records until `stop`; raises WorkerError when the broker throws this member out."""
        try:
            self._mover.run()
        finally:
            self._ended.set()

    def stop(self) -> None:
        """Have `run` return within a few seconds; also from a signal handler."""
        self._mover.stop()

    def when_it_has_partitions(self, call: Callable[[], None]) -> None:
        """Call `call` once, from a thread, when the mover holds its first partitions."""

        def look() -> None:
            while not self._ended.wait(0.05):  # the mover has no event for it
                if self._mover.progress.partitions:
                    call()
                    return

        threading.Thread(target=look, name="mover-ready", daemon=True).start()


@contextmanager
def mover_beside(
    settings: WorkerSettings, kafka: KafkaSettings, existing: Sequence[str] | None
) -> Iterator[Callable[[], None]]:
    """Run a mover in a thread; when it ends by itself the process is told to stop, and why is raised afterwards.

    Yields what tells it again: a mover may end before the worker listens to signals. None for `existing` runs none.
    """
    if existing is None:
        yield lambda: None
        return
    running, failures = RunningMover(settings, kafka, existing), list[BaseException]()

    def run() -> None:
        try:
            running.run()
        except BaseException as error:  # noqa: BLE001 - raised again below, in the process's own thread
            log.critical("mover.failed", error=f"{type(error).__name__}: {error}")
            failures.append(error)
            check()

    def check() -> None:
        if failures:
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=run, name="mover", daemon=True)
    thread.start()
    try:
        yield check
    finally:
        running.stop()
        thread.join(_ENDS_WITHIN_S)
    if failures:
        raise MoverFailed(f"the mover failed: {failures[0]}") from failures[0]


def _wait_of(topic: str) -> timedelta | None:
    if not topic.startswith(RETRY_PREFIX):
        return None
    try:
        return parse_duration(topic.removeprefix(RETRY_PREFIX))
    except InvalidInput:
        return None
