"""A new user becomes a member of its home."""

from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from api.announcing import announce_identity
from api.credentials import Caller
from api.members.announcing import name_of
from api.members.tables import MembershipRow
from api.users.tables import UserRow


async def join(db: AsyncSession, caller: Caller, user: UserRow, role_id: str) -> None:
    """Make a user a member of the caller's organization; whether the caller may give the role was checked."""
    now = datetime.now(UTC)
    db.add(
        MembershipRow(
            organization_id=caller.organization_id, user_id=user.id, role_id=role_id, created_at=now, updated_at=now
        )
    )
    await db.flush()
    await announce_identity(
        db,
        "member.joined",
        organization_id=caller.organization_id,
        subject_id=user.id,
        data={"user_id": user.id, "email": user.email, "name": user.name, "role": role_id},
    )
    await announce_identity(
        db,
        "role.assigned",
        organization_id=caller.organization_id,
        subject_id=user.id,
        data={"user_id": user.id, "role": role_id, "assigned_by": name_of(caller)},
    )
