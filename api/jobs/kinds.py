"""The kinds of long jobs: a new one is an entry of `KINDS`, a query that says of each job what all have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import BigInteger, Select, Text, case, cast, func, literal, null, select

from api.permissions import Permission
from api.replays.tables import ReplayRow, ReplaySource, ReplayState


class JobKind(StrEnum):
    """What a job does."""

    REPLAY = "replay"


class JobState(StrEnum):
    """Where a job stands, whatever its kind calls it."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"


COLUMNS: Final = (
    "id", "organization_id", "kind", "state", "done", "total", "unit", "created_at", "started_at", "finished_at",
    "error",
)  # fmt: skip

Query = Callable[[], Select[Any]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind: who may see its jobs, what their ids begin with, and a query of `COLUMNS` over all organizations'.

    `total` is null while nobody knows it. The id rises with the time of making, in every kind.
    """

    permission: Permission
    prefix: str
    path: str
    query: Query


def _replays() -> Select[Any]:
    """Return replays; of the log `done` and `total` are offsets. A delivery's retry by hand is no long job."""
    reads_log = ReplayRow.source == ReplaySource.LOG
    ended = ReplayRow.succeeded + ReplayRow.failed + ReplayRow.held + ReplayRow.skipped + ReplayRow.cancelled
    state = case(
        (ReplayRow.state == ReplayState.FINISHING, JobState.RUNNING.value),
        (ReplayRow.state.in_((ReplayState.COMPLETED,)) & ReplayRow.error.is_not(None), JobState.FAILED.value),
        else_=ReplayRow.state,
    )
    is_counted = ReplayRow.started_at.is_not(None) | ReplayRow.finished_at.is_not(None)
    return select(
        ReplayRow.id.label("id"),
        ReplayRow.organization_id.label("organization_id"),
        literal(JobKind.REPLAY.value, Text).label("kind"),
        cast(state, Text).label("state"),
        case((reads_log, func.coalesce(ReplayRow.log_read, 0)), else_=cast(ended, BigInteger)).label("done"),
        case((reads_log, ReplayRow.log_total), (is_counted, cast(ReplayRow.total, BigInteger)), else_=null()).label(
            "total"
        ),
        case((reads_log, "offsets"), else_="deliveries").label("unit"),
        ReplayRow.created_at.label("created_at"),
        ReplayRow.started_at.label("started_at"),
        ReplayRow.finished_at.label("finished_at"),
        ReplayRow.error.label("error"),
    ).where(ReplayRow.is_retry.is_(False))


KINDS: Final[dict[JobKind, Kind]] = {
    JobKind.REPLAY: Kind(Permission.REPLAYS_READ, "rpl", "/api/v1/replays", _replays),
}
