"""The replay runner: sends what replays ask for, in the projector's process, beside live deliveries and never as them.

One runner works, others stand by: it holds an advisory lock in PostgreSQL for as long as its connection lives, so that
another goes on as soon as it is killed. Nothing that lasts is in its memory. What it sent and could not mark any more
is sent again as the same sending.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, TypeAlias

import asyncpg
import structlog

from api.database import engine_of
from api.replays.bulk import BulkReplay, Workshop
from api.replays.keeping import Keeper, Retries
from api.replays.log_replay import LogReplay
from api.replays.perseverance import persevere, waited
from api.replays.tables import NOTIFIED, ReplaySource
from api.settings import ApiSettings
from producers.handover import LoopProducer
from producers.postgres import AWAY
from producers.records import RecordProducer
from producers.settings import KafkaSettings
from schemas.topics import EVENTS

log = structlog.get_logger("api.replays")

LOCK: Final = 0x686F6F6B_72657079  # "hookrepy", any number that nobody else uses
PATIENCE_S: Final = 5.0  # how long a record may wait for a broker before the batch is tried again
_LOOK_EVERY_S: Final = 1.0  # when no NOTIFY comes
_STAND_BY_S: Final = 0.5
_QUERY_TIMEOUT_S: Final = 5.0
_BACKOFF_S: Final = 0.5
_KEPT_FREE: Final = 4  # connections for retries and for keeping, whatever the bulk does
_END_WITHIN_S: Final = PATIENCE_S + 5
_KEEPALIVE: Final = {
    "application_name": "hookline-replays",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}

_SENDING: Final = (
    "SELECT id, source FROM replays WHERE finished_at IS NULL AND state IN ('pending', 'running') AND NOT is_retry"
    " ORDER BY id LIMIT 500"
)

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"  # generic in its stubs only


class ReplayRunner:
    """Sends replays until it is stopped; whatever is away, it goes on by itself when it is back."""

    def __init__(
        self,
        settings: ApiSettings,
        kafka: KafkaSettings,
        *,
        patience_s: float = PATIENCE_S,
        events_topic: str = EVENTS,
    ) -> None:
        """Prepare; nothing is connected before `run`."""
        self._events_topic = events_topic
        self._settings = settings
        self._kafka = kafka
        self._patience_s = patience_s
        self._stopped = asyncio.Event()
        self._active = asyncio.Event()
        self._woken = asyncio.Event()
        self._retries_woken = asyncio.Event()
        self._replays: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Run until `stop` is called; batches at hand are finished first. Cancelling it drops them."""
        waits = False
        while not self._stopped.is_set():
            try:
                await self._serve()
            except AWAY as error:
                if not waits:
                    log.warning("replays.waiting", waits_for="postgresql", error=f"{type(error).__name__}: {error}")
                waits = True
                await waited(self._stopped, _BACKOFF_S)
            else:
                waits = False

    def stop(self) -> None:
        """Make `run` return soon. Call it from the event loop."""
        self._stopped.set()
        self._woken.set()
        self._retries_woken.set()

    async def wait_active(self) -> None:
        """Return once this runner is the one that sends."""
        await self._active.wait()

    async def _serve(self) -> None:
        connection = await asyncpg.connect(
            self._settings.database_url, timeout=5, command_timeout=_QUERY_TIMEOUT_S, server_settings=_KEEPALIVE
        )
        try:
            await connection.add_listener(NOTIFIED, self._on_notify)
            while not self._stopped.is_set():
                if await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
                    await self._work(connection)
                else:
                    await waited(self._stopped, _STAND_BY_S)
        finally:
            with suppress(*AWAY):
                await connection.close(timeout=1)

    async def _work(self, connection: Connection) -> None:
        """Send, until told to stop or the connection, and the lock with it, is gone."""
        producer = RecordProducer(self._kafka.client_config(), patience_s=self._patience_s)
        engine = engine_of(self._settings)
        room = asyncio.Semaphore(max(1, self._settings.database_connections - _KEPT_FREE))
        workshop = Workshop(
            engine, LoopProducer(producer), room, self._stopped, self._kafka.client_config(), self._events_topic
        )
        beside = [
            asyncio.create_task(persevere("retries", Retries(workshop, self._retries_woken).step, self._stopped)),
            asyncio.create_task(persevere("keeping", Keeper(workshop).step, self._stopped)),
        ]
        try:
            self._active.set()
            log.info("replays.active")
            while not self._stopped.is_set():
                self._woken.clear()
                self._begin([(row["id"], row["source"]) for row in await connection.fetch(_SENDING)], workshop)
                await waited(self._woken, _LOOK_EVERY_S)
            await asyncio.wait([*beside, *self._replays.values()], timeout=_END_WITHIN_S)
        finally:
            self._active.clear()
            await _ended([*beside, *self._replays.values()])
            self._replays.clear()
            await asyncio.to_thread(producer.close, 0)
            await engine.dispose()

    def _begin(self, replays: Iterable[tuple[str, str]], workshop: Workshop) -> None:
        self._replays = {name: task for name, task in self._replays.items() if not task.done()}
        for replay_id, source in replays:
            if replay_id not in self._replays:
                replay = (LogReplay if source == ReplaySource.LOG else BulkReplay)(replay_id, workshop)
                self._replays[replay_id] = asyncio.create_task(self._send(replay_id, replay, workshop))

    async def _send(self, replay_id: str, replay: BulkReplay | LogReplay, workshop: Workshop) -> None:
        workshop.sending.add(replay_id)
        try:
            await persevere(replay_id, replay.step, self._stopped)
        finally:
            workshop.sending.discard(replay_id)
            replay.close()

    def _on_notify(self, *_: object) -> None:
        self._woken.set()
        self._retries_woken.set()


async def _ended(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
