"""A session's own user: what is done here is done by people in a browser, never by an application in their name."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from api.announcing import announce_identity
from api.credentials import Caller, CredentialKind
from api.errors import Forbidden, NotFound
from api.sessions.tables import SessionRow
from api.users.finding import user_to_change
from api.users.tables import UserRow


def user_id_of(caller: Caller) -> str:
    """Return the user of a session; raises Forbidden for every other kind of caller."""
    if caller.kind is not CredentialKind.SESSION or caller.user_id is None:
        raise Forbidden("this is for a browser that is signed in: tokens have no sessions and no password")
    return caller.user_id


async def own_user(db: AsyncSession, caller: Caller) -> UserRow:
    """Return a session's user, locked; raises Forbidden, and NotFound when they were deleted just now."""
    user = await user_to_change(db, user_id_of(caller))
    if user is None:
        raise NotFound("this account was deleted")
    return user


async def own_sessions(db: AsyncSession, user_id: str, *, at: datetime, after: str, limit: int) -> Sequence[SessionRow]:
    """Return up to `limit` of a user's sessions that can still be used, oldest first, those past id `after`."""
    wanted = select(SessionRow).where(*_usable(user_id, at), SessionRow.id > after).order_by(SessionRow.id).limit(limit)
    return (await db.execute(wanted)).scalars().all()


async def own_session(db: AsyncSession, user_id: str, session_id: str, *, at: datetime) -> SessionRow:
    """Return one of a user's sessions that can still be used; raises NotFound."""
    wanted = select(SessionRow).where(*_usable(user_id, at), SessionRow.id == session_id)
    found = (await db.execute(wanted)).scalar_one_or_none()
    if found is None:
        raise NotFound("you have no session of this id")
    return found


async def end_session(db: AsyncSession, session: SessionRow, *, at: datetime) -> None:
    """Sign out of a session, announced once however often it is asked for."""
    ended = (
        update(SessionRow)
        .where(SessionRow.id == session.id, SessionRow.revoked_at.is_(None))
        .values(revoked_at=at)
        .returning(SessionRow.id)
        .execution_options(synchronize_session=False)
    )
    if (await db.execute(ended)).scalar_one_or_none() is not None:
        await announce_identity(
            db,
            "auth.logout",
            organization_id=session.organization_id,
            subject_id=session.user_id,
            data={"user_id": session.user_id, "session_id": session.id},
        )


def _usable(user_id: str, at: datetime) -> tuple[ColumnElement[bool], ...]:
    return SessionRow.user_id == user_id, SessionRow.revoked_at.is_(None), SessionRow.expires_at > at
