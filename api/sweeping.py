"""Sweeping: what has expired, or was used up, goes every hour, some rows at a time.

Rows that still say no are kept until nothing can be asked of them: a used code and a used refresh token until they
would have expired (their second use revokes what came of the first), a revoked access token as long as one that skewed
clocks let live a little longer. The log's own tables are api/projection/days.py's.
"""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg
import structlog

from api.projection.positions import Connection
from producers.postgres import AWAY

log = structlog.get_logger("api.sweeping")

EVERY_S: Final = 3600.0
LOCK: Final = 0x686F6F6B_73776570  # "hookswep": one sweeper at a time
_AGAIN_S: Final = 30.0  # when PostgreSQL was away
_BATCH: Final = 1000  # rows of one DELETE
_AT_ONCE: Final = timedelta(0)
_DAY: Final = timedelta(days=1)
_MONTH: Final = timedelta(days=30)

_NOTHING_IN: Final = "NOT EXISTS (SELECT FROM {} WHERE grant_id = oauth_grants.id)"
# Each table with what is over before $1, and how long that is kept. What refers to a grant goes before the grant; its
# access tokens live a day at most (api/settings.py) and have ended with that.
_OVER: Final = (
    ("sessions", "(expires_at < $1 OR revoked_at < $1)", _AT_ONCE),
    ("user_links", "(expires_at < $1 OR used_at < $1)", _AT_ONCE),
    ("invitations", "least(expires_at, accepted_at, withdrawn_at) < $1", _MONTH),
    ("application_secrets", "expires_at < $1", _AT_ONCE),
    ("oauth_codes", "expires_at < $1", _DAY),
    ("oauth_refresh_tokens", "expires_at < $1", _DAY),
    (
        "oauth_grants",
        f"expires_at < $1 AND {_NOTHING_IN.format('oauth_codes')} AND {_NOTHING_IN.format('oauth_refresh_tokens')}",
        _DAY,
    ),
    ("oauth_revoked_tokens", "expires_at < $1", _DAY),
    ("oauth_signing_keys", "expires_at < $1", _DAY),
    ("mails", "finished_at < $1", _MONTH),
    ("api_token_uses", "day < ($1::timestamptz AT TIME ZONE 'UTC')::date", 400 * _DAY),
)


class Sweeper:
    """Sweeps until it is cancelled; of several, one does at a time."""

    def __init__(self, database_url: str, *, every_s: float = EVERY_S) -> None:
        self._database_url = database_url
        self._every_s = every_s

    async def run(self) -> None:
        """Sweep at once and then every hour; PostgreSQL may be away meanwhile."""
        while True:
            try:
                await self.sweep(datetime.now(UTC))
            except AWAY as error:
                log.warning("sweeping.failed", error=type(error).__name__)
                await asyncio.sleep(min(self._every_s, _AGAIN_S))
            else:
                await asyncio.sleep(self._every_s)

    async def sweep(self, now: datetime) -> dict[str, int] | None:
        """Delete what is over; return how many rows of each table went, None when another sweeper is at it."""
        settings = {"application_name": "hookline-sweeping", "timezone": "UTC"}
        connection: Connection = await asyncpg.connect(
            self._database_url, timeout=5, command_timeout=60, server_settings=settings
        )
        try:
            if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
                return None
            counts = {
                table: await _delete(connection, table, is_over, now - kept_for) for table, is_over, kept_for in _OVER
            }
            log.info("sweeping.done", **{table: count for table, count in counts.items() if count})
            return counts
        finally:
            with suppress(*AWAY):
                await connection.close(timeout=2)


async def _delete(connection: Connection, table: str, is_over: str, before: datetime) -> int:
    """Delete rows, a few at a time; those that somebody has locked stay for the next time. Return how many went."""
    # Names and conditions are the table's above; none comes from outside. The condition is asked again of what is
    # deleted: a row may have been given a longer life since it was chosen.
    chosen = f"SELECT ctid FROM {table} WHERE {is_over} LIMIT {_BATCH} FOR UPDATE SKIP LOCKED"  # noqa: S608
    some = f"DELETE FROM {table} WHERE ctid = ANY(ARRAY({chosen})) AND {is_over}"  # noqa: S608
    total, deleted = 0, _BATCH
    while deleted == _BATCH:
        deleted = int((await connection.execute(some, before)).rpartition(" ")[2])
        total += deleted
    return total
