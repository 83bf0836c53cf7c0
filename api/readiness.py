"""Whether what the API needs is there: database, migrations, Kafka; each named, each with a quick timeout."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from api.migrations import current_revision, head_revision
from producers.settings import KafkaSettings
from schemas.topics import EVENTS

TIMEOUT_S: Final = 2.0  # for each check
KEPT_S: Final = 1.0  # how long an answer stands, so that many who ask cost no more than one


class Check(BaseModel):
    """Whether one thing is there."""

    ok: bool
    detail: str


class Readiness(BaseModel):
    """Whether requests can be served, and if not, what is missing."""

    status: Literal["ready", "not ready"]
    checks: dict[str, Check]


@dataclass(slots=True)
class ReadyChecks:
    """Looks at the database, the migrations and Kafka, at once, at most once a second."""

    engine: AsyncEngine
    kafka: KafkaSettings
    _found: Readiness | None = None
    _found_at: float = 0.0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _client: AdminClient | None = None

    async def readiness(self) -> Readiness:
        """Return what was found within the last second, or look."""
        async with self._lock:
            if self._found is None or time.monotonic() - self._found_at > KEPT_S:
                self._found = await self._look()
                self._found_at = time.monotonic()
            return self._found

    async def _look(self) -> Readiness:
        looks: dict[str, Callable[[], Awaitable[str]]] = {
            "database": self._database,
            "migrations": self._migrations,
            "kafka": self._events_topic,
        }
        found = await asyncio.gather(*(_checked(look) for look in looks.values()))
        checks = dict(zip(looks, found, strict=True))
        return Readiness(status="ready" if all(check.ok for check in checks.values()) else "not ready", checks=checks)

    async def _database(self) -> str:
        async with self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
        return "answers"

    async def _migrations(self) -> str:
        async with self.engine.connect() as connection:
            current = await current_revision(connection)
        if current != head_revision():
            raise NotReady(f"at {current or 'nothing'}, not {head_revision()}: run `hookline db upgrade`")
        return f"at {current}"

    async def _events_topic(self) -> str:
        if self._client is None:
            self._client = AdminClient({**self.kafka.client_config(), "log_level": 0})
        found = await asyncio.to_thread(self._client.list_topics, EVENTS, timeout=TIMEOUT_S - 0.5)
        error = found.topics[EVENTS].error
        if error is not None:
            raise NotReady(f"{EVENTS}: {error.str()}: run `hookline topics apply`")
        return f"{len(found.brokers)} broker(s)"


class NotReady(Exception):
    """A check's own verdict."""


async def _checked(look: Callable[[], Awaitable[str]]) -> Check:
    try:
        return Check(ok=True, detail=await asyncio.wait_for(look(), TIMEOUT_S))
    except NotReady as verdict:
        return Check(ok=False, detail=str(verdict))
    except (OSError, SQLAlchemyError, KafkaException) as error:  # TimeoutError is an OSError
        return Check(ok=False, detail=f"does not answer ({type(error).__name__})")
