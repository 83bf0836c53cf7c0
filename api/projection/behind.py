"""Where subscriptions stand that are behind: `hookline.behind` as a table, without what a zombie wrote.

A record counts when its epoch and writer are those of the newest claim before it in its partition. Of two claims with
one epoch the first counts: epochs only rise.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from api.projection.metrics import BEHIND, ZOMBIES
from api.projection.positions import Connection
from api.projection.reading import ClaimSeen, CursorSeen, Seen

REASONS: Final = ("full", "slow", "open", "rate", "paused", "parked", "blocked", "share")
_ANOTHER: Final = "another"  # a newer worker's: labels are few and bounded
_CLAIMS: Final = "SELECT partition, epoch, writer FROM cursor_claims WHERE partition = ANY($1::int[])"
_CLAIM: Final = """
INSERT INTO cursor_claims (partition, epoch, writer, since) VALUES ($1, $2, $3, $4)
ON CONFLICT (partition) DO UPDATE SET epoch = excluded.epoch, writer = excluded.writer, since = excluded.since
"""
_SET: Final = """
INSERT INTO cursors (subscription_id, topic, key, organization_id, partition, next, reason, since, not_before, attempt,
    epoch, writer)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (subscription_id, topic, key) DO UPDATE SET organization_id = excluded.organization_id,
    partition = excluded.partition, next = excluded.next, reason = excluded.reason, since = excluded.since,
    not_before = excluded.not_before, attempt = excluded.attempt, epoch = excluded.epoch, writer = excluded.writer
"""
_TAKE_AWAY: Final = "DELETE FROM cursors WHERE subscription_id = $1 AND topic = $2 AND key = $3"
_FORGET: Final = "DELETE FROM {table} WHERE partition = ANY($1::int[])"
# Whoever is gone is not behind; her last cursor may have come after she was deleted.
_COUNT: Final = """
SELECT c.reason, count(DISTINCT c.subscription_id) FROM cursors c JOIN subscriptions s ON s.id = c.subscription_id
WHERE c.partition = ANY($1::int[]) AND c.key = '' GROUP BY c.reason
"""


class Writer(NamedTuple):
    """By whose claim a record was written."""

    epoch: int
    writer: str


class _Place(NamedTuple):
    """Which row a record is about."""

    subscription_id: str
    topic: str
    key: str


async def follow(raw: Connection, seen: Sequence[Seen]) -> None:
    """Write what claims and cursors of a batch, in the order of the log, come to, in the caller's transaction."""
    mine = [one for one in seen if isinstance(one, ClaimSeen | CursorSeen)]
    if not mine:
        return
    rows = await raw.fetch(_CLAIMS, sorted({one.partition for one in mine}))
    newest = {row["partition"]: Writer(row["epoch"], row["writer"]) for row in rows}
    claims, cursors, zombies = folded(newest, mine)
    ZOMBIES.inc(zombies)
    if claims:
        await raw.executemany(
            _CLAIM,
            [(number, one.claim.epoch, one.claim.writer, one.claim.since) for number, one in sorted(claims.items())],
        )
    gone = sorted(place for place, one in cursors.items() if one.cursor is None)
    if gone:
        await raw.executemany(_TAKE_AWAY, gone)
    there = [_row_of(place, cursors[place]) for place in sorted(cursors.keys() - gone)]
    if there:
        await raw.executemany(_SET, there)


def folded(
    newest: dict[int, Writer], seen: Iterable[ClaimSeen | CursorSeen]
) -> tuple[dict[int, ClaimSeen], dict[_Place, CursorSeen], int]:
    """Return the claims and cursors that last, and how many records were a zombie's; `newest` moves on."""
    claims: dict[int, ClaimSeen] = {}
    cursors: dict[_Place, CursorSeen] = {}
    zombies = 0
    for one in seen:
        claimed = newest.get(one.partition)
        if isinstance(one, ClaimSeen):
            if claimed is None or one.claim.epoch > claimed.epoch:
                newest[one.partition] = Writer(one.claim.epoch, one.claim.writer)
                claims[one.partition] = one
        elif claimed == (one.epoch, one.writer):
            cursors[_Place(one.subscription_id, one.topic, one.key)] = one
        else:
            zombies += 1
    return claims, cursors, zombies


async def forget(raw: Connection, numbers: Sequence[int]) -> None:
    """Take away what is known of partitions that are read from their beginning, in the caller's transaction."""
    for table in ("cursors", "cursor_claims"):
        await raw.execute(_FORGET.format(table=table), numbers)


async def measure(raw: Connection, numbers: Sequence[int]) -> None:
    """Say for Prometheus how many subscriptions of these partitions are behind, and why."""
    counts = dict.fromkeys((*REASONS, _ANOTHER), 0)
    for reason, count in await raw.fetch(_COUNT, numbers):
        counts[reason if reason in counts else _ANOTHER] += count
    for reason, count in counts.items():
        BEHIND.labels(reason=reason).set(count)


def _row_of(place: _Place, seen: CursorSeen) -> tuple[object, ...]:
    cursor = seen.cursor
    assert cursor is not None  # noqa: S101 - those without are taken away
    return (
        *place,
        cursor.organization_id,
        seen.partition,
        cursor.next,
        cursor.reason,
        cursor.since,
        cursor.not_before,
        cursor.attempt,
        seen.epoch,
        seen.writer,
    )
