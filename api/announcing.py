"""Events of our own: what changes here is published through the outbox, in the transaction that changed it."""

from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from producers.outbox import add_to_outbox
from producers.publisher import event_record
from schemas.envelope import new_event
from schemas.json_values import Json
from schemas.records import Event

IDENTITY: Final = "/hookline/identity"  # CloudEvents' source


async def announce(db: AsyncSession, event: Event, *, source: str) -> None:
    """Publish an event when the caller's transaction commits; the caller holds the lock of the row that it is about."""
    await add_to_outbox(db, event_record(event, source=source))


async def announce_identity(
    db: AsyncSession,
    name: str,
    *,
    organization_id: str,
    subject_id: str,
    data: dict[str, Json],
    previous: dict[str, Json] | None = None,
) -> None:
    """Publish what became of `subject_id`: `data` fits the schema of `name`, `previous` holds what changed, as it was.

    Neither holds a secret; fields that sound like one are removed (schemas/redaction.py).
    """
    event = new_event(type=name, organization_id=organization_id, data=data, previous=previous, key=subject_id)
    await announce(db, event, source=IDENTITY)
