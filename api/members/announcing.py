"""Events of members and invitations."""

from sqlalchemy.ext.asyncio import AsyncSession

from api.announcing import announce_identity
from api.credentials import Caller
from api.members.tables import InvitationRow, MembershipRow
from api.users.tables import UserRow


def name_of(caller: Caller) -> str:
    """Return what events and rows say of who did it: the user's id, else the credential's."""
    return caller.user_id or caller.id


async def announce_invited(db: AsyncSession, row: InvitationRow) -> None:
    """Tell that an address was invited, or was again."""
    await announce_identity(
        db,
        "member.invited",
        organization_id=row.organization_id,
        subject_id=row.id,
        data={
            "invitation_id": row.id,
            "email": row.email,
            "role": row.role_id,
            "invited_by": row.invited_by,
            "expires_at": row.expires_at.isoformat(),
        },
    )


async def announce_withdrawn(db: AsyncSession, row: InvitationRow, *, by: str) -> None:
    """Tell that an invitation can be accepted no more."""
    await announce_identity(
        db,
        "member.invitation_withdrawn",
        organization_id=row.organization_id,
        subject_id=row.id,
        data={"invitation_id": row.id, "email": row.email, "role": row.role_id, "withdrawn_by": by},
    )


async def announce_joined(db: AsyncSession, member: MembershipRow, user: UserRow, invitation: InvitationRow) -> None:
    """Tell that a user is a member, and has a role by it."""
    await announce_identity(
        db,
        "member.joined",
        organization_id=member.organization_id,
        subject_id=user.id,
        data={
            "user_id": user.id,
            "email": user.email,
            "name": user.name,
            "role": member.role_id,
            "invitation_id": invitation.id,
        },
    )
    await _announce_assigned(db, member, by=invitation.invited_by, previous=None)


async def announce_role_changed(db: AsyncSession, member: MembershipRow, *, before: str, by: str) -> None:
    """Tell that a member has another role than `before`."""
    await _announce_revoked(db, member, before, by=by)
    await _announce_assigned(db, member, by=by, previous=before)


async def announce_removed(db: AsyncSession, member: MembershipRow, user: UserRow, *, by: str) -> None:
    """Tell that a user is no member any more."""
    await announce_identity(
        db,
        "member.removed",
        organization_id=member.organization_id,
        subject_id=user.id,
        data={"user_id": user.id, "email": user.email, "role": member.role_id, "removed_by": by},
    )
    await _announce_revoked(db, member, member.role_id, by=by)


async def _announce_assigned(db: AsyncSession, member: MembershipRow, *, by: str, previous: str | None) -> None:
    await announce_identity(
        db,
        "role.assigned",
        organization_id=member.organization_id,
        subject_id=member.user_id,
        data={"user_id": member.user_id, "role": member.role_id, "assigned_by": by},
        previous=None if previous is None else {"role": previous},
    )


async def _announce_revoked(db: AsyncSession, member: MembershipRow, role_id: str, *, by: str) -> None:
    await announce_identity(
        db,
        "role.revoked",
        organization_id=member.organization_id,
        subject_id=member.user_id,
        data={"user_id": member.user_id, "role": role_id, "revoked_by": by},
    )
