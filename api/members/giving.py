"""Who may give which role, and take it: nobody gives more than they have, and only an owner makes or removes one."""

from sqlalchemy.ext.asyncio import AsyncSession

from api.callers import check_may_give
from api.credentials import Caller, CredentialKind
from api.errors import Conflict, Flaw, Forbidden, InvalidRequest
from api.members.finding import has_another_owner, role_id_of
from api.members.tables import MembershipRow
from api.permissions import BUILT_IN_ROLES, OWNER
from api.roles.finding import role_of
from api.roles.permissions import permissions_of_role


async def check_may_give_role(db: AsyncSession, caller: Caller, role_id: str) -> None:
    """Raise unless the caller may give this role in its organization.

    InvalidRequest: there is no such role, or it allows what the caller may not do; Forbidden: owner, by no owner.
    """
    if role_id not in BUILT_IN_ROLES and await role_of(db, caller.organization_id, role_id) is None:
        flaw = Flaw(f"is no role of this organization; built-in ones are {', '.join(BUILT_IN_ROLES)}", pointer="/role")
        raise InvalidRequest(f"/role: {flaw.detail}", flaws=[flaw])
    check_may_give(caller, await permissions_of_role(db, caller.organization_id, role_id), pointer="/role")
    if role_id == OWNER:
        await _check_is_owner(db, caller)


async def check_may_take_role(db: AsyncSession, caller: Caller, member: MembershipRow) -> None:
    """Raise unless the caller may take a member's role in its organization, which is locked.

    Forbidden: owner, by no owner; Conflict: there is no other owner who can sign in.
    """
    if member.role_id != OWNER:
        return
    await _check_is_owner(db, caller)
    if not await has_another_owner(db, member.organization_id, member.user_id):
        raise Conflict("this is the organization's last owner: make somebody else an owner first")


async def _check_is_owner(db: AsyncSession, caller: Caller) -> None:
    if caller.kind is CredentialKind.ADMINISTRATOR:
        return
    role_id = None if caller.user_id is None else await role_id_of(db, caller.organization_id, caller.user_id)
    if role_id != OWNER:
        raise Forbidden("only an owner makes or removes an owner")
