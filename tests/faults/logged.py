"""What PostgreSQL's delivery log says of a run, asked of its tables."""

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import asyncpg

from tests.faults.arrivals import Pair
from tests.faults.stage import Stage

_LOOK_EVERY_S = 0.5

_DELIVERIES = """
SELECT event_id, subscription_id, state, attempts, round,
       (SELECT count(*) FROM attempts a WHERE a.delivery_id = d.id AND a.round = d.round) AS listed
FROM deliveries d WHERE organization_id = $1
"""
_EARLY = """
SELECT count(*) FROM attempts a JOIN deliveries d ON d.id = a.delivery_id
WHERE d.organization_id = $1 AND a.started_at < a.due_at
"""
_COUNTED = """
SELECT coalesce(sum(success), 0)::bigint AS success, coalesce(sum(attempts), 0)::bigint AS attempts
FROM delivery_counts WHERE subscription_id = ANY($1)
"""
_LISTED = "SELECT count(*) FROM attempts a JOIN deliveries d ON d.id = a.delivery_id WHERE d.organization_id = $1"


@dataclass(frozen=True)
class Logged:
    """An organization's log: the state of each delivery, and what does not add up."""

    states: dict[Pair, str]
    doubled: int
    """Deliveries with two rows, or whose count of attempts is not that of the listed ones."""
    miscounted: int
    """By how much the kept counts differ from the rows."""
    early: int
    """Attempts that began before they were due."""

    def missing(self, owed: Collection[Pair], state: str = "success") -> int:
        """Return how many of `owed` the log does not have in this state."""
        return sum(self.states.get(pair) != state for pair in owed)


def logged(stage: Stage) -> Logged:
    """Return what the log says now."""
    return asyncio.run(_logged(stage))


def wait_until_logged(stage: Stage, owed: Collection[Pair], *, within_s: float) -> float | None:
    """Return after how many seconds the log had all of `owed` as successful; None when it had not in time."""
    began = time.monotonic()
    while logged(stage).missing(owed):
        if time.monotonic() - began > within_s:
            return None
        time.sleep(_LOOK_EVERY_S)
    return time.monotonic() - began


async def _logged(stage: Stage) -> Logged:
    paths = {subscription: path for path, subscription in stage.subscriptions.items()}
    connection: Any = await asyncpg.connect(stage.stack.database_url)
    try:
        rows = await connection.fetch(_DELIVERIES, stage.organization)
        early = await connection.fetchval(_EARLY, stage.organization)
        counted = await connection.fetchrow(_COUNTED, list(paths))
        listed = await connection.fetchval(_LISTED, stage.organization)
    finally:
        await connection.close()
    states = {(row["event_id"], paths[row["subscription_id"]]): row["state"] for row in rows}
    doubled = len(rows) - len(states) + sum(row["attempts"] != row["listed"] for row in rows)
    succeeded = sum(row["state"] == "success" for row in rows)
    miscounted = abs(counted["success"] - succeeded) + abs(counted["attempts"] - listed)
    return Logged(states, doubled, miscounted, early)
