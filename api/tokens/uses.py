"""Counting what API tokens are used for: in memory at each request, written to PostgreSQL once a minute.

A request counts when its token was valid and it came from an address that it may come from, whatever came of it: one
that is refused for want of a permission, or as too much, is a use that the token's owner wants to see. What was counted
since the last write is lost when the process is killed (SIGKILL): a minute at most. When PostgreSQL breaks off while it
commits, that minute may be counted twice.
"""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Final

import structlog
from sqlalchemy import ARRAY, BigInteger, Date, DateTime, Text, bindparam, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from api.credentials import Caller, CredentialKind
from api.database import DatabaseAway, transaction_of

log = structlog.get_logger("api.tokens")

EVERY_S: Final = 60.0
# Rows are locked in one order, so that processes that write at once do not wait for each other in a circle. A token
# that is gone, with its organization, drops out of `used`.
_WRITE: Final = text("""
    WITH used AS (
        SELECT * FROM unnest(:tokens, :days, :requests, :lasts) AS used (token_id, day, requests, last_at)
    ), locked AS (
        SELECT id FROM api_tokens WHERE id IN (SELECT token_id FROM used) ORDER BY id FOR UPDATE
    ), touched AS (
        UPDATE api_tokens SET last_used_at = greatest(last_used_at, last.at)
        FROM (SELECT token_id, max(last_at) AS at FROM used GROUP BY token_id) AS last
        WHERE id = last.token_id AND id IN (SELECT id FROM locked)
        RETURNING id, organization_id
    )
    INSERT INTO api_token_uses (organization_id, token_id, day, requests)
    SELECT organization_id, token_id, day, requests FROM used JOIN touched ON touched.id = used.token_id
    ON CONFLICT (token_id, day) DO UPDATE SET requests = api_token_uses.requests + excluded.requests
""").bindparams(
    bindparam("tokens", type_=ARRAY(Text)),
    bindparam("days", type_=ARRAY(Date)),
    bindparam("requests", type_=ARRAY(BigInteger)),
    bindparam("lasts", type_=ARRAY(DateTime(timezone=True))),
)


@dataclass(slots=True)
class _Counted:
    """Requests by token and day (UTC), and when each token was used last."""

    requests: Counter[tuple[str, date]] = field(default_factory=Counter)
    last_at: dict[str, datetime] = field(default_factory=dict)


class Uses:
    """Counts the requests of tokens. There are never more counters than tokens that are valid, times two days."""

    def __init__(self) -> None:
        self._counted = _Counted()
        self._stopping = asyncio.Event()

    def count(self, caller: Caller, *, now: datetime | None = None) -> None:
        """Count a request of a caller; those that are not known by an API token are not counted."""
        if caller.kind is not CredentialKind.API_TOKEN:
            return
        at = now or datetime.now(UTC)
        self._counted.requests[caller.id, at.date()] += 1
        self._counted.last_at[caller.id] = at

    async def run(self, engine: AsyncEngine) -> None:
        """Write what was counted once a minute, until `stop`, and then once more."""
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), EVERY_S)
            try:
                await self.write(engine)
            except (DatabaseAway, SQLAlchemyError, OSError) as error:  # kept for the next time
                log.warning("api.token_uses_not_written", error=type(error).__name__)

    def stop(self) -> None:
        """Let `run` write once more and return."""
        self._stopping.set()

    async def write(self, engine: AsyncEngine) -> None:
        """Write what was counted, in one statement. What fails is counted with the next; raises DatabaseAway."""
        counted, self._counted = self._counted, _Counted()
        if not counted.requests:
            return
        rows = [(token_id, day, number) for (token_id, day), number in counted.requests.items()]
        try:
            async with transaction_of(engine) as db:
                await db.execute(
                    _WRITE,
                    {
                        "tokens": [token_id for token_id, _, _ in rows],
                        "days": [day for _, day, _ in rows],
                        "requests": [number for _, _, number in rows],
                        "lasts": [counted.last_at[token_id] for token_id, _, _ in rows],
                    },
                )
        except BaseException:
            self._counted.requests.update(counted.requests)
            self._counted.last_at = {**counted.last_at, **self._counted.last_at}
            raise
