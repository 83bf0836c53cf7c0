"""The client of a request, by its id."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.applications.tables import ApplicationRow
from schemas.ids import is_time_ordered


async def application_of(db: AsyncSession, client_id: str) -> ApplicationRow | None:
    """Return the application of this client id, also a disabled one; None when there is none."""
    if not is_time_ordered(client_id, "app"):
        return None
    return (await db.execute(select(ApplicationRow).where(ApplicationRow.id == client_id))).scalar_one_or_none()
