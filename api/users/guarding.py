"""Who may change whose account: who sets the e-mail address of an account can have its password, and its permissions.

So nobody changes the account of a member who may do more than they do, and only an owner changes an owner's.
"""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.credentials import Caller, CredentialKind
from api.errors import Conflict, Forbidden
from api.members.finding import role_id_of
from api.members.giving import check_may_give_role
from api.members.tables import MembershipRow
from api.permissions import OWNER, Permission
from api.roles.permissions import membership_permissions
from api.users.tables import UserRow


async def check_may_change(db: AsyncSession, caller: Caller, user: UserRow) -> None:
    """Raise Forbidden when the account is that of an owner, or of somebody who may do more, and the caller's is not."""
    if caller.kind is CredentialKind.ADMINISTRATOR:
        return
    may = await membership_permissions(db, caller.organization_id, user.id) or frozenset()
    if may - caller.permissions:
        raise Forbidden("this is the account of somebody who may do more than you: let one of them change it")
    if await _is_owner(db, caller.organization_id, user.id) and not await _is_owner(
        db, caller.organization_id, caller.user_id
    ):
        raise Forbidden("only an owner changes the account of an owner")


async def check_may_readdress(db: AsyncSession, caller: Caller, user: UserRow) -> None:
    """Raise Conflict when the user is a member of another organization too: with the address goes what it may do there.

    `db` is bound to no organization. The user changes it after leaving there, or the administrator does.
    """
    if caller.kind is CredentialKind.ADMINISTRATOR:
        return
    elsewhere = select(MembershipRow.organization_id).where(
        MembershipRow.user_id == user.id, MembershipRow.organization_id != user.organization_id
    )
    if (await db.execute(elsewhere.limit(1))).first() is not None:
        raise Conflict("the user is a member of another organization too: only the administrator changes this address")


async def check_may_go(db: AsyncSession, caller: Caller, user: UserRow) -> None:
    """Raise Conflict when a user who is locked or deleted is the caller, or the only owner who could sign in.

    The organization is locked: of two owners who lock each other, the second one sees what the first did.
    """
    if caller.user_id == user.id:
        raise Conflict("this is your own account: let somebody else do it")
    if caller.kind is CredentialKind.ADMINISTRATOR:
        return
    owners = (
        select(MembershipRow.user_id)
        .join(UserRow, UserRow.id == MembershipRow.user_id)
        .where(
            MembershipRow.organization_id == caller.organization_id,
            MembershipRow.role_id == OWNER,
            UserRow.locked_at.is_(None),
        )
        .limit(2)
    )
    if list((await db.execute(owners)).scalars()) == [user.id]:
        raise Conflict("this is the only owner: make another one first")


async def check_may_make_member(db: AsyncSession, caller: Caller, role_id: str) -> None:
    """Raise unless the caller may make a member with this role: Forbidden, or InvalidRequest at `/role`."""
    if Permission.MEMBERS_CREATE not in caller.permissions:
        raise Forbidden(f"a user with a role is a member: this needs the permission {Permission.MEMBERS_CREATE}")
    await check_may_give_role(db, caller, role_id)


async def _is_owner(db: AsyncSession, organization_id: str, user_id: str | None) -> bool:
    return user_id is not None and await role_id_of(db, organization_id, user_id) == OWNER
