"""Signing in with an e-mail address and a password: for the API and for the page of the OAuth server alike.

Whether an account is there shows neither in the answer nor in how long it takes: a hash is verified in any case, and a
refusal comes no sooner than `REFUSED_AFTER_S`. An account whose address is not verified cannot be signed in to: nobody
has shown yet that they can read its e-mails, and other organizations invite by address.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, Final

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.announcing import announce_identity
from api.audit.recording import Actor, add_entry
from api.callers import kept_user_agent
from api.database import transaction_of
from api.errors import Forbidden, NotFound, Refusal, Unauthenticated
from api.members.tables import MembershipRow
from api.permissions import Permission
from api.roles.permissions import membership_permissions
from api.services import Services
from api.sessions.failures import SignInFailures
from api.sessions.opening import SignedIn, open_session
from api.users.addresses import email_key_of
from api.users.evenly import no_sooner_than
from api.users.finding import user_of_email, user_to_change
from api.users.passwords import verified
from api.users.tables import UserRow
from schemas.errors import InvalidInput

log = structlog.get_logger("api.sessions")

REFUSED_AFTER_S: Final = 0.3  # over what argon2 and a transaction take together


class SignInRefused(Refusal):
    """Nobody was signed in; `kind` names why for pages, `reason` for the event."""

    kind: ClassVar[str] = "refused"


class WrongCredentials(SignInRefused, Unauthenticated):
    """There is no such account, or it has another password, or it is locked: which one, nobody is told."""

    kind = "wrong"

    def __init__(self) -> None:
        super().__init__(
            "the e-mail address or the password is wrong", headers={"WWW-Authenticate": 'Bearer realm="hookline"'}
        )


class Unverified(SignInRefused, Forbidden):
    """The password holds, and the address was never verified."""

    kind = "unverified"

    def __init__(self) -> None:
        super().__init__(
            "your e-mail address is not verified: open the link that was sent to it, or ask for another with "
            "POST /api/v1/password-resets"
        )


class MustReset(SignInRefused, Forbidden):
    """The password holds, and has to be replaced first."""

    kind = "must_reset"

    def __init__(self) -> None:
        super().__init__("your password has to be replaced: ask for a link with POST /api/v1/password-resets")


class NotAMember(SignInRefused, NotFound):
    """The password holds, and the user is no member of the organization that was named."""

    kind = "not_a_member"

    def __init__(self) -> None:
        super().__init__("there is no such organization, or you are no member of it")


@dataclass(frozen=True, slots=True)
class _Entry:
    """Where a user signs in to."""

    organization_id: str
    permissions: frozenset[Permission]


async def sign_in(
    db: AsyncSession,
    services: Services,
    *,
    email: str,
    password: str,
    address: str,
    user_agent: str,
    organization_id: str | None = None,
) -> SignedIn:
    """Return the session of a user who showed the password; `db` is bound to no organization, and not in use yet.

    Without `organization_id` it acts in the user's home, else in the first organization of which they are a member.
    Raises SignInRefused, TooManyRequests.
    """
    failures = SignInFailures(services.limits)
    await failures.count(email, address)
    # No connection is held while a password is hashed, nor `db`'s while a refusal is written.
    async with transaction_of(services.engine) as reading:
        user = await _user_of(reading, email)
        entry = None if user is None else await _entry_of(reading, user, organization_id)
    verdict = await _verdict(services, user, entry, password=password, address=address, user_agent=user_agent)
    current = None if user is None else await user_to_change(db, user.id)
    if user is None or entry is None or not _is_as_it_was(current, user) or current is None:
        raise WrongCredentials  # it changed while the password was hashed
    if verdict is not None:
        current.password_hash = verdict
    current.last_login_at = datetime.now(UTC)
    signed_in = await open_session(
        db,
        services,
        current,
        organization_id=entry.organization_id,
        permissions=entry.permissions,
        address=address,
        user_agent=user_agent,
    )
    await _announce(db, signed_in, address, user_agent)
    await failures.forget(email)
    return signed_in


async def _verdict(
    services: Services, user: UserRow | None, entry: _Entry | None, *, password: str, address: str, user_agent: str
) -> str | None:
    """Return the hash to keep from now on, None: the one that is; raises SignInRefused, never too soon."""
    async with no_sooner_than(REFUSED_AFTER_S, unless=lambda: refused is None):
        verdict = await verified(password, None if user is None else user.password_hash)
        refused = _refusal(user, entry, holds=verdict.holds)
        if refused is not None:
            await failed(services, user, _reason_of(user, refused), address, user_agent)
    if refused is not None:
        raise refused
    return verdict.new_hash


def _refusal(user: UserRow | None, entry: _Entry | None, *, holds: bool) -> SignInRefused | None:
    if user is None or not holds or user.locked_at is not None:
        return WrongCredentials()
    if user.must_reset:
        return MustReset()
    if user.verified_at is None:
        return Unverified()
    return NotAMember() if entry is None else None


def _reason_of(user: UserRow | None, refused: SignInRefused) -> str:
    if not isinstance(refused, WrongCredentials):
        return refused.kind
    return "wrong_password" if user is None or user.locked_at is None else "locked"


async def failed(services: Services, user: UserRow | None, reason: str, address: str, user_agent: str) -> None:
    """Announce and record that a password was not enough; of an account that is not there only the log says so."""
    log.info("auth.failed", reason="unknown_account" if user is None else reason, client=address)
    if user is None:
        return
    async with transaction_of(services.engine) as db:
        if await user_to_change(db, user.id) is None:  # deleted just now
            return
        await announce_identity(
            db,
            "auth.failed",
            organization_id=user.organization_id,
            subject_id=user.id,
            data={"user_id": user.id, "email": user.email, "reason": reason, "ip_address": address or None},
        )
        actor = Actor(organization_id=user.organization_id, kind="nobody", id=user.id, name=user.email)
        await _record(db, actor, "auth.failed", user.id, address=address, user_agent=user_agent)


async def _announce(db: AsyncSession, signed_in: SignedIn, address: str, user_agent: str) -> None:
    user, session = signed_in.user, signed_in.session
    await announce_identity(
        db,
        "auth.login",
        organization_id=session.organization_id,
        subject_id=user.id,
        data={
            "user_id": user.id,
            "method": "password",
            "ip_address": address or None,
            "user_agent": kept_user_agent(user_agent) or None,
            "session_id": session.id,
        },
    )
    actor = Actor(organization_id=session.organization_id, kind="session", id=user.id, name=user.name)
    await _record(db, actor, "auth.login", session.id, address=address, user_agent=user_agent)


async def _record(
    db: AsyncSession, actor: Actor, action: str, target_id: str, *, address: str, user_agent: str
) -> None:
    await add_entry(
        db,
        actor=actor,
        action=action,
        target_kind="users" if target_id == actor.id else "sessions",
        target_id=target_id,
        address=address,
        user_agent=user_agent,
        request_id=str(structlog.contextvars.get_contextvars().get("request_id", "")),
    )


async def _user_of(db: AsyncSession, email: str) -> UserRow | None:
    try:
        return await user_of_email(db, email_key_of(email))
    except InvalidInput:
        return None  # no account has what is no address


async def _entry_of(db: AsyncSession, user: UserRow, wanted: str | None) -> _Entry | None:
    """Return the organization to act in, None when the user is no member of the one that is wanted."""
    organization_id = wanted or user.organization_id
    permissions = await membership_permissions(db, organization_id, user.id)
    if permissions is not None:
        return _Entry(organization_id, permissions)
    if wanted is not None:
        return None
    first = (
        select(MembershipRow.organization_id)
        .where(MembershipRow.user_id == user.id)
        .order_by(MembershipRow.organization_id)
        .limit(1)
    )
    elsewhere = (await db.execute(first)).scalar_one_or_none()
    permissions = None if elsewhere is None else await membership_permissions(db, elsewhere, user.id)
    if elsewhere is None or permissions is None:  # a member of nothing: their own affairs are all they may do
        return _Entry(user.organization_id, frozenset())
    return _Entry(elsewhere, permissions)


def _is_as_it_was(current: UserRow | None, read: UserRow) -> bool:
    return current is not None and (current.password_hash, current.locked_at, current.must_reset) == (
        read.password_hash,
        read.locked_at,
        read.must_reset,
    )
