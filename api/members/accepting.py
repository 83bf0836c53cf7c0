"""Accepting an invitation: its link says which one, and that whoever has it reads what is sent to the address.

The same few answers for everybody who has no link of ours: whether an address has an account shows to its reader only.
"""

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.credentials import Caller, CredentialKind
from api.database import transaction_of
from api.errors import Conflict, Flaw, Forbidden, InvalidRequest, NotFound
from api.members.announcing import announce_joined
from api.members.bodies import Acceptance, InvitationState, state_of
from api.members.finding import role_id_of
from api.members.tables import InvitationRow, MembershipRow
from api.organizations.finding import locked_organization
from api.roles.permissions import permissions_of_role
from api.services import Services
from api.sessions.failures import SignInFailures
from api.sessions.signing_in import failed
from api.signed_links import LinkPurpose
from api.users import passwords
from api.users.addresses import email_key_of
from api.users.changes import address_verified
from api.users.finding import user_of_email
from api.users.making import make_user
from api.users.tables import UserRow
from schemas.ids import is_time_ordered

_OVER: Final = {
    InvitationState.ACCEPTED: "this invitation was accepted already: sign in",
    InvitationState.WITHDRAWN: "this invitation was withdrawn",
    InvitationState.EXPIRED: "this invitation has expired: ask for another one",
}


async def accepted_by_anybody(
    db: AsyncSession, services: Services, body: Acceptance, *, address: str, user_agent: str
) -> MembershipRow:
    """Accept an invitation as the account of its address, by its password, or as a new user.

    `db` is bound to no organization, and not in use yet. Raises InvalidRequest for what is no link of ours, and when a
    new user's name or password is missing or unfit; NotFound, Conflict when the invitation is over; Forbidden when
    there is an account and the password is not its own; TooManyRequests, as signing in does.
    """
    # No connection is held while a password is hashed, nor `db`'s while a refusal is written.
    async with transaction_of(services.engine) as reading:
        row = await _open_invitation(reading, services, body.token)
        known = await user_of_email(reading, email_key_of(row.email))
    if known is None:
        kept: str | None = await _new_hash(row, body)
    else:
        kept = await _checked_hash(services, known, body, address=address, user_agent=user_agent)
    row = await _open_invitation(db, services, body.token, lock=True)
    user = await user_of_email(db, email_key_of(row.email))
    if user is None and known is None:
        user = await _new_user(db, row, body, kept)
    elif user is None or known is None or user.password_hash != known.password_hash:
        raise Conflict("the account of this address has changed just now: try again")
    elif user.password_hash != kept:
        user.password_hash = kept
    return await _join(db, row, user)


async def accepted_by_caller(db: AsyncSession, services: Services, caller: Caller, token: str) -> MembershipRow:
    """Accept an invitation as the user who is signed in; raises as `accepted_by_anybody` does.

    Forbidden: it is for another address, or the credential is no browser's session: an application that a user lets in
    does not join organizations for them.
    """
    if caller.kind is not CredentialKind.SESSION or caller.user_id is None:
        raise Forbidden("sign in as the user who is invited: only a session accepts an invitation")
    row = await _open_invitation(db, services, token, lock=True)
    user = await user_of_email(db, email_key_of(row.email))
    if user is None or user.id != caller.user_id:
        raise Forbidden("this invitation is for another e-mail address than the one you are signed in with")
    return await _join(db, row, user)


async def _open_invitation(db: AsyncSession, services: Services, token: str, *, lock: bool = False) -> InvitationRow:
    """Return the invitation that a link stands for; locked, so that of two who accept it at once, one does."""
    invitation_id = services.links.read(LinkPurpose.INVITATION, token)
    if invitation_id is None or not is_time_ordered(invitation_id, "inv"):
        flaw = Flaw("is no invitation: copy the whole link from the e-mail", pointer="/token")
        raise InvalidRequest(f"/token: {flaw.detail}", flaws=[flaw])
    wanted = select(InvitationRow).where(InvitationRow.id == invitation_id)
    row = (await db.execute(wanted.with_for_update() if lock else wanted)).scalar_one_or_none()
    if row is None:
        raise NotFound("this invitation is not there any more")
    state = state_of(row, now=datetime.now(UTC))
    if state in _OVER:
        raise Conflict(_OVER[state])
    return row


async def _new_hash(row: InvitationRow, body: Acceptance) -> str:
    """Return what is kept of a new user's password; raises InvalidRequest and InvalidInput."""
    missing = [
        Flaw(f"is missing: nobody has an account of this address yet, so choose a {name}", pointer=f"/{name}")
        for name in ("name", "password")
        if getattr(body, name) is None
    ]
    if body.password is None or missing:
        raise InvalidRequest(f"{missing[0].pointer}: {missing[0].detail}", flaws=missing)
    password = body.password.get_secret_value()
    passwords.check_password(password, email=row.email, pointer="/password")
    return await passwords.hashed(password)


async def _new_user(db: AsyncSession, row: InvitationRow, body: Acceptance, kept: str | None) -> UserRow:
    await locked_organization(db, row.organization_id)
    return await make_user(
        db,
        organization_id=row.organization_id,
        email=row.email,
        name=body.name or "",
        password_hash=kept,
        verified=True,  # the link reached the address
    )


async def _checked_hash(
    services: Services, user: UserRow, body: Acceptance, *, address: str, user_agent: str
) -> str | None:
    """Return the hash to keep of an account whose password was given; raises Forbidden, Conflict, TooManyRequests."""
    failures = SignInFailures(services.limits)  # a guess here is a guess at signing in
    await failures.count(user.email, address)
    given = "" if body.password is None else body.password.get_secret_value()
    verdict = await passwords.verified(given, user.password_hash)
    if not given or not verdict.holds:
        if given:
            await failed(services, user, "wrong_password", address, user_agent)
        raise Forbidden("this address has an account: sign in with it and accept then, or give its password here")
    if user.locked_at is not None:
        raise Forbidden("this account is locked: ask those who manage it")
    if user.must_reset:
        raise Conflict("this account's password has to be replaced first: ask for a link to reset it")
    await failures.forget(user.email)
    return verdict.new_hash or user.password_hash


async def _join(db: AsyncSession, row: InvitationRow, user: UserRow) -> MembershipRow:
    """Make the user a member; raises Conflict when they are one, or when the role is there no more."""
    organization = await locked_organization(db, row.organization_id)
    if await role_id_of(db, organization.id, user.id) is not None:
        raise Conflict("you are a member of this organization already: sign in")
    if not await permissions_of_role(db, organization.id, row.role_id):
        raise Conflict("the role of this invitation is there no more: ask for another invitation")
    now = datetime.now(UTC)
    member = MembershipRow(
        organization_id=organization.id, user_id=user.id, role_id=row.role_id, created_at=now, updated_at=now
    )
    db.add(member)
    row.accepted_at = now
    await db.flush()
    await address_verified(db, user)  # the link reached it
    await announce_joined(db, member, user, row)
    return member
