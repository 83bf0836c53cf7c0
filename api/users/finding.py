"""Users by what names them. A user is the organization's whose home it is; under `/members` those of others show."""

from collections.abc import Sequence
from typing import Final

from fastapi import Request
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.credentials import Caller
from api.errors import NotFound
from api.preconditions import etag_of, is_unchanged
from api.users.tables import UserRow
from schemas.ids import is_time_ordered

PATH: Final = "/api/v1/users"


async def users_of(
    db: AsyncSession, organization_id: str, *, after: str, limit: int, email_key: str | None = None
) -> Sequence[UserRow]:
    """Return up to `limit` of the users whose home is an organization, oldest first, those past id `after`."""
    wanted = select(UserRow).where(UserRow.organization_id == organization_id, UserRow.id > after)
    if email_key is not None:
        wanted = wanted.where(UserRow.email_key == email_key)
    return (await db.execute(wanted.order_by(UserRow.id).limit(limit))).scalars().all()


async def user_of_email(db: AsyncSession, email_key: str) -> UserRow | None:
    """Return the one account that has an address; None: none does."""
    return (await db.execute(select(UserRow).where(UserRow.email_key == email_key))).scalar_one_or_none()


async def user_to_change(db: AsyncSession, user_id: str) -> UserRow | None:
    """Return a user, locked, as it is now."""
    wanted = select(UserRow).where(UserRow.id == user_id).with_for_update().execution_options(populate_existing=True)
    return (await db.execute(wanted)).scalar_one_or_none()


async def found(db: AsyncSession, caller: Caller, user_id: str) -> UserRow:
    """Return a user whose home is the caller's organization; raises NotFound."""
    wanted = select(UserRow).where(UserRow.id == user_id, UserRow.organization_id == caller.organization_id)
    row = (await db.execute(wanted)).scalar_one_or_none() if is_time_ordered(user_id, "usr") else None
    if row is None:
        raise NotFound("no user of this id has its home in this organization")
    return row


async def found_to_change(db: AsyncSession, caller: Caller, user_id: str, request: Request) -> UserRow:
    """Return the same, locked; raises NotFound, and PreconditionFailed when If-Match names another version."""
    await found(db, caller, user_id)
    row = await user_to_change(db, user_id)
    if row is None or row.organization_id != caller.organization_id:
        raise NotFound("no user of this id has its home in this organization")
    is_unchanged(request, etag_of(row.version))
    return row


def etag_of_user(row: UserRow) -> str:
    """Return the ETag of a user as it is shown: signing in changes what is shown and makes no new version."""
    if row.last_login_at is None:
        return etag_of(row.version)
    return f'"{row.version}-{int(row.last_login_at.timestamp() * 1_000_000):x}"'
