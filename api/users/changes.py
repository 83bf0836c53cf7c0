"""What can become of an account, each announced in the transaction that does it; the row is locked by who calls."""

from datetime import UTC, datetime

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from api.announcing import announce_identity
from api.errors import Conflict
from api.users.addresses import email_key_of
from api.users.revoking import revoke_everything
from api.users.tables import UserRow
from schemas.json_values import Json


async def changed(
    db: AsyncSession,
    user: UserRow,
    *,
    name: str | None = None,
    email: str | None = None,
    must_reset: bool | None = None,
) -> dict[str, Json]:
    """Change what is not None and differs; return what it was. Raises Conflict when an account has the address.

    Another address is not verified; who has to reset signs in nowhere until then.
    """
    wanted = {"name": name, "email": email, "must_reset": must_reset}
    previous: dict[str, Json] = {
        field: getattr(user, field) for field, value in wanted.items() if value not in (None, getattr(user, field))
    }
    if not previous:
        return {}
    now = datetime.now(UTC)
    for field in previous:
        setattr(user, field, wanted[field])
    if email is not None and "email" in previous:
        previous["verified_at"] = _written(user.verified_at)
        user.email_key, user.verified_at = email_key_of(email), None
    await _stored(db, user, now)
    if user.must_reset and "must_reset" in previous:
        await revoke_everything(db, user.id, at=now, reason="must_reset")
    await announce_user(db, "user.updated", user, previous=previous, changed=sorted(previous))
    return previous


async def locked(db: AsyncSession, user: UserRow, *, reason: str | None) -> dict[str, Json]:
    """Lock an account: it is signed in nowhere any more. Return what it was; raises Conflict when it is locked."""
    if user.locked_at is not None:
        raise Conflict("this account is locked already")
    now = datetime.now(UTC)
    user.locked_at, user.locked_reason = now, reason
    await _stored(db, user, now)
    await revoke_everything(db, user.id, at=now, reason="user_locked")
    previous: dict[str, Json] = {"locked_at": None, "locked_reason": None}
    await announce_user(db, "user.locked", user, previous=previous, reason=reason)
    return previous


async def unlocked(db: AsyncSession, user: UserRow) -> dict[str, Json]:
    """Unlock an account; what ended when it was locked stays ended. Return what it was; raises Conflict."""
    if user.locked_at is None:
        raise Conflict("this account is not locked")
    previous: dict[str, Json] = {"locked_at": _written(user.locked_at), "locked_reason": user.locked_reason}
    user.locked_at = user.locked_reason = None
    await _stored(db, user, datetime.now(UTC))
    await announce_user(db, "user.unlocked", user, previous=previous)
    return previous


async def removed(db: AsyncSession, user: UserRow) -> dict[str, Json]:
    """Delete an account with its memberships, sessions, links and grants (they refer to it). Return what it was."""
    previous: dict[str, Json] = {"email": user.email, "name": user.name, "verified_at": _written(user.verified_at)}
    now = datetime.now(UTC).isoformat()
    await announce_user(db, "user.deleted", user, previous=previous, deleted_at=now)
    await db.delete(user)
    await db.flush()
    return previous


async def address_verified(db: AsyncSession, user: UserRow) -> None:
    """Note that the address is theirs; nothing when that is known."""
    if user.verified_at is not None:
        return
    now = datetime.now(UTC)
    user.verified_at = now
    await _stored(db, user, now)
    await announce_user(db, "user.verified", user, previous={"verified_at": None}, verified_at=now.isoformat())


async def password_set(db: AsyncSession, user: UserRow, new_hash: str, *, method: str) -> None:
    """Keep another password's hash: by `method` reset or change. Nothing has to be reset any more."""
    now = datetime.now(UTC)
    previous: dict[str, Json] = {"must_reset": user.must_reset}
    user.password_hash, user.must_reset = new_hash, False
    await _stored(db, user, now)
    await announce_user(db, "user.password_changed", user, previous=previous, method=method)


async def announce_user(
    db: AsyncSession, name: str, user: UserRow, *, previous: dict[str, Json], **more: Json | list[str]
) -> None:
    """Publish what became of a user, in its home organization."""
    data: dict[str, Json] = {"id": user.id, "email": user.email, "name": user.name}
    data.update({field: list(value) if isinstance(value, list) else value for field, value in more.items()})
    await announce_identity(
        db, name, organization_id=user.organization_id, subject_id=user.id, data=data, previous=previous
    )


async def _stored(db: AsyncSession, user: UserRow, now: datetime) -> None:
    user.updated_at = now
    user.version += 1
    try:
        async with db.begin_nested():
            await db.flush()
    except IntegrityError as error:
        raise Conflict("an account has this e-mail address already") from error


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
