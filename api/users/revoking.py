"""Ending what was opened in a user's name, in all organizations: the caller's transaction is bound to none."""

from datetime import datetime

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from api.oauth.tables import GrantRow
from api.sessions.tables import SessionRow


async def revoke_sessions(db: AsyncSession, user_id: str, *, at: datetime, but: str = "") -> None:
    """End a user's sessions, but the one of id `but`."""
    await db.execute(
        update(SessionRow)
        .where(SessionRow.user_id == user_id, SessionRow.revoked_at.is_(None), SessionRow.id != but)
        .values(revoked_at=at)
    )


async def revoke_everything(db: AsyncSession, user_id: str, *, at: datetime, reason: str) -> None:
    """End a user's sessions, and what they granted to applications."""
    await revoke_sessions(db, user_id, at=at)
    await db.execute(
        update(GrantRow)
        .where(GrantRow.user_id == user_id, GrantRow.revoked_at.is_(None))
        .values(revoked_at=at, revoked_reason=reason)
    )
