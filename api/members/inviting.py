"""Inviting, inviting again and withdrawing: the link goes to the address and nowhere else."""

from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from api.credentials import Caller
from api.errors import Conflict, Flaw, InvalidRequest
from api.mail.queueing import Template, queue_mail
from api.members.announcing import announce_invited, announce_withdrawn, name_of
from api.members.bodies import InvitationState, NewInvitation, state_of
from api.members.finding import is_invited, is_member_by_email
from api.members.giving import check_may_give_role
from api.members.tables import InvitationRow
from api.organizations.preferences import OrganizationSettings
from api.organizations.tables import OrganizationRow
from api.roles.finding import shown_role
from api.signed_links import LinkPurpose
from api.users.addresses import email_key_of
from schemas.ids import new_invitation_id

_OVER = {
    InvitationState.ACCEPTED: "this invitation was accepted already",
    InvitationState.WITHDRAWN: "this invitation was withdrawn: make another one",
}


async def invite(
    db: AsyncSession, caller: Caller, organization: OrganizationRow, body: NewInvitation, *, lasts: timedelta
) -> InvitationRow:
    """Invite an address to an organization that is locked; the e-mail goes out when the transaction commits.

    Raises InvalidRequest for a role that the caller cannot give and an address that the organization's settings do not
    allow, Forbidden for an owner's role by no owner, Conflict when the address is a member's or is invited already.
    """
    now = datetime.now(UTC)
    _check_domain(organization, body.email)
    await check_may_give_role(db, caller, body.role)
    if await is_member_by_email(db, organization.id, email_key_of(body.email)):
        raise Conflict("this address is a member's already")
    if await is_invited(db, organization.id, body.email, now=now):
        raise Conflict("this address is invited already: send the invitation again, or withdraw it")
    row = InvitationRow(
        id=new_invitation_id(),
        organization_id=organization.id,
        email=body.email,
        role_id=body.role,
        invited_by=name_of(caller),
        created_at=now,
        expires_at=now + lasts,
    )
    db.add(row)
    await db.flush()
    await _send(db, caller, row)
    return row


async def invite_again(
    db: AsyncSession, caller: Caller, organization: OrganizationRow, row: InvitationRow, *, lasts: timedelta
) -> None:
    """Send a locked invitation again, with its full time, an expired one too; the same link holds.

    Whoever sends it answers for it: raises as `invite` does, and Conflict when it was accepted or withdrawn.
    """
    now = datetime.now(UTC)
    state = state_of(row, now=now)
    if state in _OVER:
        raise Conflict(_OVER[state])
    _check_domain(organization, row.email)
    await check_may_give_role(db, caller, row.role_id)
    if state is InvitationState.EXPIRED and await is_invited(db, organization.id, row.email, now=now):
        raise Conflict("this address has another invitation: send that one again, or withdraw it")
    row.expires_at = now + lasts
    row.invited_by = name_of(caller)
    await db.flush()
    await _send(db, caller, row)


async def withdraw(db: AsyncSession, caller: Caller, row: InvitationRow) -> None:
    """Make a locked invitation one that nobody can accept; raises Conflict when it was accepted."""
    if row.accepted_at is not None:
        raise Conflict(f"{_OVER[InvitationState.ACCEPTED]}: remove the member instead")
    if row.withdrawn_at is None:
        row.withdrawn_at = datetime.now(UTC)
        await db.flush()
        await announce_withdrawn(db, row, by=name_of(caller))


def _check_domain(organization: OrganizationRow, email: str) -> None:
    if not OrganizationSettings.kept(organization.settings).may_invite(email_key_of(email)):
        flaw = Flaw("is in none of the domains that this organization's settings allow", pointer="/email")
        raise InvalidRequest(f"/email: {flaw.detail}", flaws=[flaw])


async def _send(db: AsyncSession, caller: Caller, row: InvitationRow) -> None:
    role = await shown_role(db, row.organization_id, row.role_id)
    await queue_mail(
        db,
        Template.INVITATION,
        organization_id=row.organization_id,
        recipient=row.email,
        # A person's name says something to the reader, a token's does not.
        parameters={"role": role.name, "invited_by": caller.name if caller.user_id else None},
        link=(LinkPurpose.INVITATION, row.id),
    )
    await announce_invited(db, row)
