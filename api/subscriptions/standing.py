"""Whether deliveries go to a subscription as they come, or it is behind: what its worker says on `hookline.behind`."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.projection.tables import CursorRow
from schemas.topics import REPLAY

REASONS: Final = (
    "`full`: more came than it takes in time; `slow`: an attempt takes long; `open`: too many of its last attempts "
    "failed, so it is only tried now and then; `rate`: its rate limit; `paused`: a caller paused it; `parked`: an "
    "ordered delivery waits for its retry; `blocked`: the same, and its attempts are used up; `share`: its "
    "organization has its share of the workers. More may come."
)


class DeliveringState(StrEnum):
    """`live`: each delivery is sent as it comes; `behind`: they wait for their turn, and none is lost."""

    LIVE = "live"
    BEHIND = "behind"


class Delivering(BaseModel):
    """How deliveries go to a subscription now; some seconds old at most."""

    state: DeliveringState
    reason: str | None = Field(default=None, description=f"Why it is behind. {REASONS}")
    since: datetime | None = Field(default=None, description="Since when it is behind.")
    not_before: datetime | None = Field(default=None, description="Nothing is sent to it before this time.")


LIVE: Final = Delivering(state=DeliveringState.LIVE)


async def cursors_of(
    db: AsyncSession, organization_id: str, subscription_ids: Sequence[str], *, keys: bool = False
) -> dict[str, list[CursorRow]]:
    """Return the cursors of an organization's subscriptions; with `keys` those of single ordering keys, too."""
    wanted = select(CursorRow).where(
        CursorRow.subscription_id.in_(subscription_ids), CursorRow.organization_id == organization_id
    )
    if not keys:
        wanted = wanted.where(CursorRow.key == "")
    found: dict[str, list[CursorRow]] = {}
    for row in (await db.execute(wanted)).scalars():
        found.setdefault(row.subscription_id, []).append(row)
    return found


async def delivering_of(
    db: AsyncSession, organization_id: str, subscription_ids: Sequence[str]
) -> dict[str, Delivering]:
    """Return how deliveries go to those of an organization's subscriptions that are behind; the others are live.

    Keys that are parked leave a subscription live: its other keys go on.
    """
    found = await cursors_of(db, organization_id, subscription_ids)
    return {subscription_id: _delivering(rows) for subscription_id, rows in found.items()}


def foremost(cursors: Iterable[CursorRow]) -> CursorRow:
    """Return the cursor that says most of a subscription: what it gets live goes before what is replayed to it."""
    return min(cursors, key=lambda cursor: (cursor.topic == REPLAY, cursor.since))


def _delivering(cursors: Iterable[CursorRow]) -> Delivering:
    first = foremost(cursors)
    return Delivering(state=DeliveringState.BEHIND, reason=first.reason, since=first.since, not_before=first.not_before)
